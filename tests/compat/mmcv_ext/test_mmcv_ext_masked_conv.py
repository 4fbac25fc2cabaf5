"""Masked convolution through mmcv.ops."""

import pytest
import torch
import torch.nn.functional as F
from mmcv.ops import MaskedConv2d
from mmcv_ext_reference import assert_close


@pytest.mark.parametrize(
    ('kernel', 'padding'), [((3, 3), (1, 1)), ((1, 1), (0, 0)), ((3, 5), (1, 2)), ((5, 3), (2, 3))]
)
def test_masked_conv_is_a_convolution_where_the_mask_is_on(device, dtype, kernel, padding):
    layer = MaskedConv2d(4, 6, kernel, padding=padding).to(device, dtype)
    image = torch.randn(1, 4, 5, 7, device=device, dtype=dtype)
    mask = torch.rand(1, 5, 7, device=device) > 0.5
    output = layer(image, mask.float())
    wanted = F.conv2d(
        image.cpu().double(),
        layer.weight.cpu().double(),
        layer.bias.cpu().double(),
        padding=padding,
    )
    wanted = wanted[:, :, :5, :7] * mask.cpu()  # wider padding makes the output larger
    assert_close(output[:, :, :5, :7], wanted, dtype)
    assert not output[:, :, 5:].any()
    assert not output[..., 7:].any()


def test_masked_conv_without_padding_ignores_positions_beyond_the_output(device):
    layer = MaskedConv2d(2, 3, 3).to(device)
    image = torch.randn(1, 2, 5, 6, device=device)
    output = layer(image, torch.ones(1, 5, 6, device=device))
    # mmcv's positions index input and output alike, so that output pixel p sees the window from p
    torch.testing.assert_close(output, F.conv2d(image, layer.weight, layer.bias))


def test_masked_conv_with_an_empty_mask_or_none(device):
    layer = MaskedConv2d(2, 3, 3, padding=1).to(device)
    image = torch.randn(1, 2, 4, 4, device=device)
    output = layer(image, torch.zeros(1, 4, 4, device=device))
    assert output.shape == (1, 3, 4, 4)
    assert not output.any()
    assert torch.equal(layer(image), F.conv2d(image, layer.weight, layer.bias, padding=1))


def test_masked_conv_of_one_position_by_hand(device):
    layer = MaskedConv2d(1, 1, 3, padding=1).to(device)
    torch.nn.init.ones_(layer.weight)
    torch.nn.init.constant_(layer.bias, 0.5)
    mask = torch.zeros(1, 3, 3, device=device)
    mask[0, 0, 2] = 1
    output = layer(torch.arange(9.0, device=device).view(1, 1, 3, 3), mask)
    assert output.flatten().tolist() == [0, 0, 1 + 2 + 4 + 5 + 0.5, 0, 0, 0, 0, 0, 0]
