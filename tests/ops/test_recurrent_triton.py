"""What only the Triton kernels of the recurrent form have: blocks, segments and registration.

The kernels run interpreted where there is no GPU.
"""

from collections.abc import Iterator

import pytest
import torch
from recurrent_cases import LAYOUTS, LEARNED, check, inputs

from vminet_mm.ops import recurrent_torch, recurrent_triton


@pytest.fixture
def device() -> torch.device:
    """Where the kernels run."""
    return torch.device('cuda' if torch.cuda.is_available() else 'cpu')


@pytest.fixture(autouse=True)
def _poison() -> Iterator[None]:
    """Fill new memory with NaN, so that an element which nobody writes is seen."""
    torch.use_deterministic_algorithms(True, warn_only=True)
    assert torch.empty(3).isnan().all()
    yield
    torch.use_deterministic_algorithms(False)


@pytest.fixture(params=['one segment', 'short segments'])
def segments(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Whether a program scans all tokens of an image or one block of them."""
    monkeypatch.setattr(recurrent_triton, 'PROGRAMS', 1 if request.param == 'one segment' else 999)
    monkeypatch.setattr(recurrent_triton, 'SEGMENT_BLOCKS', 1)
    return request.param


@pytest.mark.parametrize('recurrent_mask', ['readout', 'inside'])
@pytest.mark.parametrize('layout', ['halves', 'channels_last halves'])
@pytest.mark.parametrize('size', [(3, 5), (13, 21), (16, 16)], ids=str)
def test_blocks_and_segments(
    size: tuple[int, int], layout: str, recurrent_mask: str, segments: str, device: torch.device
) -> None:
    x = inputs(size, size, 3, 2, 'tril', device, layout=layout)
    if size == (13, 21):
        blocks = 3 if layout == 'halves' else 9
        grid = recurrent_triton._tiling(x['query'].flatten(2)).grid
        assert grid == (1, 1 if segments == 'one segment' else blocks, 2)
    check(recurrent_triton.recurrent_attention, x, recurrent_mask, tolerance=2e-5)


@pytest.mark.parametrize('layout', LAYOUTS)
def test_blocks_of_channels(layout: str, device: torch.device) -> None:
    x = inputs((2, 3), (2, 3), 70, 1, 'tril', device, layout=layout)
    blocks = 2 if 'channels_last' in layout else 5
    assert recurrent_triton._tiling(x['query'].flatten(2)).grid == (blocks, 1, 1)
    check(recurrent_triton.recurrent_attention, x, 'readout')


def test_repeats_bit_for_bit(device: torch.device) -> None:
    x = inputs((9, 20), (9, 20), 5, 3, 'tril', device)
    torch.manual_seed(1)
    first = check(recurrent_triton.recurrent_attention, x, 'readout', tolerance=2e-5)
    torch.manual_seed(1)
    second = check(recurrent_triton.recurrent_attention, x, 'readout', tolerance=2e-5)
    assert all(torch.equal(first[name], second[name]) for name in first)


def test_registration(device: torch.device) -> None:
    x = inputs((3, 4), (3, 4), 5, 2, 'tril', device, layout='channels_last halves')
    tokens = [x[name].flatten(2 if name in ('query', 'key') else 0) for name in LEARNED]
    tokens = [tensor.detach().requires_grad_() for tensor in tokens]
    torch.library.opcheck(recurrent_triton._attention, (*tokens, x['mask'], False))


def test_without_gpu_and_interpreter(monkeypatch: pytest.MonkeyPatch) -> None:
    x = inputs((3, 4), (3, 4), 5, 2, 'tril', torch.device('cpu'))
    monkeypatch.setattr(recurrent_triton, 'INTERPRETED', False)
    monkeypatch.delattr(recurrent_triton, '_attention')
    actual = recurrent_triton.recurrent_attention(**x)
    assert torch.equal(actual, recurrent_torch.recurrent_attention(**x))
