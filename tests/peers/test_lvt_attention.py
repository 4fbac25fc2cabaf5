"""The attentions of LVT beside their definitions."""

import pytest
import torch
import torch.nn.functional as F
from tiny_peers import shake

from vminet_mm.peers.lvt_attention import ConvolutionalSelfAttention, RecursiveAtrousAttention


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
            positions = [(i + a, j + b) for a in (-1, 0, 1) for b in (-1, 0, 1)]
            inside = [0 <= a < height and 0 <= b < width for a, b in positions]
            values = torch.stack(
                [
                    matrices[n] @ (x[0, a, b] if inside[n] else torch.zeros_like(center))
                    for n, (a, b) in enumerate(positions)
                ]
            ).reshape(9, 2, 3)
            y = torch.einsum('hqk,khc->qhc', logits.softmax(-1), values).reshape(9, 6)
            for n, (a, b) in enumerate(positions):
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
