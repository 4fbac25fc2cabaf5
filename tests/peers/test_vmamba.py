"""VMamba beside its authors' figures and its block's definition."""

import torch
import torch.nn.functional as F
from literal_ss2d import literal_ss2d
from test_ss2d import cross_paths
from tiny_peers import shake, tiny
from torch import nn

from vminet_mm.peers.vmamba import VMamba, VSSBlock

HEAD = 768 * 1000 + 1000  # of a linear classifier


def test_parameters_are_those_that_the_authors_print() -> None:
    with torch.device('meta'):
        model = VMamba()
    # "Params: 30249064", beside vssm1_tiny_0230s in their benchmark
    assert sum(p.numel() for p in model.parameters()) + HEAD == 30249064


def test_block_is_its_definition() -> None:
    torch.manual_seed(0)
    block = VSSBlock(18, 2, 1.5, drop_path=0.0, with_cp=False, impl='torch').double()
    shake(block)
    x = torch.randn(1, 18, 3, 4, dtype=torch.double)

    def norm(layer: nn.LayerNorm, y: torch.Tensor) -> torch.Tensor:
        centered = y - y.mean(1, keepdim=True)
        y = centered / (centered.square().mean(1, keepdim=True) + 1e-5).sqrt()
        return y * layer.weight[:, None, None] + layer.bias[:, None, None]

    with torch.no_grad():
        y = x + literal_ss2d(block.op, norm(block.norm, x)[0], cross_paths(3, 4))
        hidden = F.gelu(F.conv2d(norm(block.norm2, y), block.mlp.fc1.weight, block.mlp.fc1.bias))
        y = y + F.conv2d(hidden, block.mlp.fc2.weight, block.mlp.fc2.bias)
        torch.testing.assert_close(block(x), y, rtol=1e-9, atol=1e-9)


def test_linear_layers_start_as_the_authors_do() -> None:
    torch.manual_seed(0)
    block = VMamba(dict(base_channels=64, depths=(1, 0, 0, 0), state_size=1, scan_ratio=1.0))
    block = block.layers[0]['blocks'][0]
    for layer in (block.op.in_proj, block.op.out_proj, block.mlp.fc1, block.mlp.fc2):
        assert abs(layer.weight.std() - 0.02) < 2e-3
    assert not block.mlp.fc1.bias.any()


def test_maps_are_normalized() -> None:
    model = tiny('VMamba', out_indices=(1, 3)).eval()
    for i in (1, 3):
        norm = getattr(model, f'outnorm{i}')
        nn.init.ones_(norm.weight)
        nn.init.zeros_(norm.bias)
    assert not hasattr(model, 'outnorm0')
    for y in model(torch.randn(1, 3, 64, 32)):
        torch.testing.assert_close(y.mean(1), torch.zeros_like(y[:, 0]), atol=1e-4, rtol=0)
