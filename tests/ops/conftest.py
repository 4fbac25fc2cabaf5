"""The kernels of Triton run interpreted where there is no GPU."""

import os

import pytest
import torch

# read when triton is imported, so it must be set before
os.environ.setdefault('TRITON_INTERPRET', '0' if torch.cuda.is_available() else '1')


@pytest.fixture
def kernel_device() -> torch.device:
    """Where the kernels of Triton run: the GPU, or interpreted on the CPU."""
    return torch.device('cuda' if torch.cuda.is_available() else 'cpu')
