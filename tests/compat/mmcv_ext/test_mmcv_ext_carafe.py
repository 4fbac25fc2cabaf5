"""CARAFE through mmcv.ops."""

import pytest
import torch
from mmcv import _ext
from mmcv.ops import CARAFE, CARAFENaive, CARAFEPack
from mmcv_ext_reference import assert_close, assert_same_gradients, leaves

# (kernel, groups, scale)
SETTINGS = [(3, 1, 2), (5, 2, 3), (1, 4, 1)]


def inputs(kernel, groups, scale):
    features = torch.randn(2, 4, 3, 5)
    return features, torch.rand(2, groups * kernel * kernel, 3 * scale, 5 * scale)


def slow_carafe(features, masks, kernel, groups, scale):
    batch, channels, height, width = features.shape
    half = kernel // 2
    output = []
    for b in range(batch):
        for c in range(channels):
            group = c // (channels // groups)
            for y in range(height * scale):
                for x in range(width * scale):
                    total = features.new_zeros(())
                    for k in range(kernel * kernel):
                        row = y // scale + k // kernel - half
                        col = x // scale + k % kernel - half
                        if 0 <= row < height and 0 <= col < width:
                            mask = masks[b, group * kernel * kernel + k, y, x]
                            total = total + features[b, c, row, col] * mask
                    output.append(total)
    return torch.stack(output).view(batch, channels, height * scale, width * scale)


@pytest.mark.parametrize('setting', SETTINGS[:1])
def test_carafe_in_every_precision(device, dtype, setting):
    ours, references = leaves(device, dtype, *inputs(*setting))
    assert_same_gradients(
        CARAFE(*setting)(*ours), slow_carafe(*references, *setting), ours, references, dtype
    )


@pytest.mark.parametrize('setting', SETTINGS[1:])
def test_carafe_equals_definition(device, setting):
    ours, references = leaves(device, torch.float32, *inputs(*setting))
    assert_same_gradients(
        CARAFE(*setting)(*ours), slow_carafe(*references, *setting), ours, references
    )


def test_carafe_naive_is_the_same(device):
    ours, _ = leaves(device, torch.float32, *inputs(3, 2, 2))
    output = CARAFE(3, 2, 2)(*ours)
    naive = CARAFENaive(3, 2, 2)(*ours)
    torch.testing.assert_close(naive, output)
    grad = torch.randn_like(output)
    output.backward(grad)
    # mmcv's Python allows this one's backward on a GPU only: call the operator itself
    grads = [torch.zeros_like(tensor) for tensor in ours]
    _ext.carafe_naive_backward(
        grad,
        *(tensor.detach() for tensor in ours),
        *grads,
        kernel_size=3,
        group_size=2,
        scale_factor=2,
    )
    for mine, wanted in zip(grads, ours, strict=True):
        assert_close(mine, wanted.grad.cpu().double())


def test_carafe_of_a_centered_kernel_repeats_pixels(device):
    features = torch.randn(1, 2, 3, 4, device=device)
    masks = torch.zeros(1, 9, 6, 8, device=device)
    masks[:, 4] = 1
    wanted = features.repeat_interleave(2, dim=2).repeat_interleave(2, dim=3)
    assert torch.equal(CARAFE(3, 1, 2)(features, masks), wanted)


def test_carafe_pack_trains(device):
    layer = CARAFEPack(channels=4, scale_factor=2, compressed_channels=3).to(device)
    output = layer(torch.randn(1, 4, 5, 3, device=device))
    assert output.shape == (1, 4, 10, 6)
    output.square().sum().backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in layer.parameters())
    assert layer.content_encoder.weight.grad.any()
