"""PSAMask through mmcv.ops."""

import pytest
import torch
from mmcv.ops import PSAMask
from mmcv_ext_reference import assert_same_gradients, leaves


def slow_psa_mask(windows, kind, mask_size):
    batch, _, height, width = windows.shape
    half = [(n - 1) // 2 for n in mask_size]
    output = windows.new_zeros(batch, height, width, height, width).flatten()
    output = list(output)
    for b in range(batch):
        for h in range(height):
            for w in range(width):
                for i in range(mask_size[0]):
                    for j in range(mask_size[1]):
                        y, x = h + i - half[0], w + j - half[1]
                        if not (0 <= y < height and 0 <= x < width):
                            continue
                        here, there = h * width + w, y * width + x
                        first, second = (there, here) if kind == 'collect' else (here, there)
                        at = (b * height * width + first) * height * width + second
                        output[at] = windows[b, i * mask_size[1] + j, h, w]
    return torch.stack(output).view(batch, height * width, height, width)


@pytest.mark.parametrize('kind', ['collect', 'distribute'])
@pytest.mark.parametrize('mask_size', [(3, 3), (5, 7), (4, 3)])
def test_psa_mask_equals_definition(device, dtype, kind, mask_size):
    windows = torch.randn(2, mask_size[0] * mask_size[1], 3, 4)
    ours, references = leaves(device, dtype, windows)
    output = PSAMask(kind, mask_size)(ours[0])
    reference = slow_psa_mask(references[0], kind, mask_size)
    assert_same_gradients(output, reference, ours, references, dtype)


def test_psa_mask_by_hand(device):
    # A row of two pixels with windows of three: (a0, a1, a2) around 0 and (b0, b1, b2) around 1.
    windows = torch.tensor([[1.0, 2], [3, 4], [5, 6]], device=device).view(1, 3, 1, 2)
    collect = PSAMask('collect', (1, 3))(windows)
    assert collect.view(2, 2).tolist() == [[3, 2], [5, 4]]  # [q, p]
    distribute = PSAMask('distribute', (1, 3))(windows)
    assert distribute.view(2, 2).tolist() == [[3, 5], [2, 4]]  # [p, q]
