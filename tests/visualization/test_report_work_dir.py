"""Work dirs are read: starts are joined, tables are found, and errors name the fix."""

from pathlib import Path

import pytest
from report_inputs import DETECTION_LOG, LOG, SEGMENTATION_LOG, training_line, write_work_dir

from vminet_mm.errors import ConfigError
from vminet_mm.visualization.report.work_dir import (
    ClassTable,
    read_class_tables,
    read_environment,
    read_work_dir,
)

ACCURACY = 'accuracy/top1'


def test_a_later_start_counts_from_where_it_begins(tmp_path: Path) -> None:
    first = [training_line(step, loss=1.0) for step in (10, 20, 30, 40)]
    write_work_dir(tmp_path, [*first, {ACCURACY: 5.0, 'step': 1}])
    later = [training_line(step, loss=2.0) for step in (25, 35)]
    vis_data = write_work_dir(tmp_path, later, '20250102_100000')
    with (vis_data / 'scalars.json').open('a') as file:
        file.write('{"loss": 3.')
    work = read_work_dir(tmp_path)
    steps = [(line['step'], line['loss']) for line in work.training]
    assert steps == [(10, 1.0), (20, 1.0), (25, 2.0), (35, 2.0)]
    assert work.starts == 2 and work.run.last.metrics == {ACCURACY: 5.0}


def test_another_model_in_the_same_folder_is_not_mixed_in(tmp_path: Path) -> None:
    log = SEGMENTATION_LOG.format('30.0')
    write_work_dir(tmp_path, [training_line(10)], model="dict(type='B')", log=log)
    write_work_dir(tmp_path, [training_line(20)], '20250102_100000')
    work = read_work_dir(tmp_path)
    assert work.starts == 1 and [line['step'] for line in work.training] == [20]
    assert work.tables == []


def test_times_of_all_starts(tmp_path: Path) -> None:
    log = LOG + SEGMENTATION_LOG.format('30.0')
    write_work_dir(tmp_path, [training_line(1)], log=log)
    write_work_dir(tmp_path, [training_line(2)], '20250102_100000', log=log)
    work = read_work_dir(tmp_path)
    assert work.seconds == 2 * 3601 and f'{work.began:%H:%M}' == '10:00'


def test_environment() -> None:
    assert read_environment(LOG) == {
        'sys.platform': 'linux',
        'Python': '3.11.7 (main) [GCC 12.2.0]',
        'GPU 0': 'a <fast> one',
        'seed': '0',
    }
    assert read_environment('') == {}


def test_tables_of_the_last_validation() -> None:
    log = SEGMENTATION_LOG.format('10.5') + SEGMENTATION_LOG.format('30.0')
    rows = [('background', [96.8, 97.65]), ('ring', [30.0, None])]
    assert read_class_tables(log) == [ClassTable('', ['IoU', 'Acc'], rows)]
    assert read_class_tables(DETECTION_LOG) == [
        ClassTable('boxes', ['mAP', 'mAP_50'], [('ring', [25.0, 50.0])]),
        ClassTable('masks', ['mAP', 'mAP_50'], [('ring', [12.5, None])]),
    ]
    other = '| name | size |\n| a | 1 |\n'
    assert read_class_tables(other) == []


def test_checkpoint_of_the_best_validation_or_the_newest(tmp_path: Path) -> None:
    write_work_dir(tmp_path, [{ACCURACY: 5.0, 'step': 1}, {ACCURACY: 4.0, 'step': 2}])
    with pytest.raises(ConfigError, match='there is no checkpoint in'):
        read_work_dir(tmp_path).checkpoint()
    (tmp_path / 'epoch_2.pth').touch()
    assert read_work_dir(tmp_path).checkpoint() == tmp_path / 'epoch_2.pth'
    (tmp_path / 'epoch_1.pth').touch()
    assert read_work_dir(tmp_path).checkpoint() == tmp_path / 'epoch_1.pth'


def test_checkpoint_of_validations_without_metrics(tmp_path: Path) -> None:
    """mmdet logs none where the model found no object in any image."""
    write_work_dir(tmp_path, [training_line(1), {'time': 0.1, 'data_time': 0.0, 'step': 1}])
    (tmp_path / 'epoch_1.pth').touch()
    assert read_work_dir(tmp_path).checkpoint() == tmp_path / 'epoch_1.pth'


def test_errors_tell_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match='there is no folder'):
        read_work_dir(tmp_path / 'none')
    with pytest.raises(ConfigError, match='is not a work dir: vminet_mm train writes'):
        read_work_dir(tmp_path)
    vis_data = write_work_dir(tmp_path / 'a', [training_line(1)])
    with pytest.raises(ConfigError, match=f'did you mean {tmp_path}/a'):
        read_work_dir(tmp_path)
    for text, message in (
        ('model = (', 'cannot be read as a config'),
        ("model = dict(type='A')", 'does not train a model'),
    ):
        (vis_data / 'config.py').write_text(text)
        with pytest.raises(ConfigError, match=message):
            read_work_dir(tmp_path / 'a')
    (vis_data / 'config.py').unlink()
    with pytest.raises(ConfigError, match=r'config\.py is missing'):
        read_work_dir(tmp_path / 'a')
    vis_data = write_work_dir(tmp_path / 'b', [])
    (vis_data / 'scalars.json').unlink()
    with pytest.raises(ConfigError, match='has no logs yet'):
        read_work_dir(tmp_path / 'b')
