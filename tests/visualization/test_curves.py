"""Curves are read as MMEngine's own backend writes them, and drawn where they belong."""

import json
import runpy
from pathlib import Path

import cv2
import numpy as np
import pytest
from mmengine.visualization import LocalVisBackend

from vminet_mm.visualization import curves
from vminet_mm.visualization.curves import (
    Curve,
    RunCurves,
    choose_keys,
    read_curves,
    save_curves,
)

TOOL = str(Path(__file__).parents[2] / 'tools/visualization/curves.py')
BLUE, ORANGE = (31, 119, 180), (255, 127, 14)  # of the first two runs


def log(work_dir: Path, lines: list[dict], start: str = '20250101_000000') -> Path:
    """Write what a run has logged, step by step; returns the file."""
    backend = LocalVisBackend(str(work_dir / start / 'vis_data'))
    for line in lines:
        backend.add_scalars(line, line['step'])
    return work_dir / start / 'vis_data/scalars.json'


def training(step: int, loss: float, epoch: int | None = None) -> dict:
    line = dict(lr=0.1, loss=loss, time=0.5, iter=step, step=step)
    return line if epoch is None else dict(line, epoch=epoch)


def validation(step: int, **metrics: float) -> dict:
    return {**metrics, 'data_time': 0.1, 'time': 0.2, 'step': step}


def points(curve: Curve) -> list[tuple[int, float]]:
    return list(zip(curve.steps, curve.values, strict=True))


def test_an_epoch_based_run(tmp_path: Path) -> None:
    lines = [training(10, 3.0, 1), training(20, 2.0, 1), validation(1, mIoU=0.25)]
    log(tmp_path / 'mine', [*lines, training(30, 1.5, 2), validation(2, mIoU=0.5)])
    run = read_curves(tmp_path / 'mine')
    assert run.name == str(tmp_path / 'mine')
    assert set(run.curves) == {'lr', 'loss', 'time', 'mIoU'}
    loss, metric = run.curves['loss'], run.curves['mIoU']
    assert points(loss) == [(10, 3.0), (20, 2.0), (30, 1.5)]
    assert (loss.unit, loss.is_training) == ('iteration', True)
    assert points(metric) == [(1, 0.25), (2, 0.5)]
    assert (metric.unit, metric.is_training) == ('epoch', False)
    assert points(run.curves['time']) == [(10, 0.5), (20, 0.5), (30, 0.5)]  # the training's


def test_an_iteration_based_run(tmp_path: Path) -> None:
    log(tmp_path, [training(50, 3.0), validation(50, mIoU=0.25)])
    curves = read_curves(tmp_path).curves
    assert curves['mIoU'].unit == curves['loss'].unit == 'iteration'


def test_what_a_resumed_run_has_done_again_counts_once(tmp_path: Path) -> None:
    first = [training(10, 3.0, 1), training(20, 2.0, 1), training(30, 9.0, 2), training(40, 9.0, 2)]
    second = [training(30, 1.5, 2), validation(2, mIoU=0.5)]
    log(tmp_path, [*first, validation(1, mIoU=0.25)], '20250101_000000')
    log(tmp_path, second, '20250102_000000')
    curves = read_curves(tmp_path).curves
    assert points(curves['loss']) == [(10, 3.0), (20, 2.0), (30, 1.5)]
    assert points(curves['mIoU']) == [(1, 0.25), (2, 0.5)]


def test_start_and_file_are_runs_too_and_half_a_line_is_passed_over(tmp_path: Path) -> None:
    file = log(tmp_path / 'mine', [training(10, 3.0), dict(training(20, 2.0), note='text')])
    with file.open('a') as stream:
        stream.write('[1]\n{"loss": 1.')
    for path in (file, file.parents[1]):
        assert points(read_curves(path).curves['loss']) == [(10, 3.0), (20, 2.0)]
    other = file.with_name('20250101.json')
    other.write_text(json.dumps(training(1, 4.0)))
    assert points(read_curves(other).curves['loss']) == [(1, 4.0)]


@pytest.mark.parametrize('name', ['.', 'absent'])
def test_folder_without_logs(name: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match='no scalars'):
        read_curves(tmp_path / name)


def run_of(**curves: Curve) -> RunCurves:
    return RunCurves('run', {key.replace('__', '/'): curve for key, curve in curves.items()})


def test_keys() -> None:
    train, epoch = Curve('iteration', True), Curve('epoch', False)
    runs = [run_of(lr=train, loss=train, loss_cls=train), run_of(coco__bbox_mAP=epoch, mIoU=epoch)]
    assert choose_keys(runs) == ['loss', 'coco/bbox_mAP', 'mIoU']
    assert choose_keys(runs, ['loss*', 'lr', 'loss']) == ['loss', 'loss_cls', 'lr']
    assert choose_keys([run_of(lr=train, mine=epoch)]) == ['mine']
    with pytest.raises(ValueError, match="'los'; there are coco/bbox_mAP, loss"):
        choose_keys(runs, ['los'])


def pixels(path: Path, color: tuple) -> np.ndarray:
    """(N, 2) rows and columns of a picture's pixels of an RGB color."""
    image = cv2.imread(str(path))[..., ::-1].astype(int)
    return np.argwhere(np.abs(image - color).max(axis=2) < 6)


def test_curves_are_drawn_in_their_panels_and_colors(tmp_path: Path) -> None:
    falling = Curve('iteration', True, [1, 2, 3, 4], [1e3, 1e2, 1e1, 1e0])
    rising = Curve('epoch', False, [1, 2], [0.2, 0.9])
    runs = [RunCurves('one', dict(loss=falling, acc=rising)), RunCurves('two', dict(acc=rising))]
    path = save_curves(tmp_path / 'new/curves.png', runs[:1], ['loss', 'acc'], log_y=True)
    height, width = cv2.imread(str(path)).shape[:2]
    blue = pixels(path, BLUE)
    blue = blue[blue[:, 0] < 0.85 * height]  # without the legend
    left, right = blue[blue[:, 1] < width / 2], blue[blue[:, 1] > width / 2]
    # on a logarithmic scale powers of ten lie on a straight line, which falls
    assert np.corrcoef(left.T)[0, 1] > 0.99 and np.corrcoef(right.T)[0, 1] < -0.9
    linear = pixels(save_curves(tmp_path / 'linear.png', runs[:1], ['loss']), BLUE)
    assert np.corrcoef(linear[linear[:, 0] < 0.85 * height].T)[0, 1] < 0.95
    assert len(pixels(path, ORANGE)) == 0
    both = pixels(save_curves(tmp_path / 'both.png', runs, ['loss', 'acc']), ORANGE)
    assert (both[both[:, 0] < 0.8 * height][:, 1] > width / 2).all() and len(both)


@pytest.mark.parametrize('last', [3, 24, 400, 18768, 450000])
def test_numbers_of_iterations_do_not_overlap(
    last: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    figures = []
    monkeypatch.setattr(curves, 'save_figure', lambda figure, path: figures.append(figure))
    run = RunCurves('one', {k: Curve('iteration', True, [1, last], [2.0, 1.0]) for k in 'abc'})
    save_curves(tmp_path / 'curves.png', [run], 'abc')
    figures[0].canvas.draw()
    for axes in figures[0].axes:
        labels = [label for label in axes.get_xticklabels() if label.get_text()]
        boxes = [label.get_window_extent() for label in labels]
        assert len(boxes) > 1
        assert all(a.x1 < b.x0 for a, b in zip(boxes, boxes[1:], strict=False))


def test_tool(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    log(tmp_path / 'a', [training(10, 3.0), training(20, 2.0), validation(20, mIoU=0.3)])
    log(tmp_path / 'b', [training(10, 4.0), training(20, 1.0)])
    out = tmp_path / 'curves.png'
    command = [TOOL, str(tmp_path / 'a'), str(tmp_path / 'b'), '--out', str(out)]
    monkeypatch.setattr('sys.argv', [*command, '--log-y'])
    runpy.run_path(TOOL, run_name='__main__')
    assert f'written: {out}' in capsys.readouterr().out
    assert len(pixels(out, BLUE)) and len(pixels(out, ORANGE))
    monkeypatch.setattr('sys.argv', [*command, '--keys', 'nothing'])
    with pytest.raises(SystemExit, match="error: no curve is named 'nothing'"):
        runpy.run_path(TOOL, run_name='__main__')
