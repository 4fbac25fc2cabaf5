"""What holds for every backbone of another paper."""

import pytest
import torch
from mmengine.registry import MODELS
from tiny_peers import ARCHS, number_kept, tiny
from torch import nn

from vminet_mm import peers
from vminet_mm.peers.backbone import PeerBackbone, Recomputable, drop_path_rates

SHARED = sorted(ARCHS)
every_peer = pytest.mark.parametrize('name', SHARED)


def maps(name: str, size: tuple[int, int], **options: object) -> tuple[torch.Tensor, ...]:
    with torch.no_grad():
        return tiny(name, out_indices=(0, 1, 2, 3), **options).eval()(torch.randn(2, 3, *size))


@every_peer
def test_is_built_by_its_name(name: str) -> None:
    model = MODELS.build(dict(type=name, arch=ARCHS[name], out_indices=-2))
    assert type(model) is getattr(peers, name) and isinstance(model, PeerBackbone)
    assert model.out_indices == (2,)


@every_peer
@pytest.mark.parametrize('size', [(1, 1), (33, 65), (70, 17)])
def test_any_size(name: str, size: tuple[int, int]) -> None:
    outputs = maps(name, size)
    channels = tiny(name).out_channels
    for i, y in enumerate(outputs):
        stride = 4 * 2**i
        expected = (2, channels[i], -(-size[0] // stride), -(-size[1] // stride))
        assert y.shape == expected and y.isfinite().all()


@every_peer
def test_images_of_a_batch_do_not_mix(name: str) -> None:
    model, x = tiny(name).eval(), torch.randn(3, 3, 41, 52)
    with torch.no_grad():
        torch.testing.assert_close(model(x)[0][1:2], model(x[1:2])[0], rtol=1e-4, atol=1e-5)


@every_peer
def test_every_parameter_learns_and_recomputing_changes_nothing(name: str) -> None:
    x, found, buffers = torch.randn(2, 3, 64, 64), [], []
    for with_cp in (False, True):
        model = tiny(name, out_indices=(0, 1, 2, 3), with_cp=with_cp).train()
        sum(y.square().mean() for y in model(x)).backward()
        found.append({k: p.grad for k, p in model.named_parameters()})
        buffers.append(dict(model.named_buffers()))
    torch.testing.assert_close(buffers[1], buffers[0])  # norms have counted the batch once
    without = [k for k, grad in found[0].items() if grad is None or not grad.abs().sum() > 0]
    assert without == []
    for name_, grad in found[0].items():
        torch.testing.assert_close(found[1][name_], grad, rtol=1e-4, atol=1e-6, msg=name_)


@every_peer
def test_the_first_block_behind_frozen_stages_is_recomputed(name: str) -> None:
    """Its input has no gradient, and it has much to keep all the same."""
    kept = []
    for with_cp in (False, True):
        model = tiny(name, frozen_stages=0, with_cp=with_cp).train()
        block = next(m for m in model.modules() if isinstance(m, Recomputable))
        channels = model.out_channels[0]
        shape = (1, 4, 4, channels) if name == 'LVT' else (1, channels, 4, 4)
        kept.append(number_kept(block, torch.randn(shape)))
    assert kept[0] > 20 and kept[1] <= 1


@every_peer
def test_bfloat16_is_near_float32(name: str) -> None:
    model, x = tiny(name).eval(), torch.randn(1, 3, 40, 56)
    with torch.no_grad():
        expected = model(x)[0]
        with torch.autocast('cpu', torch.bfloat16):
            y = model(x)[0].float()
    assert (y - expected).norm() < 0.1 * expected.norm()


@every_peer
def test_images_of_one_channel(name: str) -> None:
    model = tiny(name, in_channels=1)
    assert model(torch.randn(2, 1, 32, 32))[0].shape[0] == 2
    with pytest.raises(ValueError, match='in_channels'):
        tiny(name, in_channels=0)


@every_peer
def test_frozen_stages(name: str) -> None:
    model = tiny(name, frozen_stages=2).train()
    stem, first, second, third, _ = model.stages_from_stem()
    for part in (stem, first, second):
        assert not part.training and not any(p.requires_grad for p in part.parameters())
    assert third.training and all(p.requires_grad for p in third.parameters())
    with pytest.raises(ValueError, match=r'frozen_stages must be in -1\.\.4'):
        tiny(name, frozen_stages=5)


# of a parameter its layer: five blocks, the image before them, and what stands behind
LAYERS = {
    'EfficientVMamba': {
        'patch_embed.0.weight': 0,
        'layers.0.blocks.0.op.Ds': 1,
        'layers.0.downsample.norm.bias': 1,
        'layers.1.blocks.0.se.norm.bias': 2,
        'layers.2.blocks.1.conv_pw.0.weight': 4,
        'layers.2.downsample.reduction.weight': 4,
        'layers.3.blocks.0.se.conv_reduce.bias': 5,
        'outnorm3.weight': 6,
    },
    'LVT': {
        'stages.0.0.proj.weight': 0,
        'stages.0.1.0.norm1.weight': 1,
        'stages.1.0.norm.weight': 1,
        'stages.2.1.0.mlp.fc1.bias': 3,
        'stages.3.0.proj.bias': 3,
        'stages.3.1.1.attn.ds.weight': 5,
    },
    'VMamba': {
        'patch_embed.7.bias': 0,
        'layers.0.blocks.0.norm.bias': 1,
        'layers.1.blocks.1.mlp.fc2.bias': 3,
        'layers.1.downsample.1.weight': 3,
        'layers.2.blocks.0.op.A_logs': 4,
        'outnorm0.weight': 6,
    },
}


@every_peer
def test_layer_depth(name: str) -> None:
    model = tiny(name, out_indices=(0, 3))
    names = [key for key, _ in model.named_parameters()]
    for key, layer in LAYERS[name].items():
        assert key in names
        assert model.get_layer_depth(f'backbone.{key}', 'backbone.') == (layer, 7)
    assert model.get_layer_depth('head.fc.weight', 'backbone.') == (6, 7)
    layers = [model.get_layer_depth(key)[0] for key in names]
    assert set(layers) == set(range(6 if name == 'LVT' else 7)) and layers == sorted(layers)


def test_norm_eval() -> None:
    model = tiny('EfficientVMamba', norm_eval=True).train()
    norms = [m for m in model.modules() if isinstance(m, nn.BatchNorm2d)]
    assert norms and not any(norm.training for norm in norms)
    assert not tiny('EfficientVMamba', norm_eval='auto').norm_eval
    init_cfg = dict(type='Pretrained', checkpoint='a.pth')
    assert tiny('EfficientVMamba', norm_eval='auto', init_cfg=init_cfg).norm_eval
    with pytest.raises(ValueError, match='norm_eval'):
        tiny('EfficientVMamba', norm_eval='never')


@every_peer
def test_stochastic_depth_grows(name: str) -> None:
    model = tiny(name, drop_path_rate=0.4)
    rates = [m.drop_prob for m in model.modules() if type(m).__name__ == 'DropPath']
    assert rates == pytest.approx([0.4 * i / 4 for i in range(5)])
    with pytest.raises(ValueError, match='drop_path_rate'):
        tiny(name, drop_path_rate=1.0)
    assert list(drop_path_rates(0.3, 1)) == [0.0]


@every_peer
def test_unknown_archs_and_outputs_are_errors(name: str) -> None:
    known = next(iter(getattr(peers, name).arch_settings))
    with pytest.raises(ValueError, match=f"unknown arch 'huge'; choose one of .*{known}"):
        tiny(name, arch='huge')
    with pytest.raises(ValueError, match='an arch dict must have the keys'):
        tiny(name, arch=dict(depths=(1, 1, 1, 1)))
    with pytest.raises(ValueError, match='out_indices'):
        tiny(name, out_indices=(0, 4))
