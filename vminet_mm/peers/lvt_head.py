"""The class head of LVT, which has attention blocks of its own, as VOLO's has."""

from typing import Any

import torch
import torch.nn.functional as F
from mmpretrain.models.heads import ClsHead
from torch import Tensor, nn

from ..models.options import check_count
from .backbone import init_linear_layers
from .lvt import LinearMlp

MLP_RATIO = 4
TOKEN_WEIGHT = 0.5  # of the tokens' scores beside the class token's


class ClassAttention(nn.Module):
    """Attention of the class token, the first one, to all tokens.

    Args:
        channels (int): C of the tokens.
        num_heads (int): Number of heads, a divisor of C.
    """

    def __init__(self, channels: int, num_heads: int) -> None:
        super().__init__()
        self.num_heads = num_heads
        self.kv = nn.Linear(channels, 2 * channels, bias=False)
        self.q = nn.Linear(channels, channels, bias=False)
        self.proj = nn.Linear(channels, channels)

    def forward(self, x: Tensor) -> Tensor:
        """Map tokens (B, L, C) to (B, 1, C)."""
        queries, keys, values = (
            part.unflatten(2, (self.num_heads, -1)).transpose(1, 2)
            for part in (self.q(x[:, :1]), *self.kv(x).chunk(2, dim=-1))
        )
        y = F.scaled_dot_product_attention(queries, keys, values)
        return self.proj(y.transpose(1, 2).flatten(2))


class ClassBlock(nn.Module):
    """A transformer block that changes the class token alone.

    Args:
        channels (int): C of the tokens.
        num_heads (int): Number of heads, a divisor of C.
    """

    def __init__(self, channels: int, num_heads: int) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(channels)
        self.attn = ClassAttention(channels, num_heads)
        self.norm2 = nn.LayerNorm(channels)
        self.mlp = LinearMlp(channels, MLP_RATIO)

    def forward(self, x: Tensor) -> Tensor:
        """Map tokens (B, L, C) to the same shape."""
        first = x[:, :1] + self.attn(self.norm1(x))
        first = first + self.mlp(self.norm2(first))
        return torch.cat([first, x[:, 1:]], dim=1)


class LVTClsHead(ClsHead):
    """LVT's classifier: two blocks of class attention, and scores of the class token and the map.

    The scores are those of the class token and half of the largest ones among the other tokens, as
    the authors test. They train with labels for each token, which other recipes do not have: here
    these scores are trained.

    Args:
        num_classes (int): Number of classes.
        in_channels (int): Channels of the backbone's last map.
        num_blocks (int): Blocks of class attention. Defaults to 2.
        num_heads (int): Heads of their attention. Defaults to 8.
        **kwargs: Those of mmpretrain's ``ClsHead``, such as ``loss`` and ``topk``.
    """

    def __init__(
        self,
        num_classes: int,
        in_channels: int,
        num_blocks: int = 2,
        num_heads: int = 8,
        **kwargs: Any,
    ) -> None:
        # found in any scope, as this head itself is
        loss = dict(type='mmpretrain.CrossEntropyLoss', loss_weight=1.0)
        super().__init__(**{'loss': loss} | kwargs)
        check_count('num_classes', num_classes)
        check_count('in_channels', in_channels)
        self.cls_token = nn.Parameter(torch.empty(1, 1, in_channels))
        blocks = [ClassBlock(in_channels, num_heads) for _ in range(num_blocks)]
        self.post_network = nn.ModuleList(blocks)
        self.norm = nn.LayerNorm(in_channels)
        self.head = nn.Linear(in_channels, num_classes)
        self.aux_head = nn.Linear(in_channels, num_classes)
        init_linear_layers(self)
        nn.init.trunc_normal_(self.cls_token, std=0.02)

    def pre_logits(self, feats: tuple[Tensor, ...]) -> Tensor:
        """Tokens (B, 1 + H W, C) of the last map, the class token before them."""
        tokens = feats[-1].flatten(2).transpose(1, 2)
        x = torch.cat([self.cls_token.expand(len(tokens), -1, -1), tokens], dim=1)
        for block in self.post_network:
            x = block(x)
        return self.norm(x)

    def forward(self, feats: tuple[Tensor, ...]) -> Tensor:
        """Scores (B, classes) of the backbone's maps."""
        x = self.pre_logits(feats)
        return self.head(x[:, 0]) + TOKEN_WEIGHT * self.aux_head(x[:, 1:]).amax(dim=1)
