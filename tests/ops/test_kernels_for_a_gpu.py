"""Every kernel is valid code for a GPU, of which the interpreter says nothing."""

import os
import re
import subprocess
import sys
from pathlib import Path

from vminet_mm import ops

SCRIPT = Path(__file__).with_name('kernels_for_a_gpu.py')


def test_every_kernel_can_be_compiled() -> None:
    """In a process of its own: here the kernels are interpreted."""
    kernels = {
        f'{file.stem}.{name}'
        for file in Path(ops.__file__).parent.glob('*_kernels.py')
        for name in re.findall(r'def (\w+_kernel)\(', file.read_text())
    }
    assert len(kernels) >= 8
    done = subprocess.run(
        [sys.executable, SCRIPT], env=os.environ | {'CUDA_VISIBLE_DEVICES': ''},
        capture_output=True, text=True, timeout=300,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    assert set(done.stdout.split()) == kernels
