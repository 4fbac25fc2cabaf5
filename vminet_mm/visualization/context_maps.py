"""What VMI-SA looks at: its token weights, how much its context counts, and where an output looks.

Shapes: B images, D hidden channels, H x W tokens of an input, (H0, W0) a block's native grid.
"""

from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..models import VMISA, VMINet
from ..models.padding import copy_image_sizes
from ..ops import context
from ..ops.recurrent_reference import fit_fields


@dataclass(frozen=True)
class Magnitudes:
    """How large the two parts of a block's output Y are, mean over the hidden channels.

    Attributes:
        context: Mean of ``|s0 c|``, in the recurrent form of ``|M h|``, (B, H, W).
        token: Mean of ``|beta E|``, (B, H, W).
    """

    context: Tensor
    token: Tensor

    @property
    def maps(self) -> Tensor:
        """The fraction of the context at each token, (B, H, W), from 0 to 1."""
        return _fraction(self.context, self.token)

    @property
    def fractions(self) -> Tensor:
        """The fraction of the context in each image, (B): of the means over channels and tokens."""
        return _fraction(self.context.mean((1, 2)), self.token.mean((1, 2)))


def _fraction(context: Tensor, token: Tensor) -> Tensor:
    # of means and not the mean of fractions: ReLU6 makes half of E zero, and there the fraction is
    # 1, or 0 / 0 in a channel without context
    total = context + token
    return torch.where(total > 0, context / total, 0.0)


def find_backbone(model: nn.Module) -> VMINet:
    """The VMINet of a model.

    Raises:
        ValueError: If it has none.
    """
    for module in model.modules():
        if isinstance(module, VMINet):
            return module
    raise ValueError('the model has no VMINet: there is no context to be drawn')


def find_attentions(backbone: VMINet, names: Sequence[str] | None = None) -> dict[str, VMISA]:
    """The blocks with a context by their names ``'STAGE.BLOCK'``, both counted from 1.

    Raises:
        ValueError: If a name is unknown, or if no block has a context (``attention='none'``).
    """
    blocks = {
        f'{i}.{j}': block.attn
        for i, stage in enumerate(backbone.stages, 1)
        for j, block in enumerate(stage[1:], 1)
        if isinstance(block.attn, VMISA)
    }
    if not blocks:
        raise ValueError("the blocks have no context to be drawn: attention='none'")
    for name in names or ():
        if name not in blocks:
            raise ValueError(f'no block {name}; choose among {", ".join(blocks)}')
    return {name: blocks[name] for name in names or blocks}


@torch.no_grad()
def token_fields(attn: VMISA, channels: Sequence[int] = ()) -> dict[str, Tensor]:
    """The token weights of an attention on its native grid, with those of some hidden channels.

    Returns (H0, W0) each: ``'alpha'``, in the recurrent form ``'beta'``, and ``alpha * M`` as its
    mean over the channels and for each of ``channels``. Where a recurrent mask acts at the
    read-out, M itself stands in place of ``alpha * M``.

    Raises:
        ValueError: If there is no such channel.
    """
    hidden = attn.mask.shape[1]
    for channel in channels:
        if not 0 <= channel < hidden:
            raise ValueError(f'no hidden channel {channel} in a block that has 0 to {hidden - 1}')
    native = attn.alpha.shape
    fields = {'alpha': attn.alpha.detach()}
    product = attn.mask.to(attn.alpha.dtype).t().unflatten(1, native)  # (D, H0, W0)
    name = 'M'
    if attn.form == 'recurrent':
        fields['beta'] = attn.beta.detach()
    if attn.form == 'matrix' or attn.recurrent_mask == 'inside':
        product, name = product * attn.alpha, 'alpha M'
    fields[f'{name}, mean'] = product.mean(0)
    for channel in channels:
        fields[f'{name}, n={channel}'] = product[channel]
    return fields


@torch.no_grad()
def measure_context(backbone: VMINet, images: Tensor) -> dict[str, Magnitudes]:
    """Measure the two parts of every block's output while a backbone sees images."""
    found: dict[str, Magnitudes] = {}

    def note(name: str, attn: VMISA, inputs: tuple[Tensor]) -> None:
        """Note the context of a block."""
        found[name] = _magnitudes(attn, *attn.query_and_key(*inputs).chunk(2, dim=1))

    with watching(backbone, note):
        backbone(images)
    return found


def watching(backbone: VMINet, note: Callable[[str, VMISA, tuple[Tensor]], None]) -> ExitStack:
    """Context manager that calls a function with name, attention and inputs of each call."""
    hooks = ExitStack()
    for name, attn in find_attentions(backbone).items():
        hooks.enter_context(attn.register_forward_pre_hook(partial(note, name)))
    return hooks


def _magnitudes(attn: VMISA, query: Tensor, key: Tensor) -> Magnitudes:
    embedding = F.relu6(query.float()) * key.float()
    if attn.form == 'matrix':
        summary = attn.scale * context(embedding, attn.alpha, attn.mask, attn.context_resize)
        seen, beta = summary[:, :, None, None].expand_as(embedding), attn.beta
    else:
        alpha, mask, beta = fit_fields(attn.alpha, attn.mask, attn.beta, embedding.shape[-2:])
        visible = mask.t().unflatten(1, alpha.shape)  # (D, H, W)
        inside = attn.recurrent_mask == 'inside'
        added = embedding * alpha * visible if inside else embedding * alpha
        state = added.flatten(2).cumsum(2).view_as(embedding)
        seen = state if inside else state * visible
    return Magnitudes(seen.abs().mean(1), (beta * embedding).abs().mean(1))


def receptive_field(backbone: nn.Module, images: Sequence[Tensor]) -> Tensor:
    """The effective receptive field of the center of the last map (Luo et al., 2016), (H, W).

    The absolute gradient of the sum of all channels of that token with respect to a pixel, summed
    over its colors, mean over images (1, 3, H, W) of one size.
    """
    total = torch.zeros_like(images[0][0, 0])
    for image in images:
        image = copy_image_sizes(image.detach().clone().requires_grad_(), image)
        last = backbone(image)[-1]
        center = last[0, :, last.shape[2] // 2, last.shape[3] // 2]
        (gradient,) = torch.autograd.grad(center.sum(), image)
        total += gradient[0].abs().sum(0)
    return total / len(images)


def area_of(field: Tensor, fraction: float) -> float:
    """Smallest fraction of the pixels that together hold a fraction of a field (H, W)."""
    largest = field.flatten().double().sort(descending=True).values.cumsum(0)
    needed = int((largest < fraction * largest[-1]).sum()) + 1
    return needed / field.numel()
