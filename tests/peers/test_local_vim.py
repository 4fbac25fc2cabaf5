"""LocalVim: its mixer in windows written out, its rotation, and what directions may be."""

import math

import pytest
import torch
import torch.nn.functional as F
from columnar_cases import ARCH, causal_convolution, scanned, spread

from vminet_mm.peers.local_vim import SEARCHED, LocalMixer, LocalVim, Rotation


def test_the_mixer_scans_windows_with_empty_tokens() -> None:
    mixer = spread(LocalMixer(16, ['column_reversed', 'window2'], 'auto'))
    tokens = torch.randn(2, 6, 16)  # 0 1 2 / 3 4 5
    both = (tokens @ mixer.in_proj.weight.t()).mT
    orders = [[5, 2, 4, 1, 3, 0], [0, 1, 3, 4, 2, None, 5, None]]
    total = 0
    for i, order in enumerate(orders):
        taken = [both[:, :, 0] * 0 if t is None else both[:, :, t] for t in order]
        u, z = torch.stack(taken, 2).chunk(2, 1)
        y = causal_convolution(u, getattr(mixer, f'conv1d_{i}'))
        y = scanned(mixer, y, f'_{i}', f'A_log_{i}') * F.silu(z)
        y = torch.stack([y[:, :, order.index(t)] for t in range(6)], 1)
        gate = F.layer_norm(y, (32,), mixer.attn.norm.weight, mixer.attn.norm.bias).mean(1)
        gate = mixer.attn.channel_select(F.gelu(mixer.attn.global_reduce(gate))).sigmoid()
        total = total + y * gate[:, None]
    expected = total @ mixer.out_proj.weight.t()
    torch.testing.assert_close(mixer(tokens, (2, 3)), expected, rtol=1e-4, atol=1e-5)


def test_rotation_by_hand() -> None:
    """Of 8 channels two pairs turn by row, two by column, at speeds of 1 and 1 / 100."""
    rotation = Rotation(8, (2, 7))
    x = torch.randn(1, 14, 8)
    y = rotation(x, (2, 7)).view(2, 7, 4, 2)
    for i in range(2):
        for j in range(7):
            angles = [7.0 * i, 0.07 * i, 2.0 * j, 0.02 * j]
            for pair, angle in enumerate(angles):
                a, b = x.view(2, 7, 4, 2)[i, j, pair].tolist()
                turned = torch.tensor(
                    [
                        a * math.cos(angle) - b * math.sin(angle),
                        b * math.cos(angle) + a * math.sin(angle),
                    ]
                )
                torch.testing.assert_close(y[i, j, pair], turned, rtol=1e-4, atol=1e-5)


def test_directions() -> None:
    assert len(SEARCHED) == 20 and all(len(x.split()) == 4 for x in SEARCHED)
    model = LocalVim(ARCH, directions=['h', 'v_flip w7', 'w2_flip'])
    orders = [layer.mixer.orders for layer in model.layers]
    assert orders == [('row',), ('column_reversed', 'window7'), ('window2_reversed',)]
    searched = LocalVim(dict(ARCH, num_layers=21))
    orders = [layer.mixer.orders for layer in searched.layers]
    assert orders[0] == orders[20] == ('row', 'column_reversed', 'window7', 'window7_reversed')
    with pytest.raises(ValueError, match='directions are 2 for 3 layers'):
        LocalVim(ARCH, directions=['h', 'v'])
    with pytest.raises(ValueError, match="'w3'; choose of h, v"):
        LocalVim(ARCH, directions=['h', 'v', 'w3'])


def test_what_is_turned() -> None:
    """Before each layer both what is mixed and the sum are turned, again and again."""
    model = spread(LocalVim(ARCH, img_size=48, out_type='avg_featmap'))
    image = torch.randn(2, 3, 48, 48)
    total, mixed = None, model.patch_embed(image).flatten(2).mT + model.pos_embed
    for layer in model.layers:
        mixed = model.rope(mixed, (3, 3))
        total = mixed if total is None else model.rope(total, (3, 3)) + mixed
        mixed = layer.mixer(layer.norm(total), (3, 3))
    expected = model.norm_f(total + mixed).mean(1)
    torch.testing.assert_close(model(image)[0], expected, rtol=1e-4, atol=1e-4)


def test_dense_models_have_layer_norms() -> None:
    model = spread(LocalVim(ARCH, img_size=48, out_indices=(0, 2)))
    image = torch.randn(2, 3, 48, 48)
    total, mixed = None, model.patch_embed(image).flatten(2).mT + model.pos_embed
    expected = []
    for layer in model.layers:
        mixed = model.rope(mixed, (3, 3))
        total = mixed if total is None else model.rope(total, (3, 3)) + mixed
        normed = F.layer_norm(total, (32,), layer.norm.weight, layer.norm.bias, 1e-5)
        mixed = layer.mixer(normed, (3, 3))
        expected.append(mixed)
    for y, mixed, norm in zip(
        model(image), expected[::2], (model.outnorm_0, model.outnorm_1), strict=True
    ):
        normed = F.layer_norm(mixed, (32,), norm.weight, norm.bias, 1e-5)
        torch.testing.assert_close(y.flatten(2).mT, normed, rtol=1e-4, atol=1e-4)
