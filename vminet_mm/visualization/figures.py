"""Making and saving figures: resolution, layout, and names shown as they are written."""

import html
import io
import re
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.image import AxesImage
from matplotlib.text import Text

from ..inference.fonts import families_for

DPI = 150


def new_figure(width: float, height: float) -> Figure:
    """A figure of its own, in inches.

    Not through pyplot, so it leaves no global state and needs no display.
    """
    return Figure(figsize=(width, height), dpi=DPI, layout='constrained')


def show(axes: Axes, picture: np.ndarray, title: str, **look: Any) -> AxesImage:
    """Show an image in a cell, without axes, under a small title."""
    axes.set_title(title, fontsize=6, pad=2)
    axes.set_axis_off()
    return axes.imshow(picture, **look)


def save_figure(figure: Figure, path: str | Path) -> Path:
    """Write a figure into a PNG file, whose folder is made.

    Characters that the default font lacks are taken from another. A ``$`` in a name of a class,
    file or run is drawn as it is and starts no formula. Ticks may have formulas: logarithmic axes
    write powers of ten so.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    _show_names_as_written(figure)
    figure.savefig(path, format='png')
    return path


def svg_text(figure: Figure, label: str) -> str:
    """A figure as an ``<svg>`` element for a page, as wide as the page lets it be.

    Text stays text, in the font of the page, and nothing is painted behind the figure. The label
    says what it shows for those who cannot see it.
    """
    _show_names_as_written(figure)
    buffer = io.StringIO()
    with matplotlib.rc_context({'svg.fonttype': 'none'}):
        figure.savefig(buffer, format='svg', transparent=True, metadata=dict(Date=None))
    text = buffer.getvalue()
    text = text[text.index('<svg') :]
    text = re.sub(r'<metadata>.*?</metadata>', '', text, flags=re.DOTALL)
    text = re.sub(r' id="[a-z]\w*_\d+"', '', text)  # the groups of several figures share names
    text = re.sub(r'font-family: [^;]*; ', '', text)
    head, body = text.split('>', 1)
    view_box = re.search(r'viewBox="[^"]*"', head)[0]
    return f'<svg {view_box} role="img" aria-label="{html.escape(label)}">{body}'


def _show_names_as_written(figure: Figure) -> None:
    ticks = {
        tick
        for axes in figure.axes
        for axis in (axes.xaxis, axes.yaxis)
        for tick in (*axis.get_majorticklabels(), *axis.get_minorticklabels())
    }
    for text in set(figure.findobj(Text)) - ticks:
        text.set_parse_math(False)
        if not text.get_text().isascii():
            text.set_family(families_for([text.get_text()]))
