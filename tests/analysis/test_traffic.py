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
    as_on_cuda,
    count_model,
    count_passes,
    to_json,
    to_table,
)
from vminet_mm.ops import choose_op


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
    assert count(torch.zeros_like, x) == Traffic(4 * 15, 1)
    assert count(x.new_zeros, (2, 3)) == Traffic(4 * 6, 1)
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
    """Q and K written and read, each as wide as two P, and nothing of the attention between."""
    block = count_small('vminet-ti:impl=triton,deploy').blocks[2]
    assert block.shape == (32, 96, 4, 4) and block.times == 18
    assert block.unit == 2 * 32 * 96 * 4 * 4
    # the depth-wise convolution, U to Q and K, those and X to the output
    passes = (1 + 1) + (1 + 4) + (4 + 1 + 1)
    weights = 2 * (49 * 96 + 3 * 192 * 96 + 2 * 192 + 96)
    fields = 16 * 2 + 192 * 16 + 2 * 2  # alpha, mask, scale and beta
    context = 2 * 4 * 32 * 192  # written and read
    assert block.passes.infer == Traffic(passes * block.unit + weights + fields + context, 3)


def test_operator_alone_moves_what_its_table_says() -> None:
    """Contiguous blocks: one kernel forward reads Q and K and writes the output."""
    native, images, channels = (4, 4), 32, 192
    op = choose_op('matrix', 'triton')
    with as_on_cuda():
        query, key = torch.empty(images, 2 * channels, *native, dtype=torch.float16).chunk(2, 1)
        mask = torch.empty(16, channels, dtype=torch.bool)
        fields = torch.empty(native), mask, torch.empty(1), torch.empty(1)
        traffic = count(op, query, key, *fields, 'pool', (16, 16))
    context = 4 * images * channels
    assert traffic == Traffic(3 * 2 * query.numel() + 4 * 16 + mask.numel() + context, 1)


@pytest.mark.parametrize('layout', [torch.contiguous_format, torch.channels_last], ids=str)
def test_counts_of_xs(layout: torch.memory_format) -> None:
    """No more than what docs/benchmarks/README.md shows, for images of either format."""
    folded = count_model(parse_spec('vminet-xs:impl=triton,deploy'), memory_format=layout)
    assert folded.in_units(lambda passes: passes.infer.bytes) < 13.15
    assert [block.passes.infer.launches for block in folded.blocks] == [4, 4, 3, 3]
    trained = count_model(parse_spec('vminet-xs:impl=triton'), memory_format=layout)
    assert trained.in_units(lambda passes: passes.forward.bytes + passes.backward.bytes) < 59.75
    assert [block.passes.forward.launches for block in trained.blocks] == [8, 8, 7, 7]
    assert [block.passes.backward.launches for block in trained.blocks] == [19, 19, 17, 17]


@pytest.mark.parametrize(
    ('size', 'there', 'back'),
    [((224, 224), [3, 3, 2, 2], [5, 5, 3, 3]), ((800, 1280), [3] * 4, [10] * 4)],
)
def test_launches_of_the_attention(
    size: tuple[int, int], there: list[int], back: list[int]
) -> None:
    """With the weights of the context; forward with W1, W2, W3 and the residual connection."""
    spec = parse_spec('vminet-xs:impl=triton,img_size=224')
    blocks = count_model(spec, 128 if size == (224, 224) else 2, size).blocks
    convolution_and_norm = 5  # one, statistics and result, the count of batches, the bias of a mean
    assert [b.passes.forward.launches - convolution_and_norm for b in blocks] == there
    # four products, a bias, W1|W2 as one, two gradients rounded to half, the residual connection;
    # two of the norm, two of the convolution, and no gradient for its bias
    others = 4 + 1 + 1 + 2 + 1 + 2 + 2 + 1
    assert [b.passes.backward.launches - others for b in blocks] == back


def test_torch_in_half_precision_copies_nothing() -> None:
    """No pass that only changes the dtype of Q, K or a gradient; a half is 2 P, float32 4 P."""
    spec = parse_spec('vminet-ti:impl=torch,img_size=128')  # few numbers by image and channel
    block = count_model(spec, batch=4096, size=(128, 128)).blocks[2]
    forward, backward = block.passes.forward.bytes, block.passes.backward.bytes
    # convolution and norm 5, W1|W2 5; ReLU6 4, E 8, c 12, mixture 6, ReLU6 4; W3 and residual 6
    assert 50 * block.unit < forward < 50.4 * block.unit
    # W3 3; ReLU6 4, E 8, mixture 8, its gradient 10 and sum 4, alpha's 12, beta's 8, E's 16,
    # those of Q and K 22, W3's input 10; W3 4, W1|W2 14, norm 5, convolution 4, residual 3
    assert 135 * block.unit < backward < 136 * block.unit


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
