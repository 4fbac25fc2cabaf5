"""Making and saving figures."""

from pathlib import Path

import cv2
import pytest

from vminet_mm.visualization.figures import DPI, new_figure, save_figure


@pytest.mark.parametrize('name', ['costs $5', '$5 or $6', r'$\nothing$', '$a$ and $'])
def test_dollars_in_names(name: str, tmp_path: Path) -> None:
    figure = new_figure(3, 2)
    axes = figure.subplots()
    axes.plot([1, 2], [1, 1000], label=name)
    axes.set_yscale('log')
    axes.set_title(name)
    axes.set_xlabel(name)
    figure.suptitle(name)
    figure.legend()
    path = save_figure(figure, tmp_path / 'made' / 'a.png')
    assert cv2.imread(str(path)).shape == (2 * DPI, 3 * DPI, 3)
    assert not axes.title.get_parse_math() and not axes.xaxis.label.get_parse_math()
    assert all(tick.get_parse_math() for tick in axes.get_yticklabels())
