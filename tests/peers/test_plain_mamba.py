"""PlainMamba: its mixer written out, and its layers."""

import pytest
import torch
import torch.nn.functional as F
from columnar_cases import ARCHS, spread

from vminet_mm.ops.selective_scan.reference import selective_scan
from vminet_mm.peers.plain_mamba import PlainMamba, PlainMixer


def test_the_mixer_follows_the_authors_code() -> None:
    mixer = spread(PlainMixer(16, 'auto'))
    tokens = torch.randn(2, 6, 16)  # 0 1 2 / 3 4 5
    x, gate = F.linear(tokens, mixer.in_proj.weight, mixer.in_proj.bias).chunk(2, -1)
    x = F.silu(mixer.conv2d(x.mT.unflatten(2, (2, 3)))).flatten(2)
    step, B, C = (x.mT @ mixer.x_proj.weight.t()).split([1, 16, 16], -1)
    bias = mixer.dt_proj.bias
    step = F.softplus(F.linear(step, mixer.dt_proj.weight, bias) + bias)  # indeed twice
    paths = [  # and the steps: 1 right, 2 left, 3 up, 4 down
        ([0, 1, 2, 5, 4, 3], [0, 1, 1, 4, 2, 2]),
        ([3, 4, 5, 2, 1, 0], [0, 1, 1, 3, 2, 2]),
        ([0, 3, 4, 1, 2, 5], [0, 4, 1, 3, 1, 4]),
        ([5, 2, 1, 4, 3, 0], [0, 3, 2, 4, 2, 3]),
    ]
    total = 0
    for path, steps in paths:
        own = B + mixer.direction_Bs[steps]
        y = selective_scan(x[:, :, path], step.mT, -mixer.A_log.exp(), own.mT, C.mT, mixer.D)
        total = total + torch.stack([y[:, :, path.index(t)] for t in range(6)], 2)
    expected = mixer.out_proj(total.mT * F.silu(gate))
    torch.testing.assert_close(mixer(tokens, (2, 3)), expected, rtol=1e-4, atol=1e-5)


def test_layers_and_norms() -> None:
    model = spread(PlainMamba(ARCHS['PlainMamba'], img_size=32, out_indices=(0, 1, 2)))
    maps = model(torch.randn(1, 3, 32, 48))
    assert [hasattr(layer, 'dw') for layer in model.layers] == [False, True, False]
    assert {'norm_layer0', 'norm_layer1', 'ln1'} <= dict(model.named_children()).keys()
    assert [tuple(y.shape) for y in maps] == [(1, 32, 2, 3)] * 3
    assert len(model.patch_embed.convs) == 6


def test_patches_have_an_even_edge() -> None:
    with pytest.raises(ValueError, match='patch_size must be even, not 15'):
        PlainMamba(ARCHS['PlainMamba'], patch_size=15)
