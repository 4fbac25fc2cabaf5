"""LVT beside its authors' figures and the definitions of its attentions."""

import pytest
import torch
import torch.nn.functional as F
from tiny_peers import shake

from vminet_mm.peers.lvt import LVT, ConvolutionalSelfAttention, RecursiveAtrousAttention
from vminet_mm.peers.lvt_head import LVTClsHead


def by_hand() -> int:
    """Parameters of the authors' ``lvt`` without its classifier."""
    widths, ratios, reductions = (64, 64, 160, 256), (4, 8, 4, 4), (8, 4, 2, 1)
    total, before = 0, 3
    for i, (c, ratio, reduction) in enumerate(zip(widths, ratios, reductions, strict=True)):
        total += before * c * (49 if i == 0 else 9) + c + 2 * c
        if i == 0:
            attention = c * 162 + 162 + 9 * c * c + c * c + c
            mlp = 2 * ratio * c * c + ratio * c + c
        else:
            attention = c * c + 2 * c * c + c * c + c + 9 * c
            attention += c * c * reduction**2 + c + 2 * c if reduction > 1 else 0
            mlp = 2 * ratio * c * c + ratio * c + c + 10 * ratio * c
        total += 2 * (attention + mlp + 4 * c)
        before = c
    return total


def test_parameters_are_those_of_the_authors_code() -> None:
    with torch.device('meta'):
        backbone, head = LVT(), LVTClsHead(1000, 256)
    params = [sum(p.numel() for p in part.parameters()) for part in (backbone, head)]
    assert params[0] == by_hand() == 3429092  # they print 3.4 M
    block = 2 * 256 * 256 + 256 * 256 + 256 * 256 + 256 + 8 * 256 * 256 + 5 * 256 + 4 * 256
    assert params[1] == 2 * block + 256 + 512 + 2 * (256 * 1000 + 1000)
    assert sum(params) == 5521844  # they print 5.5 M


@pytest.mark.parametrize('size', [(1, 1), (4, 6), (5, 3)])
def test_convolutional_attention_is_its_definition(size: tuple[int, int]) -> None:
    torch.manual_seed(0)
    module = ConvolutionalSelfAttention(6, 2).double()
    shake(module)
    height, width = size
    x = torch.randn(1, height, width, 6, dtype=torch.double)
    total = torch.zeros(height, width, 6, dtype=torch.double)
    matrices = module.weight.weight.reshape(9, 6, 6)
    for i in range(0, height, 2):
        for j in range(0, width, 2):
            center = x[0, i : i + 2, j : j + 2].reshape(-1, 6).mean(0)
            logits = module.attn(center).reshape(2, 9, 9) * 3**-0.5
            places = [(i + a, j + b) for a in (-1, 0, 1) for b in (-1, 0, 1)]
            inside = [0 <= a < height and 0 <= b < width for a, b in places]
            values = torch.stack(
                [
                    matrices[n] @ (x[0, a, b] if inside[n] else torch.zeros_like(center))
                    for n, (a, b) in enumerate(places)
                ]
            ).reshape(9, 2, 3)
            y = torch.einsum('hqk,khc->qhc', logits.softmax(-1), values).reshape(9, 6)
            for n, (a, b) in enumerate(places):
                if inside[n]:
                    total[a, b] += y[n]
    torch.testing.assert_close(module(x)[0], module.proj(total), rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize('reduction', [1, 2])
def test_recursive_attention_is_its_definition(reduction: int) -> None:
    torch.manual_seed(0)
    module = RecursiveAtrousAttention(8, 2, reduction).double()
    shake(module)
    x = torch.randn(2, 4, 6, 8, dtype=torch.double)

    def attend(x: torch.Tensor) -> torch.Tensor:
        q, kernel = module.q(x).permute(0, 3, 1, 2), module.ds.weight
        q = sum(F.silu(F.conv2d(q, kernel, padding=d, dilation=d, groups=8)) for d in (1, 3, 5))
        tokens = x
        if reduction > 1:
            tokens = module.norm(module.sr(x.permute(0, 3, 1, 2)).permute(0, 2, 3, 1))
        k, v = module.kv(tokens.flatten(1, 2)).chunk(2, -1)
        heads = []
        for h in (slice(0, 4), slice(4, 8)):
            logits = q.flatten(2).mT[..., h] @ k[..., h].mT / 2
            heads.append(logits.softmax(-1) @ v[..., h])
        return F.silu(module.proj(torch.cat(heads, -1)).reshape(x.shape))

    expected = attend(x + attend(x))
    torch.testing.assert_close(module(x), expected, rtol=1e-9, atol=1e-9)


def test_maps_have_no_norm() -> None:
    """As in the authors' detectors and segmentors."""
    with torch.device('meta'):
        names = [name for name, _ in LVT(out_indices=(0, 1, 2, 3)).named_children()]
    assert names == ['stages']
