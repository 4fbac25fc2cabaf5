"""LVT's class head."""

import pytest
import torch
from mmengine.registry import MODELS
from tiny_peers import shake

from vminet_mm.peers.lvt_head import LVTClsHead


def test_scores_are_those_of_the_class_token_and_the_best_tokens() -> None:
    torch.manual_seed(0)
    head = LVTClsHead(5, 8, num_blocks=1, num_heads=2).double().eval()
    shake(head)
    x = torch.randn(2, 8, 2, 3, dtype=torch.double)
    (block,) = head.post_network
    for image, scores in zip(x, head((x,)), strict=True):
        tokens = torch.cat([head.cls_token[0], image.flatten(1).T])
        normed = block.norm1(tokens)
        q, (k, v) = block.attn.q(normed[0]), block.attn.kv(normed).chunk(2, -1)
        heads = [(q[h] @ k[:, h].T / 2).softmax(-1) @ v[:, h] for h in (slice(0, 4), slice(4, 8))]
        first = tokens[0] + block.attn.proj(torch.cat(heads))
        first = first + block.mlp(block.norm2(first))
        best = head.aux_head(head.norm(tokens[1:])).max(0).values
        expected = head.head(head.norm(first)) + 0.5 * best
        torch.testing.assert_close(scores, expected, rtol=1e-9, atol=1e-9)


def test_learns_as_a_head_of_mmpretrain() -> None:
    from mmpretrain.structures import DataSample

    head = MODELS.build(dict(type='LVTClsHead', num_classes=3, in_channels=8))
    samples = [DataSample().set_gt_label(i) for i in (0, 2)]
    loss = head.loss((torch.randn(2, 8, 2, 2),), samples)['loss']
    loss.backward()
    assert all(p.grad.abs().sum() > 0 for p in head.parameters())
    with torch.no_grad():
        (first, _) = head.predict((torch.randn(2, 8, 2, 2),))
    assert first.pred_score.sum().item() == pytest.approx(1, abs=1e-5)
