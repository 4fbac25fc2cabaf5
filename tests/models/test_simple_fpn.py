"""The neck: sizes, parameters counted by hand, and ViTDet's own setting."""

import pytest
import torch
import torch.nn.functional as F
from mmengine.registry import MODELS
from torch import nn

from vminet_mm.models import SimpleFeaturePyramid
from vminet_mm.models.simple_fpn import LayerNorm2d


@pytest.mark.parametrize('size', [(1, 1), (3, 5), (7, 4)], ids=str)
def test_default_levels(size: tuple[int, int]) -> None:
    neck = SimpleFeaturePyramid(16, out_channels=8)
    levels = neck(torch.randn(2, 16, *size))
    for level, scale in zip(levels[:4], (8, 4, 2, 1), strict=True):
        assert level.shape == (2, 8, size[0] * scale, size[1] * scale)
    assert levels[4].shape == (2, 8, -(-size[0] // 2), -(-size[1] // 2))
    assert torch.equal(levels[4], levels[3][:, :, ::2, ::2])


def test_parameters_by_hand() -> None:
    c, out = 384, 256

    def deconvs(steps: int) -> int:
        count, channels = 0, c
        for step in range(steps):
            count += 2 * channels if step else 0  # the norm before, of all but the first
            count += channels * (channels // 2) * 4 + channels // 2
            channels //= 2
        return count

    def lateral(channels: int) -> int:
        return channels * out + 2 * out + out * out * 9 + 2 * out

    expected = sum(deconvs(s) + lateral(c // 2**s) for s in (3, 2, 1, 0))
    neck = SimpleFeaturePyramid(c)
    assert sum(p.numel() for p in neck.parameters()) == expected == 3_600_112


def test_branch_structure() -> None:
    names = [type(m).__name__ for m in SimpleFeaturePyramid(64, out_channels=8).branches[0]]
    up = 'ConvTranspose2d'
    tail = ['Conv2d', 'LayerNorm2d', 'Conv2d', 'LayerNorm2d']
    assert names == [up, 'LayerNorm2d', 'GELU', up, 'LayerNorm2d', 'GELU', up, *tail]


def test_vitdet_setting() -> None:
    neck = SimpleFeaturePyramid(
        [8, 768], out_channels=16, scale_factors=(4, 2, 1, 0.5), in_index=1, num_outs=5
    )
    levels = neck([torch.randn(1, 8, 99, 99), torch.randn(1, 768, 6, 10)])
    assert [tuple(x.shape[-2:]) for x in levels] == [(24, 40), (12, 20), (6, 10), (3, 5), (2, 3)]


def test_in_index_takes_that_map() -> None:
    neck = SimpleFeaturePyramid([4, 8, 16], out_channels=4, in_index=-1)
    maps = [torch.randn(1, c, 3, 3) for c in (4, 8, 16)]
    for one, other in zip(neck(maps), neck(maps[-1]), strict=True):
        assert torch.equal(one, other)


def test_layer_norm_over_channels() -> None:
    norm, x = LayerNorm2d(6), torch.randn(2, 6, 3, 5)
    nn.init.normal_(norm.weight)
    mean = x.mean(1, keepdim=True)
    variance = x.var(1, unbiased=False, keepdim=True)
    expected = (x - mean) / (variance + 1e-5).sqrt() * norm.weight[:, None, None]
    torch.testing.assert_close(norm(x), expected)


def test_norm_cfg() -> None:
    neck = SimpleFeaturePyramid(16, norm_cfg=dict(type='BN'))
    assert not any(isinstance(m, nn.LayerNorm) for m in neck.modules())
    assert sum(isinstance(m, nn.BatchNorm2d) for m in neck.modules()) == 3 + 8
    neck = SimpleFeaturePyramid(16, norm_cfg=dict(type='LN', eps=1e-3, requires_grad=True))
    assert {m.eps for m in neck.modules() if isinstance(m, LayerNorm2d)} == {1e-3}
    neck = SimpleFeaturePyramid(16, norm_cfg=dict(type='LN', requires_grad=False))
    norms = [m for m in neck.modules() if isinstance(m, LayerNorm2d)]
    assert not any(p.requires_grad for norm in norms for p in norm.parameters())


def test_branch_by_functional_calls() -> None:
    neck = SimpleFeaturePyramid(8, out_channels=4, scale_factors=(2,), num_outs=1)
    up, lateral, norm1, conv, norm2 = neck.branches[0]
    x = torch.randn(1, 8, 3, 2)
    y = F.conv_transpose2d(x, up.weight, up.bias, stride=2)
    y = norm1(F.conv2d(y, lateral.weight))
    y = norm2(F.conv2d(y, conv.weight, padding=1))
    torch.testing.assert_close(neck(x)[0], y)


def test_gradients_reach_every_parameter() -> None:
    neck = SimpleFeaturePyramid(16, out_channels=4)
    sum(level.square().sum() for level in neck(torch.randn(1, 16, 2, 3))).backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in neck.parameters())


def test_registered() -> None:
    neck = MODELS.build(dict(type='SimpleFeaturePyramid', in_channels=[4, 8], num_outs=6))
    assert len(neck([torch.randn(1, 4, 4, 4), torch.randn(1, 8, 2, 2)])) == 6


@pytest.mark.parametrize(
    ('options', 'message'),
    [
        (dict(scale_factors=(3,)), 'powers of two, not 3'),
        (dict(scale_factors=(0,)), 'powers of two, not 0'),
        (dict(in_channels=12), '12 channels cannot be halved 3 times'),
        (dict(num_outs=3), 'num_outs=3 is less than the 4 scale_factors'),
    ],
    ids=str,
)
def test_bad_options(options: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        SimpleFeaturePyramid(**dict(dict(in_channels=16), **options))
