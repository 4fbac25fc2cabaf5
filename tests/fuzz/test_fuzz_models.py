"""Block, backbone and neck at random widths, options and input sizes."""

import copy
import math

import torch
import torch.nn.functional as F
from fuzz_strategies import (
    FORMS,
    HALFWIDTHS,
    MASKS,
    RECURRENT_MASKS,
    RESIZES,
    SEEDS,
    grids,
    sizes,
)
from hypothesis import assume, given
from hypothesis import strategies as st
from torch import Tensor, nn

from vminet_mm.models import SimpleFeaturePyramid, VMINet, VMISABlock

STRIDES = (4, 8, 16, 32)
BLOCK_OPTIONS = dict(
    attention=st.sampled_from(['vmi_sa', 'vmi_sa', 'vmi_sa', 'none']),
    band_halfwidth=HALFWIDTHS,
    context_resize=RESIZES,
    form=FORMS,
    recurrent_mask=RECURRENT_MASKS,
    proj_bn=st.booleans(),
    with_cp=st.booleans(),
)


def randomised(model: nn.Module, seed: int) -> nn.Module:
    """Values such that no part of the model is the identity, and every one matters."""
    generator = torch.Generator().manual_seed(seed)
    for name, value in model.state_dict().items():
        if value.is_floating_point():
            is_scale = name.endswith(('running_var', 'scale', 'beta', 'bn.weight', 'norm.weight'))
            value.normal_(0, 0.3, generator=generator)
            value.abs_().add_(0.5) if is_scale else value
    return model.double().eval()


def outcome(model: nn.Module, x: Tensor) -> list[Tensor]:
    """Outputs, and the gradients of the input and of every parameter."""
    model.zero_grad()
    x = x.clone().requires_grad_()
    outputs = model(x)
    outputs = outputs if isinstance(outputs, tuple) else (outputs,)
    sum((y * torch.linspace(-1, 2, y.numel()).view(y.shape)).mean() for y in outputs).backward()
    return [*(y.detach() for y in outputs), x.grad, *(p.grad for p in model.parameters())]


def check_impls(model: nn.Module, reference: nn.Module, x: Tensor) -> None:
    """What is computed, in evaluation and in training, with the gradients."""
    assert [*reference.state_dict()] == [*model.state_dict()]
    reference.load_state_dict(model.state_dict())
    for actual, expected in zip(outcome(model, x), outcome(reference, x), strict=True):
        assert (actual is None) == (expected is None)  # of what no output depends on
        if expected is not None:
            assert expected.isfinite().all()
            torch.testing.assert_close(actual, expected)


@given(
    st.fixed_dictionaries(BLOCK_OPTIONS | dict(mask=MASKS)),
    grids(9),
    st.tuples(st.integers(0, 2), st.integers(1, 6), st.integers(1, 4)),
    SEEDS,
)
def test_block(options: dict, grid: tuple, counts: tuple[int, int, int], seed: int) -> None:
    size, native = grid
    batch, channels, options['expansion'] = counts
    outer = {name: options.pop(name) for name in ('expansion', 'with_cp')}
    block = VMISABlock(channels, native, attn_cfg=dict(options, impl='torch'), **outer)
    block = randomised(block, seed)
    torch.manual_seed(seed)
    x = torch.randn(batch, channels, *size, dtype=torch.float64)
    assert block(x).shape == x.shape
    reference = VMISABlock(channels, native, attn_cfg=dict(options, impl='reference'), **outer)
    reference = reference.double().eval()
    check_impls(block, reference, x)
    folded = copy.deepcopy(block)
    folded.switch_to_deploy()
    torch.testing.assert_close(folded(x), block(x))


@st.composite
def backbones(draw: st.DrawFn) -> dict:
    """The options of a tiny VMINet."""
    options = draw(st.fixed_dictionaries(BLOCK_OPTIONS))
    depths = draw(st.lists(st.integers(0, 2), min_size=4, max_size=4))
    arch = dict(
        base_channels=draw(st.integers(1, 5)), expansion=draw(st.integers(1, 3)), depths=depths
    )
    return options | dict(
        arch=arch,
        img_size=draw(st.one_of(st.integers(1, 80), sizes(80))),
        in_channels=draw(st.integers(1, 4)),
        out_indices=draw(st.lists(st.integers(-4, 3), min_size=1, max_size=5)),
        mask=draw(st.one_of(MASKS, st.just('hybrid'))),
        channels_last=draw(st.sampled_from([True, False, 'auto'])),
    )


@given(backbones(), sizes(75), st.integers(0, 2), SEEDS)
def test_backbone(options: dict, size: tuple[int, int], batch: int, seed: int) -> None:
    model = randomised(VMINet(impl='torch', **options), seed)
    torch.manual_seed(seed)
    x = torch.randn(batch, options['in_channels'], *size, dtype=torch.float64)
    with torch.no_grad():
        outputs = model(x)
    stages = sorted({i % 4 for i in options['out_indices']})
    assert len(outputs) == len(stages)
    for stage, output in zip(stages, outputs, strict=True):
        height, width = (-(-edge // STRIDES[stage]) for edge in size)
        width_of_stage = options['arch']['base_channels'] * 2**stage
        assert output.shape == (batch, width_of_stage, height, width)
        assert output.isfinite().all()
    native = options['img_size'] if isinstance(options['img_size'], tuple) else None
    for stage, stride in zip(model.stages, STRIDES, strict=True):
        edges = native or (options['img_size'],) * 2
        for block in stage[1:]:
            if options['attention'] == 'vmi_sa':
                assert block.attn.alpha.shape == tuple(-(-edge // stride) for edge in edges)
    check_impls(model, VMINet(impl='reference', **options).double().eval(), x)


@given(backbones(), sizes(75), SEEDS)
def test_training_step(options: dict, size: tuple[int, int], seed: int) -> None:
    assume(max(size) > 32)  # batch norms want more than one value a channel
    model = randomised(VMINet(drop_path_rate=0.5, **options), seed).float().train()
    torch.manual_seed(seed)
    outputs = model(torch.randn(2, options['in_channels'], *size))
    sum(y.square().mean() for y in outputs).backward()
    last = max(i % 4 for i in options['out_indices'])
    used = nn.ModuleList([model.stem, *model.stages[: last + 1]])
    assert all(p.grad is not None and p.grad.isfinite().all() for p in used.parameters())


@st.composite
def necks(draw: st.DrawFn) -> dict:
    """The options of a small pyramid."""
    scales = draw(st.lists(st.sampled_from([0.25, 0.5, 1, 2, 4, 8]), min_size=1, max_size=4))
    channels = draw(st.integers(1, 3)) * int(max(1, *scales, 1))
    others = draw(st.lists(st.integers(1, 5), max_size=3))
    index = draw(st.integers(0, len(others)))
    widths = [*others[:index], channels, *others[index:]]
    return dict(
        in_channels=widths,
        in_index=draw(st.sampled_from([index, index - len(widths)])),
        scale_factors=scales,
        out_channels=draw(st.integers(1, 5)),
        num_outs=len(scales) + draw(st.integers(0, 3)),
    )


def pyramid(neck: SimpleFeaturePyramid, x: Tensor, scales: list[float], levels: int) -> list:
    """The levels out of functional calls."""

    def norm(y: Tensor, layer: nn.LayerNorm) -> Tensor:
        centered = y - y.mean(1, keepdim=True)
        y = centered / (centered.square().mean(1, keepdim=True) + layer.eps).sqrt()
        return y * layer.weight[:, None, None] + layer.bias[:, None, None]

    outputs = []
    for branch, scale in zip(neck.branches, scales, strict=True):
        y, layers = x, list(branch)
        while scale > 1:
            up = layers.pop(0)
            y = F.conv_transpose2d(y, up.weight, up.bias, stride=2)
            scale /= 2
            if scale > 1:
                y = F.gelu(norm(y, layers.pop(0)))
                layers.pop(0)
        while scale < 1:
            layers.pop(0)
            padded = F.pad(y, (0, y.shape[3] % 2, 0, y.shape[2] % 2), value=-torch.inf)
            y = padded.unfold(2, 2, 2).unfold(3, 2, 2).amax((4, 5))
            scale *= 2
        lateral, norm1, conv, norm2 = layers
        y = norm(F.conv2d(y, lateral.weight), norm1)
        outputs.append(norm(F.conv2d(y, conv.weight, padding=1), norm2))
    while len(outputs) < levels:
        outputs.append(outputs[-1][:, :, ::2, ::2])
    return outputs


@given(necks(), sizes(7), st.integers(1, 2), SEEDS)
def test_neck(options: dict, size: tuple[int, int], batch: int, seed: int) -> None:
    neck = randomised(SimpleFeaturePyramid(**options), seed)
    torch.manual_seed(seed)
    maps = [torch.randn(batch, c, *size, dtype=torch.float64) for c in options['in_channels']]
    scales, levels = options['scale_factors'], options['num_outs']
    found = neck(maps)
    expected = pyramid(neck, maps[options['in_index']], scales, levels)
    for level, (actual, wanted) in enumerate(zip(found, expected, strict=True)):
        last = min(level, len(scales) - 1)
        edges = (math.ceil(edge * scales[last] / 2 ** (level - last)) for edge in size)
        assert actual.shape == (batch, options['out_channels'], *edges)
        torch.testing.assert_close(actual, wanted)
