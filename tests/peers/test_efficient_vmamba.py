"""EfficientVMamba beside its authors' figures and its blocks' definitions."""

import torch
import torch.nn.functional as F
from literal_ss2d import literal_ss2d
from test_ss2d import atrous_paths
from tiny_peers import shake, tiny

from vminet_mm.peers.efficient_vmamba import (
    EfficientVMamba,
    EVSSBlock,
    InvertedResidual,
    PatchMerging,
)

HEAD = 512 * 1000 + 1000  # of a linear classifier


def by_hand(channels: int, depths: tuple[int, ...]) -> int:
    """Parameters of the authors' ``EfficientVSSM``, layer by layer."""
    total = 3 * channels * 16 + channels + 2 * channels  # patches and their norm
    for i, depth in enumerate(depths):
        c = channels * 2**i
        if i < 2:
            d, n, r = 2 * c, 16, c // 16
            scan = 2 * c * d + 10 * d + 4 * d * (r + 2 * n) + 4 * d * r + 4 * d + 4 * d * n + 4 * d
            scan += 2 * d + d * c
            attention = 2 * c + c * (c // 8) + c // 8 + (c // 8) * c + c
            block = 2 * c + scan + (9 * c + c + 2 * c + c * c + c) + attention
        else:
            m = 4 * c
            block = (c * m + 2 * m) + (9 * m + 2 * m) + (m * m // 4 + m // 8 + m) + (m * c + 2 * c)
        total += depth * block + (8 * c + 8 * c * c if i < 3 else 0)
    return total + 2 * 8 * channels


def test_parameters_are_those_of_the_authors_code() -> None:
    with torch.device('meta'):
        model = EfficientVMamba()
    params = sum(p.numel() for p in model.parameters())
    assert params == by_hand(64, (2, 2, 4, 2))
    assert params + HEAD == 11273688  # they print 11 M


def test_scanning_block_is_its_definition() -> None:
    torch.manual_seed(0)
    block = EVSSBlock(16, drop_path=0.0, with_cp=False, impl='torch').double().eval()
    shake(block)
    x = torch.randn(1, 16, 3, 5, dtype=torch.double)
    se = block.se

    def attend(y: torch.Tensor) -> torch.Tensor:
        mean = F.layer_norm(y.permute(0, 2, 3, 1), (16,), se.norm.weight, se.norm.bias)
        weights = se.channel_select(F.gelu(se.global_reduce(mean.flatten(1, 2).mean(1))))
        return y * torch.sigmoid(weights)[..., None, None]

    with torch.no_grad():
        y = F.layer_norm(x.permute(0, 2, 3, 1), (16,), block.norm.weight, block.norm.bias)
        y = y.permute(0, 3, 1, 2)
        scanned = literal_ss2d(block.op, y[0], atrous_paths(3, 5))[None]
        depthwise, norm, _, pointwise = block.conv_branch
        y = F.conv2d(y, depthwise.weight, depthwise.bias, padding=1, groups=16)
        y = F.batch_norm(y, norm.running_mean, norm.running_var, norm.weight, norm.bias)
        y = F.conv2d(F.gelu(y), pointwise.weight, pointwise.bias)
        torch.testing.assert_close(block(x), x + attend(scanned) + attend(y), rtol=1e-9, atol=1e-9)


def test_inverted_residual_squeezes_to_an_eighth_of_the_expanded_channels() -> None:
    block = InvertedResidual(8, drop_path=0.0, with_cp=False)
    assert block.se.conv_reduce.weight.shape == (4, 32, 1, 1)
    block.conv_pw2[1].weight.data.zero_()  # the branch ends with a norm, and nothing follows
    x = torch.randn(2, 8, 3, 3)
    torch.testing.assert_close(block(x), x)


def test_merging_puts_pixels_below_before_those_at_the_right() -> None:
    merging = PatchMerging(1)
    merging.norm = torch.nn.Identity()
    merging.reduction = torch.nn.Identity()
    x = torch.arange(6.0).reshape(1, 1, 2, 3)  # 0 1 2 over 3 4 5
    assert merging(x)[0, :, 0].T.tolist() == [[0, 3, 1, 4], [2, 5, 0, 0]]


def test_images_are_padded_at_bottom_and_right() -> None:
    model = tiny('EfficientVMamba', out_indices=(0,)).eval()
    x = torch.randn(1, 3, 10, 7)
    padded = F.pad(x, (0, 1, 0, 2))
    with torch.no_grad():
        torch.testing.assert_close(model(x), model(padded))
