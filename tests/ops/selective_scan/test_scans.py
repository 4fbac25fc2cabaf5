"""The selective scan by hand, and the versions of it against the loop in float64."""

import math

import pytest
import torch
from scan_cases import assert_close, make_inputs, run

from vminet_mm.ops.selective_scan import chunked_torch, reference
from vminet_mm.ops.selective_scan.chunked_torch import segments, selective_scan

SCANS = {'reference': reference.selective_scan, 'torch': selective_scan}
# images, channels, tokens, states, groups; a segment of 16 tokens, and of all
CASES = [
    (2, 6, 1, 3, 0),
    (2, 6, 2, 1, 1),
    (1, 4, 17, 16, 0),
    (2, 6, 37, 4, 3),
    (3, 2, 53, 1, 2),
    (1, 3, 197, 5, 0),
]


@pytest.mark.parametrize('scan', SCANS.values(), ids=SCANS)
def test_by_hand(scan) -> None:
    half = -math.log(2)  # with a step size of 1 the first state halves, the second is cut to 1 / 4
    u, one = torch.tensor([[[4.0, 2.0, 0.0]]]), torch.ones(1, 1, 3)
    B, C = torch.tensor([[[1.0, 1, 1], [1, 0, 1]]]), torch.tensor([[[1.0, 1, 1], [1, 1, 4]]])
    # h = (4, 4, 2), without the second input, and (4, 1, 1 / 4)
    y = scan(u, one, torch.tensor([[half, 2 * half]]), B, C)
    torch.testing.assert_close(y, torch.tensor([[[8.0, 5.0, 3.0]]]))
    y = scan(
        u, one - 3, torch.tensor([[half, 2 * half]]), B, C, torch.tensor([2.0]), 3 * one[0, 0, :1]
    )
    torch.testing.assert_close(y, torch.tensor([[[16.0, 9.0, 3.0]]]))


@pytest.mark.parametrize('segment', [1, 2**21])
@pytest.mark.parametrize('case', CASES, ids=str)
@pytest.mark.parametrize('scan', SCANS.values(), ids=SCANS)
def test_output_and_gradients(scan, case, segment, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(chunked_torch, 'SEGMENT_ELEMENTS', segment)
    inputs = make_inputs(*case, torch.float64)
    expected = run(reference.selective_scan, inputs)
    assert_close(run(scan, inputs), expected, 1e-12)
    assert_close(run(scan, {k: x.float() for k, x in inputs.items()}), expected, 1e-5)


@pytest.mark.parametrize('dtype', [torch.bfloat16, torch.float16])
@pytest.mark.parametrize('scan', SCANS.values(), ids=SCANS)
def test_autocast(scan, dtype: torch.dtype) -> None:
    inputs = make_inputs(2, 4, 37, 3, 2, torch.float32)
    halves = inputs | {name: inputs[name].to(dtype) for name in ('u', 'delta', 'B', 'C')}
    expected = run(reference.selective_scan, halves)
    single = run(scan, inputs)
    with torch.autocast('cpu', dtype=dtype):  # also of the backward pass
        found = run(scan, halves)
        assert_close(run(scan, inputs), single, 0)
    assert found['y'].dtype == found['u'].dtype == dtype and found['A'].dtype == torch.float32
    for name, value in expected.items():  # rounded to half precision or not
        tolerance = 1e-5 if value.dtype == torch.float32 else torch.finfo(dtype).eps
        assert_close({name: found[name]}, {name: value}, tolerance)


def test_nothing_overflows() -> None:
    """Decays of exp(-4000) a token, and states that are kept for 5000 tokens."""
    u, delta = torch.ones(1, 2, 5000), torch.full((1, 2, 5000), 1.0)
    u[:, :, 1:] = 0
    A = torch.tensor([[-4000.0], [-1e-4]])
    one = torch.ones(1, 1, 5000)
    y = selective_scan(u, delta, A, one, one)[0]
    assert y[0].tolist() == [1.0] + [0.0] * 4999
    torch.testing.assert_close(y[1], torch.exp(-1e-4 * torch.arange(5000)), rtol=1e-4, atol=0)


def test_segments_hold_all_tokens() -> None:
    for tokens in (1, 2, 3, 49, 197, 1000, 16384):
        for elements in (1, 6144, 10**7):
            number, chunks, size = segments(tokens, elements)
            assert number * chunks * size >= tokens
            assert number * chunks * size < 1.2 * tokens + 16
            assert chunks * size <= max(16, 1.2 * 2**20 / elements) + 2
    assert segments(196, 1) == (1, 14, 14)
    assert segments(16384, 6144)[0] == math.ceil(16384 / (2**20 // 6144))


def test_memory_is_kept_for_inputs_and_few_states_alone() -> None:
    """Of 400 tokens the states of three segments, not of each token."""
    inputs = make_inputs(1, 512, 400, 32, 0, torch.float32)
    saved = []
    with torch.autograd.graph.saved_tensors_hooks(lambda x: saved.append(x) or x, lambda x: x):
        selective_scan(**{name: x.requires_grad_() for name, x in inputs.items()})
    numbers = sum({x.data_ptr(): x.numel() for x in saved}.values())
    assert numbers < 0.5 * 512 * 400 * 32
