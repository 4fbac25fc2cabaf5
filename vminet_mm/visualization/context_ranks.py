"""The paper's rank argument in numbers (Section 3.3, eqs. 7 and 8).

Without a mask, attention that is separable mixes tokens through a matrix of low rank; the paper's
masks are to raise that rank. Here it is measured on what the blocks really see.
"""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from ..analysis.tables import markdown_table
from ..models import VMISA, VMINet
from ..ops import make_mask
from .context_maps import watching

MASKS = ('none', 'block', 'band', 'tril')  # of Table 4; 'hybrid' takes the last two in turn


@torch.no_grad()
def numerical_rank(matrix: Tensor) -> int:
    """Number of singular values above ``max(L, D) * eps * largest``, with eps of float32.

    The matrix (L, D) is decomposed in float64, but its entries have float32's precision.
    """
    tolerance = max(matrix.shape) * torch.finfo(torch.float32).eps
    return int(torch.linalg.matrix_rank(matrix.double(), rtol=tolerance))


@torch.no_grad()
def context_ranks(
    backbone: VMINet, images: Sequence[Tensor], masks: Sequence[str] = MASKS
) -> dict[str, list[dict[str, int]]]:
    """Measure numerical ranks in every block that has a context.

    Args:
        backbone: The backbone, in evaluation mode.
        images: (1, 3, H, W) each, normalized. E of another grid than a block's native one is
            averaged onto it, as the context does.
        masks: Names for :func:`vminet_mm.ops.make_mask`. The block runs with its own mask; these
            are applied to the E that it then has.

    Returns:
        dict[str, list[dict[str, int]]]: For each block and image the ranks of ``'E'`` (L, D), and
        for each mask of ``'M E'`` and ``'alpha M E'``, with the mask's name before them;
        ``'full'`` is min(L, D).
    """
    found: dict[str, list[dict[str, int]]] = {}

    def note(name: str, attn: VMISA, inputs: tuple[Tensor]) -> None:
        """Note the ranks of a block."""
        query, key = attn.query_and_key(*inputs).chunk(2, dim=1)
        embedding = F.relu6(query.float()) * key.float()
        native = F.adaptive_avg_pool2d(embedding, attn.alpha.shape)
        found.setdefault(name, []).append(_ranks(native[0].flatten(1).t(), attn, masks))

    with watching(backbone, note):
        for image in images:
            backbone(image)
    return found


def _ranks(embedding: Tensor, attn: VMISA, masks: Sequence[str]) -> dict[str, int]:
    """The ranks for one E (L, D)."""
    alpha = attn.alpha.flatten()[:, None].to(embedding)
    ranks = {'full': min(embedding.shape), 'E': numerical_rank(embedding)}
    for name in masks:
        masked = make_mask(name, *embedding.shape).to(embedding) * embedding
        ranks[f'{name} M E'] = numerical_rank(masked)
        ranks[f'{name} alpha M E'] = numerical_rank(alpha * masked)
    return ranks


def ranks_as_table(found: dict[str, list[dict[str, int]]]) -> str:
    """Markdown with a row for each block: means over the images."""
    columns = list(next(iter(found.values()))[0])
    rows = [
        (name, *(f'{sum(r[column] for r in ranks) / len(ranks):.4g}' for column in columns))
        for name, ranks in found.items()
    ]
    return '\n'.join(markdown_table([('block', *columns), *rows]))
