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


def test_a_sum_is_what_the_next_layer_is_given() -> None:
    """Also where stochastic depth drops what a layer has mixed; the last sum has all."""
    model = spread(Vim(ARCH, img_size=32, out_indices=(1, 2), add=True, drop_path_rate=0.9)).train()
    given, mixed = [], []
    last = model.layers[2]
    last.norm.register_forward_pre_hook(lambda _, inputs: given.append(inputs[0]))
    last.mixer.register_forward_hook(lambda _, inputs, output: mixed.append(output))
    assert last.drop_path.drop_prob == 0.45
    sums = [y.flatten(2).mT for y in model(torch.randn(8, 3, 32, 32))]
    assert torch.equal(sums[0], given[0]) and torch.equal(sums[1], given[0] + mixed[0])


def test_how_a_model_starts() -> None:
    """By the authors' code: of the step sizes the backward ones are all softplus(0)."""
    model = Vim(dict(embed_dims=64, num_layers=4), out_type='cls_token')
    for mixer in (layer.mixer for layer in model.layers):
        steps = F.softplus(mixer.dt_proj.bias)
        assert 1e-4 <= steps.min() < 0.01 < steps.max() <= 0.1001
        assert not mixer.dt_proj_b.bias.any()
        bound = 0.5 / mixer.out_proj.in_features**0.5  # torch's, by the root of four layers
        assert 0.9 * bound < mixer.out_proj.weight.abs().max() <= bound
    weight = model.patch_embed.proj.weight.detach()  # LeCun's of 768 pixels, for a cut that is none
    assert weight.std() * 768**0.5 == pytest.approx(1 / 0.8796, rel=0.02)
    assert weight.abs().max() > 2.5 * weight.std() and not model.patch_embed.proj.bias.any()


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


def test_positions_whose_number_is_a_square_by_chance() -> None:
    """24 patches and the class token are 25 tokens, and no square image of 5 x 5 patches."""
    size = dict(img_size=(48, 128), patch_size=16)
    positions = torch.arange(25.0)[None, :, None].expand(1, 25, 32)
    dense = Vim(ARCH, out_type='featmap', **size)
    assert dense.resize('pos_embed', positions)[0, :, 0].tolist() == [*range(12), *range(13, 25)]
    classifier = Vim(ARCH, out_type='cls_token', **size)
    assert torch.equal(classifier.resize('pos_embed', positions), positions)
    # those of a dense model for a square image of 5 x 5 patches
    square = Vim(ARCH, img_size=80, out_type='featmap')
    assert torch.equal(square.resize('pos_embed', positions), positions)
