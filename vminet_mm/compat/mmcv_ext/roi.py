"""RoIAlign and RoIPool. RoIs are (K, 5): image index, x1, y1, x2, y2."""

from collections.abc import Iterator
from typing import NamedTuple

import torch
import torch.nn.functional as F
import torchvision
from torch import Tensor

from .common import op, upcast

_MAX = 0  # pool_mode; 1 is the average
_MAX_SAMPLES = 2**25  # sampled values held at once by the max mode: 128 MB


@op
def roi_align_forward(
    input: Tensor,
    rois: Tensor,
    output: Tensor,
    argmax_y: Tensor,
    argmax_x: Tensor,
    aligned_height: int,
    aligned_width: int,
    spatial_scale: float,
    sampling_ratio: int,
    pool_mode: int,
    aligned: bool,
) -> None:
    """Average (pool_mode 1) or maximum (0) of bilinear samples in each bin of each RoI.

    Samples of input (B, C, H, W) at RoIs (K, 5) times spatial_scale go to output (K, C,
    aligned_height, aligned_width): sampling_ratio samples a bin and direction, 0 for one a pixel.
    aligned shifts by half a pixel, which puts pixel centers at halves.

    Of the max mode argmax_y and argmax_x, shaped like output, receive row and column of the winning
    sample within its bin, -1 for none. (mmcv keeps coordinates there, which half precision rounds
    by whole pixels.)
    """
    input, rois = upcast(input, rois)
    size = (aligned_height, aligned_width)
    if pool_mode != _MAX:
        output.copy_(
            torchvision.ops.roi_align(input, rois, size, spatial_scale, sampling_ratio, aligned)
        )
        return
    output.zero_()
    argmax_y.fill_(-1)
    argmax_x.fill_(-1)
    bins = _bins(rois, size, spatial_scale, sampling_ratio, aligned)
    for chosen, grid in _same_grid(bins, input.shape[1] * aligned_height * aligned_width):
        # One bin a sample: the average over a single sample is the sample.
        fine = (aligned_height * grid[0], aligned_width * grid[1])
        samples = torchvision.ops.roi_align(input, rois[chosen], fine, spatial_scale, 1, aligned)
        best, index = F.max_pool2d(samples, grid, return_indices=True)
        output[chosen] = best.to(output)
        argmax_y[chosen] = (index // fine[1] % grid[0]).to(argmax_y)
        argmax_x[chosen] = (index % fine[1] % grid[1]).to(argmax_x)


@op
def roi_align_backward(
    grad_output: Tensor,
    rois: Tensor,
    argmax_y: Tensor,
    argmax_x: Tensor,
    grad_input: Tensor,
    aligned_height: int,
    aligned_width: int,
    spatial_scale: float,
    sampling_ratio: int,
    pool_mode: int,
    aligned: bool,
) -> None:
    """Gradient of `roi_align_forward`, written to grad_input (B, C, H, W)."""
    grad_output, rois = upcast(grad_output, rois)
    size = (aligned_height, aligned_width)
    if pool_mode != _MAX:
        grad_input.copy_(
            torch.ops.torchvision._roi_align_backward(
                grad_output,
                rois,
                spatial_scale,
                *size,
                *grad_input.shape,
                sampling_ratio,
                aligned,
            )
        )
        return
    bins = _bins(rois, size, spatial_scale, sampling_ratio, aligned)
    sample = torch.stack([argmax_y, argmax_x]).to(rois)
    axes = (torch.arange(n, device=rois.device) for n in size)
    bin_index = torch.stack(torch.meshgrid(*axes, indexing='ij'))[:, None, None]
    # (2, K, C, height, width): y and x of the sample that won each bin
    per_roi = (slice(None), slice(None), None, None, None)
    where = bin_index + (sample + 0.5) / bins.grid.clamp(min=1)[per_roi]
    where = bins.start[per_roi] + bins.step[per_roi] * where
    grad_output = torch.where(sample[0] >= 0, grad_output, 0)
    grad_input.copy_(_scatter_bilinear(grad_output, where, rois[:, 0].long(), grad_input.shape))


@op
def roi_pool_forward(
    input: Tensor,
    rois: Tensor,
    output: Tensor,
    argmax: Tensor,
    pooled_height: int,
    pooled_width: int,
    spatial_scale: float,
) -> None:
    """Maximum over the pixels that each bin of each RoI (K, 5) times spatial_scale touches.

    output (K, C, pooled_height, pooled_width) is written, and argmax alike with y * W + x of the
    maximum, -1 where a bin is empty. x2 and y2 are inside the box.

    Not torchvision's RoIPool: that one rounds the RoI to whole pixels first.
    """
    input, rois = upcast(input, rois)
    height, width = input.shape[2:]
    y1, y2 = _pool_edges(rois[:, 2], rois[:, 4] + 1, spatial_scale, pooled_height, height)
    x1, x2 = _pool_edges(rois[:, 1], rois[:, 3] + 1, spatial_scale, pooled_width, width)
    empty = ((y2 <= y1)[:, :, None] | (x2 <= x1)[:, None, :])[:, None]
    spans = torch.stack([(y2 - y1).amax(1), (x2 - x1).amax(1), rois[:, 0].long()], dim=1)
    for k, (span_y, span_x, image) in enumerate(spans.clamp(min=0).tolist()):
        # Shorter bins repeat their last pixel, which changes neither maximum nor first winner.
        rows = _pixels(y1[k], y2[k], span_y, height)
        cols = _pixels(x1[k], x2[k], span_x, width)
        pixels = (rows[:, None, :, None] * width + cols[None, :, None, :]).flatten(2)
        best, index = input[image].flatten(1)[:, pixels].max(dim=-1)
        output[k] = best.to(output)
        pixels = pixels.expand(len(best), -1, -1, -1)
        argmax[k] = pixels.gather(-1, index[..., None])[..., 0].to(argmax)
    output.masked_fill_(empty, 0)
    argmax.masked_fill_(empty, -1)


@op
def roi_pool_backward(
    grad_output: Tensor,
    rois: Tensor,
    argmax: Tensor,
    grad_input: Tensor,
    pooled_height: int,
    pooled_width: int,
    spatial_scale: float,
) -> None:
    """Gradient of `roi_pool_forward`: each bin's to its pixel, in grad_input (B, C, H, W)."""
    batch, channels, height, width = grad_input.shape
    (grad,) = upcast(grad_output)
    image = rois[:, 0].long()[:, None]
    plane = image * channels + torch.arange(channels, device=grad.device)
    index = plane[:, :, None, None] * (height * width) + argmax.clamp(min=0)
    total = grad.new_zeros(grad_input.numel())
    total.index_add_(0, index.flatten(), torch.where(argmax >= 0, grad, 0).flatten())
    grad_input.copy_(total.view_as(grad_input))


class _Bins(NamedTuple):
    """Per direction (y, x) and RoI, each (2, K)."""

    start: Tensor  # first edge of the RoI in pixels
    step: Tensor  # size of a bin in pixels
    grid: Tensor  # samples a bin


def _bins(
    rois: Tensor, size: tuple[int, int], spatial_scale: float, sampling_ratio: int, aligned: bool
) -> _Bins:
    edges = rois[:, 1:] * spatial_scale - (0.5 if aligned else 0)
    start, end = edges[:, [1, 0]].t(), edges[:, [3, 2]].t()
    length = end - start
    if not aligned:
        length = length.clamp(min=1)
    step = length / torch.tensor(size, device=rois.device)[:, None]
    grid = torch.full_like(step, sampling_ratio) if sampling_ratio > 0 else step.ceil()
    return _Bins(start, step, grid)


def _same_grid(bins: _Bins, values: int) -> Iterator[tuple[Tensor, tuple[int, int]]]:
    """RoI indices in parts of one sampling grid each, (down, across); `values` a RoI and sample."""
    grids, member = bins.grid.long().t().unique(dim=0, return_inverse=True)
    for i, (down, across) in enumerate(grids.tolist()):
        if down <= 0 or across <= 0:  # a RoI without area has no samples
            continue
        chosen = (member == i).nonzero()[:, 0]
        for part in chosen.split(max(1, _MAX_SAMPLES // (values * down * across))):
            yield part, (down, across)


def _scatter_bilinear(values: Tensor, where: Tensor, image: Tensor, shape: torch.Size) -> Tensor:
    """Spread values (K, C, h, w) over the four pixels around where (2, K, C, h, w)."""
    _, channels, height, width = shape
    limit = torch.tensor([height, width], device=values.device).view(2, 1, 1, 1, 1)
    inside = ((where >= -1) & (where <= limit)).all(dim=0)
    values = torch.where(inside, values, 0)
    where = where.clamp(min=0).minimum(limit - 1)
    low = where.floor()
    fraction = where - low
    low = low.long()
    high = (low + 1).minimum(limit - 1)
    plane = image[:, None] * channels + torch.arange(channels, device=values.device)
    first = plane[:, :, None, None] * (height * width)
    total = values.new_zeros(shape.numel())
    for y, fraction_y in ((low[0], 1 - fraction[0]), (high[0], fraction[0])):
        for x, fraction_x in ((low[1], 1 - fraction[1]), (high[1], fraction[1])):
            index = (first + y * width + x).flatten()
            total.index_add_(0, index, (values * fraction_y * fraction_x).flatten())
    return total.view(shape)


def _pool_edges(
    first: Tensor, last: Tensor, spatial_scale: float, bins: int, size: int
) -> tuple[Tensor, Tensor]:
    """First pixel of every bin and the one after its last, each (K, bins)."""
    start, end = (edge[:, None] * spatial_scale for edge in (first, last))
    step = (end - start) / bins
    index = torch.arange(bins, device=first.device)
    low = (index * step + start).floor().clamp(0, size).long()
    high = ((index + 1) * step + start).ceil().clamp(0, size).long()
    return low, torch.where(end > start, high, low)  # nothing is pooled from an inverted RoI


def _pixels(first: Tensor, end: Tensor, span: int, size: int) -> Tensor:
    """Pixels of each bin, (bins, span), the last repeated."""
    steps = torch.arange(max(span, 1), device=first.device)
    return (first[:, None] + steps).minimum(end[:, None] - 1).clamp(0, size - 1)
