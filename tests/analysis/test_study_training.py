"""Which trainings of a study are started, and how they end; most are made up."""

import fcntl
import json
import runpy
import signal
import sys
from dataclasses import replace
from pathlib import Path
from typing import TextIO

import pytest

from vminet_mm.analysis import study, study_training
from vminet_mm.analysis.study import SECONDS, study_rows, study_runs, to_table
from vminet_mm.analysis.study_training import train_unfinished
from vminet_mm.errors import ConfigError, RunStoppedError

TOOL = str(Path(__file__).parents[2] / 'tools/analysis_tools/study.py')


def test_finished_runs_are_skipped_and_others_done(trainings: list[Path], tmp_path: Path) -> None:
    runs = study_runs('ablation', tmp_path, only=['tril', 'no-mask'])
    names = [(run.member, run.seed) for run in runs]
    assert names == [(member, seed) for seed in range(3) for member in ('tril', 'no-mask')]
    one = runs[2]
    assert list(train_unfinished([one])) == [[], [one]]
    assert trainings == [one.folder]
    *_, finished = train_unfinished(runs)
    assert {run.folder for run in finished} == {run.folder for run in runs} == set(trainings)
    assert len(trainings) == 6
    assert [run.result() for run in runs] == [40.0, 40.0, 43.0, 43.0, 42.0, 42.0]
    log = one.folder / 'TIME/vis_data/scalars.json'
    log.write_text(log.read_text().replace('"step": 2}', '"step": 1}'))  # an interrupted run
    assert one.result() is None
    assert list(train_unfinished([one]))[-1] == [one]
    assert trainings[6:] == [one.folder]
    assert len(json.loads((one.folder / SECONDS).read_text())) == 2


def test_time_of_a_start_that_was_killed_is_not_known(
    trainings: list[Path], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    run = study_runs('ablation', tmp_path, only=['tril'])[0]
    assert run.seconds() == 0

    def kill(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(study_training, 'run_command', kill)
        list(train_unfinished([run]))
    assert list(train_unfinished([run]))[-1] == [run]
    first, second = json.loads((run.folder / SECONDS).read_text())
    assert first is None and second >= 0 and run.seconds() is None
    (row,) = study_rows([run])
    assert '| not known | 40 |' in to_table([row], 'top-1')


def test_a_training_that_fails_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With what it ended with, and not with what an earlier start did."""
    runs = study_runs('cifar10', tmp_path)

    def fail(command: list[str], output: TextIO, lock: int) -> tuple[int, int]:
        output.write(f'INFO\n{next(lines)}\nmore\n')
        output.flush()
        return 3, 0

    lines = iter(['error: train: data/cifar10/train is missing', 'Traceback'])
    monkeypatch.setattr(study_training, 'run_command', fail)
    with pytest.raises(ConfigError, match='exit code 3, see output.txt there: error: train: data'):
        list(train_unfinished(runs))
    with pytest.raises(ConfigError, match='exit code 3, see output.txt there$'):
        list(train_unfinished(runs))
    (tmp_path / 'file').write_text('')
    with pytest.raises(ConfigError, match='cannot be made'):
        list(train_unfinished(study_runs('cifar10', tmp_path / 'file')))


def test_a_run_of_another_config_is_not_passed_off(
    trainings: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither reported nor gone on with; where the data lie does not matter."""
    (run,) = study_runs('cifar10', tmp_path, only=['vminet'])
    assert run.changes() == []
    *_, finished = train_unfinished([run], data_root=str(tmp_path))
    assert finished == [run] and run.changes() == []
    cifar10 = study.STUDIES['cifar10']
    shorter = replace(cifar10.members['vminet'], options={'train_cfg.max_epochs': 9})
    monkeypatch.setitem(study.STUDIES, 'cifar10', replace(cifar10, members={'vminet': shorter}))
    assert run.changes() == ['train_cfg.max_epochs']
    with pytest.raises(ConfigError, match=r'other settings .*\(train_cfg\.max_epochs\)'):
        next(train_unfinished([run]))
    assert trainings == [run.folder]
    for log in run.folder.rglob('scalars.json'):  # a start that ended before it had trained
        log.unlink()
    assert run.changes() == []


def test_a_folder_is_trained_in_once(
    trainings: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By one process at a time; what another has finished meanwhile is not trained again."""
    first, second = study_runs('ablation', tmp_path, only=['tril', 'no-mask'])[:2]
    first.folder.mkdir(parents=True)
    with (first.folder / study_training.LOCK).open('w') as other:
        fcntl.flock(other, fcntl.LOCK_EX)
        with pytest.raises(ConfigError, match='another process is training in'):
            list(train_unfinished([first, second]))
        assert trainings == [] and list(train_unfinished([second]))[-1] == [second]
    progress = train_unfinished([first])
    assert next(progress) == []
    assert list(train_unfinished([first]))[-1] == [first]
    assert next(progress) == [first] and trainings == [second.folder, first.folder]


@pytest.mark.parametrize('signum', [signal.SIGTERM, signal.SIGINT])
def test_a_signal_is_passed_on(signum: int, tmp_path: Path) -> None:
    """The training ends as it does after SIGTERM, and its lock is held to its end."""
    script = """
import os, signal, time
signal.signal(signal.SIGTERM, lambda *_: (print('saved', flush=True), os._exit(143)))
print('started', flush=True)
os.kill(os.getppid(), SIGNUM)
time.sleep(60)
""".replace('SIGNUM', str(int(signum)))
    before = signal.getsignal(signum)
    with (tmp_path / 'lock').open('w') as lock, (tmp_path / 'out').open('w') as output:
        code, got = study_training.run_command(
            [sys.executable, '-c', script], output, lock.fileno()
        )
    assert (code, got) == (143, signum) and signal.getsignal(signum) == before
    assert (tmp_path / 'out').read_text() == 'started\nsaved\n'


def test_a_second_signal_ends_a_training_at_once(tmp_path: Path) -> None:
    script = """
import os, signal, time
signal.signal(signal.SIGTERM, lambda *_: os.kill(os.getppid(), signal.SIGINT))
os.kill(os.getppid(), signal.SIGTERM)
time.sleep(60)
"""
    with (tmp_path / 'lock').open('w') as lock, (tmp_path / 'out').open('w') as output:
        code, got = study_training.run_command(
            [sys.executable, '-c', script], output, lock.fileno()
        )
    assert (code, got) == (-signal.SIGKILL, signal.SIGTERM)


def test_a_stopped_study_says_how_to_go_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(study_training, 'run_command', lambda *_: (143, signal.SIGINT))
    run = study_runs('cifar10', tmp_path)[0]
    with pytest.raises(RunStoppedError, match='SIGINT.* the same command') as caught:
        list(train_unfinished([run]))
    assert caught.value.exit_code == 130 and run.seconds() is not None


def test_tool(
    trainings: list[Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture,
) -> None:
    for member in ('resnet18', 'vminet'):
        monkeypatch.setattr(
            sys, 'argv', [TOOL, 'cifar10', '--out', str(tmp_path), '--only', member]
        )
        runpy.run_path(TOOL, run_name='__main__')
    folder = tmp_path / 'cifar10/small'
    table = (folder / 'table.md').read_text()
    assert table.splitlines()[2].startswith('| vminet | 0.42 M | 0.016 G |')
    assert table.splitlines()[3].startswith('| resnet18 | 0.33 M | 0.017 G |')
    assert table in capsys.readouterr().out
    assert (folder / 'curves.png').stat().st_size > 1000


def test_the_table_leaves_out_what_has_changed(
    trainings: list[Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture,
) -> None:
    old, new = study_runs('cifar10', tmp_path, only=['resnet18', 'vminet'])
    list(train_unfinished([old]))
    text = old.started_with.read_text()
    old.started_with.write_text(text.replace('max_epochs=24', 'max_epochs=23'))
    arguments = ['cifar10', '--out', str(tmp_path), '--only', new.member]
    monkeypatch.setattr(sys, 'argv', [TOOL, *arguments])
    runpy.run_path(TOOL, run_name='__main__')
    told = capsys.readouterr().out
    assert f'left out: {old.folder}' in told and f'| {new.member} |' in told
    assert f'| {old.member} |' not in (tmp_path / 'cifar10/small/table.md').read_text()


def test_full_size_needs_a_gpu(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr('torch.cuda.is_available', lambda: False)
    monkeypatch.setattr(sys, 'argv', [TOOL, 'cifar10', '--full', '--out', str(tmp_path)])
    with pytest.raises(SystemExit, match='error: --full needs a GPU'):
        runpy.run_path(TOOL, run_name='__main__')
