"""Deformable convolutions through mmcv.ops."""

import pytest
import torch
import torch.nn.functional as F
from mmcv import _ext
from mmcv.ops import DeformConv2d, ModulatedDeformConv2d, deform_conv2d, modulated_deform_conv2d
from mmcv_ext_reference import assert_same_gradients, leaves, zero_padded

# (kernel, stride, padding, dilation, groups, deformable groups)
GEOMETRIES = [
    ((3, 3), 1, 1, 1, 1, 1),
    ((3, 2), (2, 1), (0, 1), (1, 2), 2, 2),
    ((1, 1), 1, 0, 1, 1, 4),
]


def pair(value):
    return value if isinstance(value, tuple) else (value, value)


def output_size(size, kernel, stride, padding, dilation):
    spans = [d * (k - 1) + 1 for k, d in zip(kernel, pair(dilation), strict=True)]
    return [
        (n + 2 * p - span) // s + 1
        for n, p, span, s in zip(size, pair(padding), spans, pair(stride), strict=True)
    ]


def slow_deform_conv(inputs, offset, mask, weight, bias, stride, padding, dilation, deform_groups):
    """The definition: offsets are (y, x) for each deformable group and kernel position."""
    kernel = weight.shape[2:]
    taps = kernel[0] * kernel[1]
    size = offset.shape[2:]
    channels = inputs.shape[1] // deform_groups
    pixels = []
    for b in range(len(inputs)):
        for i in range(size[0]):
            for j in range(size[1]):
                columns = []
                for group in range(deform_groups):
                    plane = inputs[b, group * channels : (group + 1) * channels]
                    for tap in range(taps):
                        at = group * taps + tap
                        row, col = divmod(tap, kernel[1])
                        y = i * pair(stride)[0] - pair(padding)[0] + row * pair(dilation)[0]
                        x = j * pair(stride)[1] - pair(padding)[1] + col * pair(dilation)[1]
                        y, x = y + offset[b, 2 * at, i, j], x + offset[b, 2 * at + 1, i, j]
                        columns.append(zero_padded(plane, y, x) * mask[b, at, i, j])
                pixels.append(torch.stack(columns).view(deform_groups, taps, channels))
    # (pixels, C, taps), then an ordinary grouped product
    columns = torch.stack(pixels).transpose(2, 3).reshape(len(pixels), -1, *kernel)
    groups = inputs.shape[1] // weight.shape[1]
    output = F.conv2d(columns, weight, bias, groups=groups)
    return output.view(len(inputs), *size, -1).permute(0, 3, 1, 2)


@pytest.mark.parametrize('geometry', GEOMETRIES)
def test_deform_conv_equals_definition(device, dtype, geometry):
    kernel, stride, padding, dilation, groups, deform_groups = geometry
    taps = kernel[0] * kernel[1]
    size = output_size((5, 6), kernel, stride, padding, dilation)
    ours, references = leaves(
        device,
        dtype,
        torch.randn(2, 4, 5, 6),
        torch.randn(2, 2 * taps * deform_groups, *size) * 1.5,
        torch.randn(6, 4 // groups, *kernel),
    )
    output = deform_conv2d(*ours, stride, padding, dilation, groups, deform_groups)
    mask = torch.ones(2, taps * deform_groups, *size, dtype=torch.float64)
    image, offset, weight = references
    reference = slow_deform_conv(
        image, offset, mask, weight, None, stride, padding, dilation, deform_groups
    )
    assert_same_gradients(output, reference, ours, references, dtype)


@pytest.mark.parametrize('with_bias', [True, False])
@pytest.mark.parametrize('geometry', GEOMETRIES)
def test_modulated_deform_conv_equals_definition(device, dtype, geometry, with_bias):
    kernel, stride, padding, dilation, groups, deform_groups = geometry
    taps = kernel[0] * kernel[1]
    size = output_size((5, 6), kernel, stride, padding, dilation)
    tensors = [
        torch.randn(2, 4, 5, 6),
        torch.randn(2, 2 * taps * deform_groups, *size) * 1.5,
        torch.rand(2, taps * deform_groups, *size),
        torch.randn(6, 4 // groups, *kernel),
    ]
    if with_bias:
        tensors.append(torch.randn(6))
    ours, references = leaves(device, dtype, *tensors)
    bias = ours[4] if with_bias else None
    output = modulated_deform_conv2d(
        *ours[:4], bias, stride, padding, dilation, groups, deform_groups
    )
    bias = references[4] if with_bias else None
    reference = slow_deform_conv(*references[:4], bias, stride, padding, dilation, deform_groups)
    assert_same_gradients(output, reference, ours, references, dtype)


@pytest.mark.parametrize('layer_type', [DeformConv2d, ModulatedDeformConv2d])
def test_zero_offsets_are_a_convolution(device, layer_type):
    layer = layer_type(4, 6, 3, stride=2, padding=1, groups=2, bias=False).to(device)
    image = torch.randn(3, 4, 7, 9, device=device)
    extra = [torch.zeros(3, 18, 4, 5, device=device)]
    if layer_type is ModulatedDeformConv2d:
        extra.append(torch.full((3, 9, 4, 5), 0.5, device=device))
    wanted = F.conv2d(image, layer.weight, None, 2, 1, 1, 2) * (0.5 if len(extra) > 1 else 1)
    torch.testing.assert_close(layer(image, *extra), wanted, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize('frozen', ['image', 'weight', 'image and offset'])
def test_deform_conv_gradients_of_some(device, frozen):
    tensors = dict(
        image=torch.randn(2, 3, 4, 4),
        offset=torch.randn(2, 18, 4, 4),
        weight=torch.randn(2, 3, 3, 3),
    )
    tensors = {name: tensor.to(device).requires_grad_() for name, tensor in tensors.items()}
    deform_conv2d(*tensors.values(), 1, 1).square().sum().backward()
    wanted = {name: tensor.grad for name, tensor in tensors.items()}
    for name, tensor in tensors.items():
        tensor.grad = None
        tensor.requires_grad_(name not in frozen)
    output = deform_conv2d(*tensors.values(), 1, 1).square().sum()
    output.backward(retain_graph=True)
    output.backward()  # a second pass must not find the work space of the first
    for name, tensor in tensors.items():
        if name in frozen:
            assert tensor.grad is None
        else:
            torch.testing.assert_close(tensor.grad, 2 * wanted[name])


def test_deform_conv_work_space_serves_one_gradient(device):
    """The weight's gradient is of the grad_output given, whatever was computed before."""
    image = torch.randn(2, 3, 4, 4, device=device)
    offset = torch.randn(2, 18, 4, 4, device=device)
    weight = torch.randn(2, 3, 3, 3, device=device, requires_grad=True)
    grad = torch.randn(2, 2, 4, 4, device=device)
    deform_conv2d(image, offset, weight, 1, 1).backward(grad)
    weight, wanted = weight.detach(), weight.grad
    names = ('kW', 'kH', 'dW', 'dH', 'padW', 'padH', 'dilationW', 'dilationH')
    geometry = dict(zip(names, (3, 3, 1, 1, 1, 1, 1, 1), strict=True))
    geometry.update(group=1, deformable_group=1, im2col_step=2)
    columns, scratch = torch.empty(0, device=device), torch.empty(0, device=device)
    other, total = grad * 3, torch.ones_like(weight)
    _ext.deform_conv_backward_input(
        image, offset, other, image.clone(), offset.clone(), weight, columns, **geometry
    )
    _ext.deform_conv_backward_parameters(
        image, offset, grad, total, columns, scratch, scale=0.5, **geometry
    )
    torch.testing.assert_close(total, 1 + 0.5 * wanted)


def test_deform_conv_computes_its_gradients_once(device, monkeypatch):
    from vminet_mm.compat.mmcv_ext import deform_conv

    calls, original = [], deform_conv._gradients
    monkeypatch.setattr(
        deform_conv,
        '_gradients',
        lambda *args, **kwargs: calls.append(1) or original(*args, **kwargs),
    )
    layer = DeformConv2d(3, 2, 3, padding=1).to(device)
    image = torch.randn(2, 3, 4, 4, device=device, requires_grad=True)
    layer(image, torch.randn(2, 18, 4, 4, device=device)).square().sum().backward()
    assert layer.weight.grad.any()
    assert image.grad.any()
    assert len(calls) == 1


def test_modulated_deform_conv_reinterprets_larger_offsets(device, dtype):
    """DyHead's habit: the leading memory of each sample counts, whatever its shape."""
    ours, references = leaves(
        device,
        dtype,
        torch.randn(2, 3, 3, 4),
        torch.randn(2, 27, 7, 8),  # offset and mask of a level twice the size
        torch.randn(4, 3, 3, 3),
    )
    image, both, weight = ours
    output = modulated_deform_conv2d(image, both[:, :18], both[:, 18:], weight, None, 1, 1)
    image, both, weight = references
    offset = both[:, :18].reshape(2, -1)[:, : 18 * 12].view(2, 18, 3, 4)
    mask = both[:, 18:].reshape(2, -1)[:, : 9 * 12].view(2, 9, 3, 4)
    reference = slow_deform_conv(image, offset, mask, weight, None, 1, 1, 1, 1)
    assert_same_gradients(output, reference, ours, references, dtype)
    assert not ours[1].grad[:, 17].any()  # behind the part that was read


def test_too_small_offsets_raise(device):
    image, weight = torch.randn(1, 3, 6, 6, device=device), torch.randn(4, 3, 3, 3, device=device)
    offset, mask = torch.zeros(1, 18, 5, 5, device=device), torch.zeros(1, 9, 6, 6, device=device)
    with pytest.raises(ValueError, match=r'offset of shape \(1, 18, 5, 5\)'):
        modulated_deform_conv2d(image, offset, mask, weight, None, 1, 1)
    with pytest.raises(RuntimeError, match='offset'):  # mmcv checks the first version's
        deform_conv2d(image, offset, weight, 1, 1)


@pytest.mark.parametrize('kind', ['DCN', 'DCNv2'])
def test_packed_layers_train_under_autocast(device, kind):
    from mmengine.registry import MODELS

    layer = MODELS.build(
        dict(type=kind, in_channels=4, out_channels=6, kernel_size=3, padding=1)
    ).to(device)
    image = torch.randn(2, 4, 5, 7, device=device)
    with torch.autocast(device.type, dtype=torch.bfloat16):
        output = layer(image)
        output.float().square().mean().backward()
    assert output.shape == (2, 6, 5, 7)
    wanted = layer(image)
    torch.testing.assert_close(output.float(), wanted, rtol=5e-2, atol=5e-2)
    assert all(
        p.grad.dtype == torch.float32 and p.grad.isfinite().all() for p in layer.parameters()
    )
