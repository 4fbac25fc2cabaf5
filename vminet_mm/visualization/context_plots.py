"""Plots of what :mod:`.context_maps` measures."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from .context_maps import Magnitudes, area_of
from .figures import new_figure, save_figure, show
from .loading import Sample, typical_aspect

CELL_INCHES = 1.5
MAX_COLUMNS = 8
DECADES = 4  # of a logarithmic color scale
AREAS = (0.5, 0.99)  # fractions of a receptive field whose size is shown


def save_fields(path: str | Path, blocks: Mapping[str, Mapping[str, Tensor]]) -> Path:
    """Draw fields (H0, W0) of blocks into a PNG file: blue below zero, red above, by themselves."""
    number = len(next(iter(blocks.values())))
    columns = number * min(max(1, MAX_COLUMNS // number), len(blocks))
    rows = -(-len(blocks) * number // columns)
    figure = new_figure(columns * CELL_INCHES, rows * (CELL_INCHES + 0.25))
    grid = figure.subplots(rows, columns, squeeze=False).ravel()
    for axes in grid:
        axes.set_axis_off()
    cells = iter(grid)
    for block, fields in blocks.items():
        for name, field in fields.items():
            axes, limit = next(cells), float(field.abs().max())
            title = f'{block}  {name}\n{f"up to ±{limit:.2g}" if limit else "all 0"}'
            look = dict(cmap='RdBu_r', vmin=-(limit or 1), vmax=limit or 1)
            show(axes, field.cpu().numpy(), title, **look)
    return save_figure(figure, path)


def save_fractions(path: str | Path, measured: Sequence[Mapping[str, Magnitudes]]) -> Path:
    """Draw the context fraction of images, or batches, over the blocks into a PNG file."""
    names = list(measured[0])
    fractions = torch.cat(
        [torch.stack([found[name].fractions for name in names], 1) for found in measured]
    )
    figure = new_figure(max(5.0, 0.35 * len(names) + 1.5), 3.2)
    axes = figure.subplots()
    positions = np.arange(len(names))
    for image in fractions.cpu().numpy():
        axes.plot(positions, image, color='C0', linewidth=0.6, alpha=0.35)
    label = f'mean of {len(fractions)} images' if len(fractions) > 1 else 'one image'
    axes.plot(
        positions,
        fractions.mean(0).cpu().numpy(),
        color='C0',
        marker='o',
        markersize=4,
        label=label,
    )
    for k in range(1, len(names)):
        if names[k].split('.')[0] != names[k - 1].split('.')[0]:
            axes.axvline(k - 0.5, color='gray', linewidth=0.8, linestyle=':')
    axes.set_xticks(positions, names, rotation=90, fontsize=7)
    axes.set_xlabel('block (stage.block)')
    axes.set_ylabel('fraction of the context')
    axes.set_ylim(0, 1)
    axes.grid(alpha=0.3, axis='y')
    axes.legend(fontsize=7)
    return save_figure(figure, path)


def save_fraction_maps(
    path: str | Path,
    samples: Sequence[Sample],
    measured: Sequence[Mapping[str, Magnitudes]],
    blocks: Sequence[str],
) -> Path:
    """Draw the context fraction at every token into a PNG file: images are rows, blocks columns."""
    width = (1 + len(blocks)) * CELL_INCHES + 0.8
    figure = new_figure(width, len(samples) * (CELL_INCHES * typical_aspect(samples) + 0.2))
    grid = figure.subplots(len(samples), 1 + len(blocks), squeeze=False)
    for cells, sample, found in zip(grid, samples, measured, strict=True):
        show(cells[0], sample.picture, sample.name)
        for axes, name in zip(cells[1:], blocks, strict=True):
            title = f'{name}: {float(found[name].fractions[0]):.2f}'
            fractions = found[name].maps[0].cpu().numpy()
            image = show(axes, fractions, title, cmap='viridis', vmin=0, vmax=1)
    figure.colorbar(image, ax=grid, label='fraction of the context', pad=0.01)
    return save_figure(figure, path)


def save_receptive_field(path: str | Path, field: Tensor, title: str = '') -> Path:
    """Draw a receptive field (H, W) into a PNG file, on a logarithmic scale."""
    values = field.double().cpu()
    height, width = values.shape
    figure = new_figure(5.0, 3.8 * min(max(height / width, 0.5), 1.5) + 1.0)
    figure.suptitle(title, fontsize=7)
    axes = figure.subplots()
    decades = torch.log10(values / values.max()).clamp(min=-DECADES)
    image = axes.imshow(decades.numpy(), cmap='inferno', vmin=-DECADES, vmax=0)
    areas = [f'{fraction:.0%} of it in {area_of(values, fraction):.1%}' for fraction in AREAS]
    axes.set_xlabel(f'{", ".join(areas)} of the pixels', fontsize=8)
    figure.colorbar(image, ax=axes, label='log10 of the gradient, 0 at its largest')
    return save_figure(figure, path)
