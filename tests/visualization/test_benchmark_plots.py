"""Pictures of measurements that are made up: each model is drawn in its color where it belongs."""

from pathlib import Path

import cv2
import numpy as np
import pytest

from vminet_mm.analysis.benchmark_report import Measurement, Report, make_report
from vminet_mm.visualization.benchmark_plots import save_plot

SETTINGS = dict(device='cpu', threads=2, dtype='fp32')
BLUE, ORANGE, GREEN = (31, 119, 180), (255, 127, 14), (44, 160, 44)  # of the first three models


def row(model: str, milliseconds: float, top1: float | None = None, **others) -> Measurement:
    given = dict(
        model=model,
        mode='infer',
        size=(224, 224),
        batch=8,
        memory_format='contiguous',
        seconds=[milliseconds / 1e3] * 3,
        memory_bytes=1000,
        params=10,
        top1=top1 and (top1, 'a paper'),
    )
    return Measurement(**given | others)


def draw(tmp_path: Path, *rows: Measurement) -> np.ndarray:
    """The picture (H, W, 3), RGB."""
    report: Report = make_report(SETTINGS, rows, baseline=rows[0].model)
    path = save_plot(tmp_path / 'new/plot.png', report)
    assert path.read_bytes().startswith(b'\x89PNG')
    return cv2.imread(str(path))[..., ::-1]


def centers(picture: np.ndarray, color: tuple) -> list[tuple[float, float]]:
    """(x, y) of the spots of a color, in pixels, from left to right."""
    near = (np.abs(picture.astype(int) - color).max(axis=2) < 6).astype(np.uint8)
    points = cv2.connectedComponentsWithStats(near)[3]
    return sorted(tuple(point) for point in points[1:])


def test_fast_is_left_and_accurate_is_up(tmp_path: Path) -> None:
    picture = draw(tmp_path, row('a', 10, 70.0), row('b', 30, 80.0), row('c', 20))
    (blue, blue_legend), (orange, _) = centers(picture, BLUE), centers(picture, ORANGE)
    assert blue[0] < orange[0] < blue_legend[0]
    assert blue[1] > orange[1]  # rows of a picture count down
    assert len(centers(picture, GREEN)) == 1  # without an accuracy, in the legend alone


def test_each_mode_has_a_row_of_panels(tmp_path: Path) -> None:
    one = draw(tmp_path, row('a', 10, 70.0))
    two = draw(tmp_path, row('a', 10, 70.0), row('b', 9, 71.0, mode='train'))
    assert one.shape[1] == two.shape[1] and two.shape[0] > 1.8 * one.shape[0]
    upper, lower = two[: len(two) // 2], two[len(two) // 2 :]
    assert centers(upper, BLUE) and not centers(upper, ORANGE)
    assert centers(lower, ORANGE) and not centers(lower, BLUE)  # a model keeps its color


@pytest.mark.parametrize('exponent', [1, 2])
def test_growth_is_a_line_on_logarithmic_axes(tmp_path: Path, exponent: int) -> None:
    edges = (224, 448, 896)
    rows = [
        row('a', (edge / 224) ** (2 * exponent), size=(edge, edge), memory_bytes=edge**2)
        for edge in edges
    ]
    picture = draw(tmp_path, *rows)
    left = picture[:, : picture.shape[1] // 2]
    near = np.argwhere(np.abs(left.astype(int) - BLUE).max(axis=2) < 6)
    near = near[near[:, 0] > 0.3 * len(left)]  # below the legend
    slope, shift = np.polyfit(near[:, 1], near[:, 0], 1)
    assert slope < 0 and np.abs(near[:, 0] - slope * near[:, 1] - shift).max() < 12
