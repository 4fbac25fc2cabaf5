"""Making and saving figures: resolution, layout, and names shown as they are written."""

from pathlib import Path

from matplotlib.figure import Figure
from matplotlib.text import Text

DPI = 150


def new_figure(width: float, height: float) -> Figure:
    """A figure of its own, in inches.

    Not through pyplot, so it leaves no global state and needs no display.
    """
    return Figure(figsize=(width, height), dpi=DPI, layout='constrained')


def save_figure(figure: Figure, path: str | Path) -> Path:
    """Write a figure into a PNG file, whose folder is made.

    A ``$`` in names of classes, files and runs stays a ``$`` and starts no formula. The ticks keep
    theirs: logarithmic axes write powers of ten as formulas.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    ticks = {
        tick
        for axes in figure.axes
        for axis in (axes.xaxis, axes.yaxis)
        for tick in (*axis.get_majorticklabels(), *axis.get_minorticklabels())
    }
    for text in set(figure.findobj(Text)) - ticks:
        text.set_parse_math(False)
    figure.savefig(path, format='png')
    return path
