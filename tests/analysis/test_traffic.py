"""Bytes and launches against sums by hand. Numbers are float32, so 4 bytes each."""

from functools import cache

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vminet_mm.analysis.model_zoo import parse_spec
from vminet_mm.analysis.traffic import (
    ModelTraffic,
    Passes,
    Traffic,
    TrafficCounter,
    count_model,
    count_passes,
    to_json,
    to_table,
)


def count(function, *args: object) -> Traffic:
    with torch.no_grad(), TrafficCounter() as counter:
        function(*args)
    return counter.total


def test_element_wise_by_hand() -> None:
    x, y = torch.randn(3, 5), torch.randn(3, 5)
    assert count(torch.add, x, y) == Traffic(4 * 45, 1)
    assert count(x.add_, y) == Traffic(4 * 45, 1)
    assert count(torch.mul, x, x) == Traffic(4 * 30, 1)  # one tensor, read once
    assert count(lambda: torch.add(x, y, out=y)) == Traffic(4 * 45, 1)
    assert count(torch.zeros_like, x).bytes <= 4 * 30
    assert count(x.copy_, y) == Traffic(4 * 30, 1)
    assert count(torch.cat, [x, y]) == Traffic(4 * 60, 1)


def test_views_and_allocations_move_nothing() -> None:
    x = torch.randn(4, 6)
    assert count(lambda: (x.t(), x[1:], x.chunk(2), x.detach(), torch.empty(5))) == Traffic()
    vector = torch.randn(4, 1).expand(4, 6)  # 4 numbers, not 24
    assert count(torch.add, x, vector) == Traffic(4 * (24 + 4 + 24), 1)


def test_convolution_by_hand() -> None:
    x = torch.randn(2, 3, 5, 7, requires_grad=True)
    conv = nn.Conv2d(3, 4, 1)
    x_size, y_size, weight = 4 * 210, 4 * 280, 4 * 12
    # the bias is a pass over the output: 4 numbers, and the output twice
    forward = Traffic(x_size + weight + y_size + 4 * 4 + 2 * y_size, 2)
    to_input = y_size + weight + x_size
    to_weight, to_bias = y_size + x_size + weight, y_size + 4 * 4
    assert count_passes(conv, x) == Passes(
        forward, forward, Traffic(to_input + to_weight + to_bias, 3)
    )
    assert count_passes(conv, x).backward.launches == 3  # though there are gradients already


def test_batch_norm_by_hand() -> None:
    x = torch.randn(2, 3, 5, 7, requires_grad=True)
    passes = count_passes(nn.BatchNorm2d(3), x)
    size = 4 * 210
    assert 0 <= passes.infer.bytes - 2 * size < 200 and passes.infer.launches == 1
    assert 0 <= passes.forward.bytes - 3 * size < 300  # read twice
    assert 0 <= passes.backward.bytes - 5 * size < 300  # both twice, and one written


@cache
def count_small(text: str) -> ModelTraffic:
    """The traffic of 32 images of 64 x 64, the native size of the models of this file."""
    options = '' if 'reference' in text else 'img_size=64,'
    name, _, rest = text.partition(':')
    return count_model(parse_spec(f'{name}:{options}{rest}'), batch=32, size=(64, 64))


def test_fused_kernels_read_as_documented() -> None:
    """One kernel forward: Q, K and the output, each as wide as two P, see ops/README."""
    fused = count_small('vminet-ti:impl=triton').blocks[2].passes.infer
    none = count_small('vminet-ti:attention=none').blocks[2]
    assert none.shape == (32, 96, 4, 4) and none.times == 18
    assert none.unit == 2 * 32 * 96 * 4 * 4
    # what stands there without attention: W1 alone (read 1 P, written 2), ReLU6 (4), no K
    kept = none.passes.infer.bytes - 4 * none.unit
    attention = fused.bytes - kept - 2 * none.unit  # less K: written (2)
    weights = 2 * (192 * 96 + 192) * 2 * 2 + 4 * 4 * 192 * 10  # of their copy, and of the fields
    assert 6 * none.unit <= attention < 7 * none.unit + weights


@pytest.mark.parametrize('layout', [torch.contiguous_format, torch.channels_last], ids=str)
def test_counts_of_xs(layout: torch.memory_format) -> None:
    """No more than what docs/benchmarks/README.md shows, for images of either format."""
    folded = count_model(parse_spec('vminet-xs:impl=triton,deploy'), memory_format=layout)
    assert folded.in_units(lambda passes: passes.infer.bytes) < 20.15
    assert [block.passes.infer.launches for block in folded.blocks] == [7, 5, 5, 5]
    trained = count_model(parse_spec('vminet-xs:impl=triton'), memory_format=layout)
    assert trained.in_units(lambda passes: passes.forward.bytes + passes.backward.bytes) < 66.75
    assert [block.passes.forward.launches for block in trained.blocks] == [13, 11, 11, 11]
    assert [block.passes.backward.launches for block in trained.blocks] == [18, 18, 16, 16]


def test_torch_moves_more_than_the_kernels() -> None:
    plain = count_small('vminet-ti:impl=torch').blocks[2]
    fused = count_small('vminet-ti:impl=triton').blocks[2]
    assert plain.passes.infer.bytes - fused.passes.infer.bytes > 20 * fused.unit
    assert plain.passes.backward.launches > fused.passes.backward.launches


def test_folded_models_move_less_and_are_not_trained() -> None:
    plain, folded = (count_small(f'vminet-ti:impl=triton{end}') for end in ('', ',deploy'))
    assert folded.total.infer.bytes < plain.total.infer.bytes
    assert folded.total.backward == Traffic() and plain.total.backward.bytes > 0
    assert folded.blocks[0].passes.backward == Traffic()
    assert sum(block.times for block in plain.blocks) == 24


def test_sum_and_units() -> None:
    model = count_model(parse_spec('reference-ti'), batch=2, size=(64, 96))
    blocks = model.blocks
    assert [block.shape[2:] for block in blocks] == [(16, 24), (8, 12), (4, 6), (2, 3)]
    by_hand = sum(b.times * b.passes.infer.bytes for b in blocks) / sum(
        b.times * b.unit for b in blocks
    )
    assert model.in_units(lambda passes: passes.infer.bytes) == by_hand
    assert sum(b.times * b.passes.infer.bytes for b in blocks) < model.total.infer.bytes


def test_table_and_bandwidth() -> None:
    model = count_small('reference-ti')
    size = model.total.infer.bytes
    table = to_table([model], gbps=1.0)
    assert f'{size / 1e6:.0f} ({size / 1e6:.2f} ms)' in table and 'reference-ti' in table
    assert 'ms' not in to_table([model])
    assert to_json([model])[0]['total']['infer']['bytes'] == size


def test_a_model_without_known_blocks() -> None:
    model = count_model(parse_spec('resnet18'), batch=2, size=(33, 32))
    assert model.blocks == [] and model.total.backward.launches > 0
    assert to_table([model]).splitlines()[-1].split()[1:5] == ['-'] * 4


def test_an_average_by_hand() -> None:
    x: Tensor = torch.randn(2, 3, 4, 4)
    assert count(F.adaptive_avg_pool2d, x, (2, 2)) == Traffic(4 * (96 + 24), 1)
