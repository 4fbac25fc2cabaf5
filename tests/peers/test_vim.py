"""Vim: its mixer written out, its class token, and the positions of checkpoints."""

import pytest
import torch
import torch.nn.functional as F
from columnar_cases import ARCH, causal_convolution, scanned, spread

from vminet_mm.peers.vim import BidirectionalMixer, Vim


def test_the_mixer_gates_a_scan_forward_and_one_backward() -> None:
    mixer = spread(BidirectionalMixer(16, 'auto'))
    tokens = torch.randn(2, 7, 16)
    x, gate = (tokens @ mixer.in_proj.weight.t()).mT.chunk(2, 1)
    total = 0
    for ending, matrix in (('', 'A_log'), ('_b', 'A_b_log')):
        u, z = (x, gate) if not ending else (x.flip(2), gate.flip(2))
        y = causal_convolution(u, getattr(mixer, f'conv1d{ending}'))
        y = scanned(mixer, y, ending, matrix) * F.silu(z)
        total = total + (y if not ending else y.flip(2))
    expected = total.mT / 2 @ mixer.out_proj.weight.t()
    torch.testing.assert_close(mixer(tokens, (1, 7)), expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize('size', [(32, 48), (33, 16)], ids=str)
def test_the_class_token_stands_in_the_middle(size: tuple[int, int]) -> None:
    model = spread(Vim(ARCH, img_size=size, out_type='cls_token'))
    image = torch.randn(2, 3, *size)
    height, width = -(-size[0] // 16), -(-size[1] // 16)
    padded = F.pad(image, (0, 16 * width - size[1], 0, 16 * height - size[0]))
    patches = model.patch_embed.proj(padded).flatten(2).mT
    middle = height * width // 2
    tokens = [*patches.unbind(1)]
    tokens.insert(middle, model.cls_token[0].expand(2, -1))
    total = torch.stack(tokens, 1) + model.pos_embed
    mixed = total
    for i, layer in enumerate(model.layers):
        total = mixed if i == 0 else total + mixed
        normed = total / (total.square().mean(-1, keepdim=True) + 1e-5).sqrt() * layer.norm.weight
        mixed = layer.mixer(normed, (height, width))
    total = (total + mixed)[:, middle]
    expected = total / (total.square().mean(-1, keepdim=True) + 1e-5).sqrt() * model.norm_f.weight
    torch.testing.assert_close(model(image)[0], expected, rtol=1e-4, atol=1e-4)


def test_maps_are_what_a_layer_mixes_or_the_sum() -> None:
    model = spread(Vim(ARCH, img_size=32, out_indices=(0, 1, 2)))
    image = torch.randn(1, 3, 32, 32)
    first, second, third = model(image)
    model.add = True
    sums = model(image)
    tokens = model._with_positions(model.patch_embed(image), (2, 2)).mT.unflatten(2, (2, 2))
    torch.testing.assert_close(sums[0], tokens + first)
    torch.testing.assert_close(sums[2], tokens + first + second + third)


def test_positions_of_a_checkpoint() -> None:
    classifier = Vim(ARCH, img_size=48, out_type='cls_token')
    dense, large = Vim(ARCH, img_size=48), Vim(ARCH, img_size=(64, 96), out_type='cls_token')
    positions = torch.arange(10.0).repeat(32, 1).t()[None]  # of 9 patches; the 4th is the token's
    assert classifier.resize('pos_embed', positions) is not None
    assert torch.equal(classifier.resize('pos_embed', positions), positions)
    expected = torch.tensor([0.0, 1, 2, 3, 5, 6, 7, 8, 9])
    assert torch.equal(dense.resize('pos_embed', positions)[0, :, 0], expected)
    resized = large.resize('pos_embed', positions)
    assert resized.shape == large.pos_embed.shape and resized[0, 12, 0] == 4
    other = torch.rand(3)
    assert dense.resize('layers.0.norm.weight', other) is other
