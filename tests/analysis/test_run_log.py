"""Starts are found in their order and joined: from where a later one begins, it counts."""

from pathlib import Path

import pytest
from table_inputs import write_run

from vminet_mm.analysis.run_log import find_starts, read_log
from vminet_mm.errors import ConfigError

FIRST, SECOND = '20250101_000000', '20250102_000000'


def training(*steps: int, loss: float = 1.0) -> list[dict]:
    return [dict(lr=0.1, loss=loss, iter=step, step=step) for step in steps]


def validations(**values: float) -> list[dict]:
    return [{'mIoU': value, 'time': 0.1, 'step': int(step[1:])} for step, value in values.items()]


def test_from_where_a_later_start_begins_it_counts(tmp_path: Path) -> None:
    write_run(tmp_path, [*training(10, 20, 30, 40), *validations(s1=1, s2=2, s3=3)], FIRST)
    write_run(tmp_path, [*training(25, 35, loss=2.0), *validations(s2=9)], SECOND)
    log = read_log(find_starts(tmp_path))
    assert len(log.starts) == 2
    steps = [(line['step'], line['loss']) for line in log.training]
    assert steps == [(10, 1.0), (20, 1.0), (25, 2.0), (35, 2.0)]
    assert [(line['step'], line['mIoU']) for line in log.validations] == [(1, 1), (2, 9)]


def test_a_later_start_without_lines_takes_nothing_away(tmp_path: Path) -> None:
    write_run(tmp_path, [*training(10), *validations(s1=1)], FIRST)
    write_run(tmp_path, training(20), SECOND)
    log = read_log(find_starts(tmp_path))
    assert [line['step'] for line in log.training] == [10, 20]
    assert [line['step'] for line in log.validations] == [1]


def test_only_the_model_of_the_latest_start_counts(tmp_path: Path) -> None:
    write_run(tmp_path, training(10), FIRST, model="dict(type='B')")
    write_run(tmp_path, training(20), SECOND)
    log = read_log(find_starts(tmp_path))
    assert [start.cfg.model.type for start in log.starts] == ['A']
    assert [line['step'] for line in log.training] == [20]


def test_lines_that_are_none_are_passed_over(tmp_path: Path) -> None:
    scalars = write_run(tmp_path, training(1))
    with scalars.open('a') as file:
        file.write('[1]\n{"loss": 2.0}\n{"loss": 1.')
    (start,) = find_starts(scalars.parents[1])  # the folder of a start is one, too
    assert [line['step'] for line in start.lines()] == [1]
    assert start.text() == ''
    scalars.with_name('config.py').unlink()
    (start,) = find_starts(tmp_path)
    assert start.cfg is None and read_log([start]).starts == [start]


def test_a_broken_config_is_named(tmp_path: Path) -> None:
    scalars = write_run(tmp_path, training(1))
    scalars.with_name('config.py').write_text('model = (')
    with pytest.raises(ConfigError, match=r'config\.py cannot be read'):
        read_log(find_starts(tmp_path))
    assert find_starts(tmp_path / 'none') == []
