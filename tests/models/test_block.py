"""The block, against its formula, and what activation checkpointing must not change."""

import copy

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from vminet_mm.models import VMISABlock
from vminet_mm.models.attention import NoAttention
from vminet_mm.ops import choose_op, project


def randomised(block: nn.Module) -> nn.Module:
    """Values for the norms' statistics, so that they are not the identity."""
    for module in block.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.normal_(module.running_mean, std=0.1)
            nn.init.uniform_(module.running_var, 0.5, 1.5)
            nn.init.uniform_(module.weight, 0.5, 1.5)
            nn.init.normal_(module.bias)
    return block


def formula(block: VMISABlock, x: torch.Tensor, proj_bn: bool) -> torch.Tensor:
    """X + ReLU6(s0 c + beta E) W3 at the native size, out of functional calls and matrices."""

    def norm(y: torch.Tensor, bn: nn.BatchNorm2d) -> torch.Tensor:
        scale = bn.weight / (bn.running_var + 1e-5).sqrt()
        return (y - bn.running_mean[:, None, None]) * scale[:, None, None] + bn.bias[:, None, None]

    conv = block.dwconv.conv
    u = norm(F.conv2d(x, conv.weight, conv.bias, padding=3, groups=x.shape[1]), block.dwconv.bn)
    tokens = u.flatten(2).transpose(1, 2)  # (B, L, C)
    query = F.relu6(tokens @ block.attn.query.weight.flatten(1).t() + block.attn.query.bias)
    if isinstance(block.attn, NoAttention):
        y = query
    else:
        e = query * (
            tokens @ block.attn.key.weight.flatten(1).t() + block.attn.key.bias
        )  # (B, L, D)
        weights = block.attn.alpha.reshape(-1, 1) * block.attn.mask  # (L, D)
        y = F.relu6(block.attn.scale * (weights * e).sum(1, keepdim=True) + block.attn.beta * e)
    out = y @ block.proj.conv.weight.flatten(1).t() + block.proj.conv.bias
    out = out.transpose(1, 2).reshape(x.shape)
    return x + (norm(out, block.proj.bn) if proj_bn else out)


@pytest.mark.parametrize('attention', ['vmi_sa', 'none'])
@pytest.mark.parametrize('mask', ['tril', 'block'])
@pytest.mark.parametrize('proj_bn', [False, True])
def test_formula(attention: str, mask: str, proj_bn: bool) -> None:
    block = VMISABlock(6, (5, 3), attn_cfg=dict(attention=attention, mask=mask, proj_bn=proj_bn))
    block = randomised(block).eval()
    x = torch.randn(2, 6, 5, 3)
    torch.testing.assert_close(block(x), formula(block, x, proj_bn), rtol=1e-4, atol=1e-5)


def test_initialization() -> None:
    block = VMISABlock(8, (40, 40), expansion=4)
    assert block.attn.scale.item() == block.attn.beta.item() == 1
    assert (
        abs(block.attn.alpha.std().item() - 0.02) < 0.002
        and abs(block.attn.alpha.mean().item()) < 0.002
    )
    assert block.attn.query.weight.shape == (32, 8, 1, 1)
    assert 'mask' not in block.state_dict()


@pytest.mark.parametrize('size', [(1, 1), (4, 4), (9, 2)], ids=str)
def test_checkpointing_changes_nothing(size: tuple[int, int]) -> None:
    plain = VMISABlock(4, (4, 4), drop_path=0.5)
    recomputed = copy.deepcopy(plain)
    recomputed.with_cp = True
    results = []
    for block in (plain, recomputed):
        torch.manual_seed(3)
        x = torch.randn(3, 4, *size, requires_grad=True)
        block.train()(x).square().sum().backward()
        gradients = [x.grad, *(p.grad for p in block.parameters())]
        results.append([*gradients, *block.buffers()])
    for expected, actual in zip(*results, strict=True):
        torch.testing.assert_close(actual, expected, rtol=0, atol=0)
    assert recomputed.dwconv.bn.num_batches_tracked == 1


def test_autocast(device: torch.device) -> None:
    block = VMISABlock(8, (4, 4)).to(device).eval()
    x = torch.randn(2, 8, 7, 5, device=device)
    with torch.autocast(device.type, dtype=torch.bfloat16):
        y = block(x)
    torch.testing.assert_close(y.float(), block(x), rtol=0.05, atol=0.05)


def test_native_grid_of_a_checkpoint_is_resized(log: list[str]) -> None:
    small, large = VMISABlock(4, (2, 3)), VMISABlock(4, (4, 5))
    large.load_state_dict(small.state_dict())
    expected = F.interpolate(small.attn.alpha[None, None], (4, 5), mode='bicubic')[0, 0] * (6 / 20)
    torch.testing.assert_close(large.attn.alpha, expected)
    resized = [line for line in log if 'resized' in line]
    assert resized == ['attn.alpha resized from the grid (2, 3) of the checkpoint to (4, 5)']


@pytest.mark.parametrize('norm', [dict(type='BN'), dict(type='GN', num_groups=2)], ids=str)
def test_kernels_train_a_block_under_autocast(
    norm: dict, device: torch.device, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Weights in float32, drop path drawn alike; after a group norm U is float32, too."""
    monkeypatch.setattr(project, 'MIN_ELEMENTS', 0)
    fused = VMISABlock(8, (4, 4), attn_cfg=dict(impl='triton'), drop_path=0.5, norm_cfg=norm)
    fused = randomised(fused).to(device).train()
    plain = copy.deepcopy(fused)
    plain.attn.use_op(choose_op('matrix', 'reference'))
    x = torch.randn(6, 8, 7, 5, device=device).to(memory_format=torch.channels_last)
    grad, results = torch.randn_like(x), []
    for block in (fused, plain):
        torch.manual_seed(3)
        given = x.detach().requires_grad_()
        with torch.autocast(device.type, dtype=torch.bfloat16):
            out = block(given)
        out.backward(grad.to(out.dtype))
        gradients = {name: p.grad for name, p in block.named_parameters()}
        results.append(dict(out=out, x=given.grad, **gradients))
        assert '_ProjectMatrix' in str(out.grad_fn) or block is plain
    ours, theirs = results
    for name, expected in theirs.items():
        assert ours[name].dtype == expected.dtype
        error = (ours[name] - expected).norm()
        # of a bias before a batch norm both are rounding alone
        assert error <= 0.05 * expected.norm() + 0.02 * grad.norm() * (name == 'dwconv.conv.bias')
