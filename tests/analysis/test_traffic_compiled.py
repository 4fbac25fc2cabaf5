"""Inductor's count against sums by hand."""

import torch
from torch import nn

from vminet_mm.analysis.model_zoo import parse_spec
from vminet_mm.analysis.traffic import Traffic
from vminet_mm.analysis.traffic_compiled import count_compiled, schedule, to_compiled_table

LAST = torch.channels_last


def test_fused_by_hand() -> None:
    x = torch.randn(3, 5)
    model = nn.Sequential(nn.ReLU(), nn.Tanh())  # one kernel: read and written once
    assert schedule(model, x) == Traffic(4 * 30, 1)
    assert torch.equal(model(x), x.relu().tanh())


def test_folded_block() -> None:
    """Convolution 2 P, W1|W2 5, attention 6, W3 3, residual 3, see ops/README."""
    model = count_compiled(parse_spec('vminet-ti:impl=triton,deploy,img_size=64'), 32, (64, 64))
    block = model.blocks[2]
    assert block.shape == (32, 96, 4, 4) and block.times == 18
    weights = 2 * (49 * 96 + 3 * 192 * 96 + 2 * 192 + 96 + 192 * 16)
    assert 19 * block.unit < block.infer.bytes <= 19 * block.unit + weights + 2 * 4 * 32 * 192
    assert block.infer.launches == 5
    last = count_compiled(
        parse_spec('vminet-ti:impl=triton,deploy,img_size=64'), 32, (64, 64), memory_format=LAST
    ).blocks[2]
    # as in eager mode: the convolution 2, U to Q and K 5, and 6 more to the output
    assert 13 * block.unit < last.infer.bytes <= 13 * block.unit + weights + 2 * 4 * 32 * 192
    assert last.infer.launches == 3
    table = to_compiled_table([model])
    assert '18 x (32, 96, 4, 4)' in table and 'mean' in table
