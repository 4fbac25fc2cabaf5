"""The context masks M of VMI-SA (Sections 3.3 and 4.2 of the paper).

A mask is a (L, D) matrix of zeros and ones: M[i, n] says whether token i contributes to the
context of channel n. In this file i and n count from 0, as Python does.
"""

import torch
from torch import Tensor

MASKS = ('tril', 'band', 'block', 'none')


def make_mask(name: str, num_tokens: int, num_channels: int, band_halfwidth: float = 0.5) -> Tensor:
    """Build a context mask.

    Args:
        name: One of

            - ``'tril'``: token i reaches channel n where i >= n. Channels beyond the last token
              get no context.
            - ``'band'``: where ``|i - n| <= floor(band_halfwidth * B)``, B = min(L, D).
            - ``'block'``: 2x2 blocks on the diagonal of the leading ``2 * floor(B / 2)`` square.
            - ``'none'``: everywhere.
        num_tokens: L, the number of tokens of the block's native grid.
        num_channels: D, the number of hidden channels.
        band_halfwidth: Half the width of the band as a fraction of B.

    Returns:
        Tensor: (L, D), bool.

    Raises:
        ValueError: If the name is unknown.
    """
    token = torch.arange(num_tokens)[:, None]
    channel = torch.arange(num_channels)[None, :]
    shorter = min(num_tokens, num_channels)
    if name == 'tril':
        return token >= channel
    if name == 'band':
        return (token - channel).abs() <= int(band_halfwidth * shorter)
    if name == 'block':
        edge = shorter // 2 * 2
        return (token // 2 == channel // 2) & (token < edge) & (channel < edge)
    if name == 'none':
        return torch.ones(num_tokens, num_channels, dtype=torch.bool)
    raise ValueError(f'unknown mask {name!r}; choose one of {", ".join(MASKS)}')


def stage_masks(mask: str, stage: int, depth: int) -> list[str]:
    """The mask of each block of a stage, counted from 0.

    ``'hybrid'`` takes a band in stages 0 and 1, and tril and band in turn in stages 2 and 3; any
    other of :data:`MASKS` is the same in all blocks.

    Raises:
        ValueError: If the name is unknown.
    """
    if mask not in (*MASKS, 'hybrid'):
        raise ValueError(f'unknown mask {mask!r}; choose one of {", ".join(MASKS)}, hybrid')
    if mask != 'hybrid':
        return [mask] * depth
    if stage < 2:
        return ['band'] * depth
    return [('tril', 'band')[i % 2] for i in range(depth)]


def mask_spans(mask: Tensor) -> tuple[int, int]:
    """Where a mask stops to differ between channels.

    Args:
        mask: (L, D), bool.

    Returns:
        tuple[int, int]: ``(mixed, whole)``: the rows from ``mixed`` to ``whole - 1`` are true for
        all channels, those from ``whole`` on for none, and those before ``mixed`` must be read.
    """
    whole = int(mask.any(1).nonzero().max()) + 1 if mask.any() else 0
    mixed_rows = (~mask[:whole].all(1)).nonzero()
    return int(mixed_rows.max()) + 1 if len(mixed_rows) else 0, whole
