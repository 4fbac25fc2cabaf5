"""The backbone: Table 1, its options, and every input size from one pixel up."""

import pytest
import torch
from mmengine.registry import MODELS
from torch import nn
from torch.nn.functional import pad

from vminet_mm.models import VMINet

TINY = dict(base_channels=8, expansion=2, depths=(1, 1, 2, 1))

# parameters with a head of 1000 classes: as in the paper, and with the first release's norms
PARAMETERS = {
    'ti': (2_032_426, 2_036_938),
    'xs': (7_431_346, 7_440_370),
    's': (13_338_418, 13_347_442),
    'b': (28_369_090, 28_387_138),
}


@pytest.mark.parametrize('arch', PARAMETERS)
@pytest.mark.parametrize('proj_bn', [False, True])
def test_parameters_of_table_1(arch: str, proj_bn: bool) -> None:
    backbone = VMINet(arch, proj_bn=proj_bn)
    head = nn.Linear(backbone.out_channels[-1], 1000)
    count = sum(p.numel() for m in (backbone, head) for p in m.parameters())
    assert count == PARAMETERS[arch][proj_bn]


def test_registered_in_the_root() -> None:
    backbone = MODELS.build(dict(type='VMINet', arch=TINY, out_indices=(0, 1, 2, 3)))
    assert isinstance(backbone, VMINet)
    for package in ('mmdet', 'mmseg', 'mmpretrain'):
        registry = __import__(f'{package}.registry', fromlist=['MODELS']).MODELS
        assert registry.get('VMINet') is VMINet


@pytest.mark.parametrize('size', [(1, 1), (1, 77), (31, 33), (64, 96), (224, 224)], ids=str)
@pytest.mark.parametrize('resize', ['pool', 'interpolate'])
def test_output_sizes(size: tuple[int, int], resize: str, device: torch.device) -> None:
    backbone = VMINet(TINY, out_indices=(0, 1, 2, 3), context_resize=resize).to(device).eval()
    outputs = backbone(torch.randn(2, 3, *size, device=device))
    for i, output in enumerate(outputs):
        stride = 4 * 2**i
        assert output.shape == (2, 8 * 2**i, -(-size[0] // stride), -(-size[1] // stride))
        assert output.isfinite().all()


def test_empty_batch() -> None:
    outputs = VMINet(TINY, out_indices=(1, 3)).eval()(torch.zeros(0, 3, 33, 40))
    assert [tuple(y.shape) for y in outputs] == [(0, 16, 5, 5), (0, 64, 2, 2)]


def test_native_sizes() -> None:
    grids = [tuple(stage[1].attn.alpha.shape) for stage in VMINet('ti').stages]
    assert grids == [(56, 56), (28, 28), (14, 14), (7, 7)]
    grids = [tuple(stage[1].attn.alpha.shape) for stage in VMINet(TINY, img_size=(65, 160)).stages]
    assert grids == [(17, 40), (9, 20), (5, 10), (3, 5)]


SMALL_IMAGES = dict(stem_stride=1, strides=(1, 2, 2, 2))


@pytest.mark.parametrize(
    ('strides', 'out_strides'),
    [
        (SMALL_IMAGES, [1, 2, 4, 8]),
        (dict(strides=[2, 2, 2, 1]), [4, 8, 16, 16]),
        (dict(stem_stride=3, strides=(1, 3, 2, 1)), [3, 9, 18, 18]),
    ],
    ids=str,
)
@pytest.mark.parametrize('size', [(1, 1), (32, 32), (33, 47)], ids=str)
def test_output_sizes_follow_the_strides(
    strides: dict, out_strides: list[int], size: tuple[int, int]
) -> None:
    backbone = VMINet(TINY, img_size=size, out_indices=(0, 1, 2, 3), **strides).eval()
    expected = [(-(-size[0] // stride), -(-size[1] // stride)) for stride in out_strides]
    assert [tuple(stage[1].attn.alpha.shape) for stage in backbone.stages] == expected
    assert [tuple(y.shape[2:]) for y in backbone(torch.randn(1, 3, *size))] == expected
    assert backbone.out_strides == out_strides


def test_strides_of_the_paper_are_the_default() -> None:
    backbone = VMINet(TINY, stem_stride=2, strides=(2, 2, 2, 2))
    assert backbone.out_strides == VMINet(TINY).out_strides == [4, 8, 16, 32]
    assert backbone.state_dict().keys() == VMINet(TINY).state_dict().keys()


@pytest.mark.parametrize(
    ('strides', 'reason'),
    [
        (dict(stem_stride=0), 'stem_stride must be 1, 2 or 3, not 0'),
        (dict(stem_stride=4), 'stem_stride must be 1, 2 or 3, not 4'),
        (dict(strides=2), 'strides must be four numbers, not 2'),
        (dict(strides=(2, 2, 2)), 'strides must be four numbers'),
        (dict(strides=(2, 2, 1.5, 2)), r'strides must be 1, 2 or 3, not 1\.5'),
    ],
    ids=str,
)
def test_wrong_strides(strides: dict, reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        VMINet(TINY, **strides)


@pytest.mark.parametrize('deploy', [False, True], ids=['trained', 'folded'])
@pytest.mark.parametrize(('edge', 'larger'), [(1, 3), (3, 7), (5, 7), (7, 9)])
@pytest.mark.parametrize('size', [(1, 1), (33, 47)], ids=str)
def test_smaller_kernels_are_larger_ones_with_zeros_around(
    edge: int, larger: int, size: tuple[int, int], deploy: bool
) -> None:
    small = VMINet(TINY, kernel_size=edge, img_size=32, strides=(1, 2, 2, 1)).eval()
    large = VMINet(TINY, kernel_size=larger, img_size=32, strides=(1, 2, 2, 1)).eval()
    border = [(larger - edge) // 2] * 4
    large.load_state_dict(
        {k: pad(v, border) if 'dwconv.conv.w' in k else v for k, v in small.state_dict().items()}
    )
    if deploy:
        small.switch_to_deploy()
    x = torch.randn(2, 3, *size)
    torch.testing.assert_close(small(x), large(x))


def test_kernels_of_the_paper_are_the_default() -> None:
    shapes = {k: v.shape for k, v in VMINet(TINY, kernel_size=7).state_dict().items()}
    assert shapes == {k: v.shape for k, v in VMINet(TINY).state_dict().items()}
    assert shapes['stages.0.1.dwconv.conv.weight'] == (8, 1, 7, 7)


@pytest.mark.parametrize('edge', [0, -3, 4, 3.0, True, '3', (3, 3), None], ids=repr)
def test_wrong_kernel_size(edge: object) -> None:
    with pytest.raises(ValueError, match='kernel_size must be .* odd'):
        VMINet(TINY, kernel_size=edge)


def test_outputs_do_not_depend_on_which_are_returned() -> None:
    every = VMINet(TINY, out_indices=(0, 1, 2, 3)).eval()
    last = VMINet(TINY).eval()
    last.load_state_dict(every.state_dict(), strict=False)
    x = torch.randn(1, 3, 50, 70)
    torch.testing.assert_close(last(x)[-1], every(x)[-1])
    assert [k for k in last.state_dict() if k.startswith('norm')] == [
        k for k in every.state_dict() if k.startswith('norm.')
    ]


def test_negative_and_single_out_indices() -> None:
    assert VMINet(TINY, out_indices=-1).out_indices == (3,)
    assert VMINet(TINY, out_indices=(2, -4, -1)).out_indices == (0, 2, 3)


def test_output_norm_is_batch_norm_of_the_stage() -> None:
    backbone = VMINet(TINY, out_indices=(0, 1)).eval()
    x = torch.randn(2, 3, 40, 40)
    raw = backbone.stages[0](backbone.stem(x))
    torch.testing.assert_close(backbone(x)[0], raw / (1 + 1e-5) ** 0.5)
    nn.init.constant_(backbone.norm0.weight, 3.0)
    torch.testing.assert_close(backbone(x)[0], 3 * raw / (1 + 1e-5) ** 0.5)


def test_masks_of_the_blocks() -> None:
    hybrid = VMINet(dict(TINY, depths=(1, 1, 3, 2)), img_size=64, mask='hybrid')
    single = {m: VMINet(dict(TINY, depths=(1, 1, 3, 2)), img_size=64, mask=m) for m in
              ('tril', 'band')}  # fmt: skip
    expected = [['band'], ['band'], ['tril', 'band', 'tril'], ['tril', 'band']]
    for i, names in enumerate(expected):
        for j, name in enumerate(names, start=1):
            mask = hybrid.stages[i][j].attn.mask
            assert torch.equal(mask, single[name].stages[i][j].attn.mask), (i, j)


def test_drop_path_grows_linearly() -> None:
    backbone = VMINet('ti', drop_path_rate=0.23)
    rates = [block.drop_path.drop_prob for stage in backbone.stages for block in stage[1:]]
    assert len(rates) == 24
    assert rates == pytest.approx([0.01 * i for i in range(24)])


@pytest.mark.parametrize('frozen', [-1, 0, 1, 4])
def test_frozen_stages(frozen: int) -> None:
    backbone = VMINet(TINY, frozen_stages=frozen).train()
    for depth, module in enumerate([backbone.stem, *backbone.stages]):
        is_frozen = depth <= frozen
        assert all(p.requires_grad != is_frozen for p in module.parameters())
        assert all(m.training != is_frozen for m in module.modules())
    assert backbone.norm.weight.requires_grad and backbone.norm.training


def test_norm_eval() -> None:
    backbone = VMINet(TINY, norm_eval=True).train()
    assert backbone.training and backbone.stages[0].training
    norms = [m for m in backbone.modules() if isinstance(m, nn.BatchNorm2d)]
    assert norms and not any(norm.training for norm in norms)
    assert all(m.training for m in VMINet(TINY).train().modules())


def test_norm_eval_spares_the_norms_that_no_checkpoint_has() -> None:
    backbone = VMINet(TINY, out_indices=(0, 1, 2, 3), norm_eval=True).train()
    assert backbone.norm0.training and backbone.norm1.training and backbone.norm2.training
    assert not backbone.norm.training and not backbone.stem[0].bn.training


def test_norm_eval_auto_follows_the_checkpoint() -> None:
    assert VMINet(TINY, norm_eval='auto').norm_eval is False
    pretrained = dict(type='Pretrained', checkpoint='a.pth')
    assert VMINet(TINY, norm_eval='auto', init_cfg=pretrained).norm_eval is True
    assert VMINet(TINY, norm_eval=False, init_cfg=pretrained).norm_eval is False


def test_norm_cfg_reaches_every_norm() -> None:
    backbone = VMINet(TINY, proj_bn=True, norm_cfg=dict(type='GN', num_groups=4))
    assert not any(isinstance(m, nn.BatchNorm2d) for m in backbone.modules())
    assert sum(isinstance(m, nn.GroupNorm) for m in backbone.modules()) == 1 + 4 + 2 * 5 + 1


def test_with_cp_gives_the_same_gradients() -> None:
    plain = VMINet(TINY, img_size=32)
    recomputed = VMINet(TINY, img_size=32, with_cp=True)
    recomputed.load_state_dict(plain.state_dict())
    x = torch.randn(2, 3, 45, 37)
    for backbone in (plain, recomputed):
        backbone.train()(x)[-1].square().sum().backward()
    for p, q in zip(plain.parameters(), recomputed.parameters(), strict=True):
        torch.testing.assert_close(q.grad, p.grad)


def test_autocast(device: torch.device) -> None:
    backbone = VMINet(TINY).to(device).eval()
    x = torch.randn(1, 3, 60, 44, device=device)
    with torch.autocast(device.type, dtype=torch.bfloat16):
        low = backbone(x)[-1]
    torch.testing.assert_close(low.float(), backbone(x)[-1], rtol=0.1, atol=0.05)
