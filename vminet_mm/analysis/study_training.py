"""The trainings of a study: what is finished is skipped, and what was interrupted goes on.

So the same command may be given again at any time. A run goes on, and is reported, with the config
alone that it was started with.
"""

import fcntl
import json
import resource
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import TextIO

import torch
from mmengine.config import Config

from ..errors import MAX_LENGTH, ConfigError, RunStoppedError, one_line
from ..files import shipped
from .study import SECONDS, StudyRun, read_seconds

OUTPUT = 'output.txt'  # what the trainings of a run printed, in its folder
LOCK = 'lock'  # held by the process that trains in a folder, there too


def train_unfinished(
    runs: Sequence[StudyRun], data_root: str | None = None
) -> Iterator[list[StudyRun]]:
    """Train what is not finished; yield all finished runs, at first and after each training.

    Raises:
        ConfigError: If a training fails, a run was started with another config, or another process
            is training it.
        RunStoppedError: After SIGTERM or SIGINT, when the state of the training is saved.
    """
    for run in runs:
        _require_same_config(run)
    finished = [run for run in runs if run.result() is not None]
    yield finished
    for run in runs:
        if run in finished:
            continue
        with _alone(run.folder) as lock:
            if run.result() is None:  # or another process has finished it by now
                _train(run.config(data_root), run, lock)
        if run.result() is None:
            raise ConfigError(f'{run.folder} has no metric at its end, see {OUTPUT} there')
        finished = [*finished, run]
        yield finished


def _require_same_config(run: StudyRun) -> None:
    """Raise ConfigError if what a run has trained is not what its config is now."""
    changes = run.changes()
    if changes:
        names = ', '.join(changes[:3] + ['...'][: len(changes) > 3])
        raise ConfigError(
            f'{run.folder} was trained with other settings than {run.member} has now ({names}): '
            'move it away, or give another --out'
        )


@contextmanager
def _alone(work_dir: Path) -> Iterator[int]:
    """Hold the lock of a folder, which is made; the lock is free when no process has it open.

    Raises:
        ConfigError: If another process holds it, or the folder cannot be made.
    """
    try:
        work_dir.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigError(f'{work_dir} cannot be made ({error.strerror})') from error
    with (work_dir / LOCK).open('a') as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise ConfigError(
                f'another process is training in {work_dir}: wait for its end, take other members '
                'with --only, or give another --out'
            ) from None
        yield file.fileno()


def _train(cfg: Config, run: StudyRun, lock: int) -> None:
    """Train, or go on, in a process of its own, and note how long it took.

    Raises:
        ConfigError: If the process fails.
        RunStoppedError: If this process was asked to stop.
    """
    cfg.dump(run.started_with)
    folder = str(run.folder)
    tool = [sys.executable, str(shipped('tools/train.py')), str(run.started_with)]
    note, earlier = run.folder / SECONDS, read_seconds(run.folder)
    note.write_text(json.dumps([*earlier, None]))  # what stays if this process is killed
    started, used = time.monotonic(), _processor_seconds()
    with (run.folder / OUTPUT).open('a+', errors='replace') as output:
        begin = output.tell()
        code, signum = run_command([*tool, '--work-dir', folder, '--resume'], output, lock)
        output.seek(begin)
        reasons = [line for line in output if line.startswith('error: ')]
    on_gpu = torch.cuda.is_available()
    seconds = time.monotonic() - started if on_gpu else _processor_seconds() - used
    note.write_text(json.dumps([*earlier, round(seconds, 1)]))
    if code and signum:
        raise RunStoppedError(signum, folder, 'the same command')
    if code:
        reason = f': {one_line(reasons[-1], MAX_LENGTH)}' if reasons else ''
        raise ConfigError(
            f'training in {folder} ended with exit code {code}, see {OUTPUT} there{reason}'
        )


def run_command(command: Sequence[str], output: TextIO, lock: int) -> tuple[int, int]:
    """Run a training to its end; the first SIGTERM or SIGINT is passed on, a second kills it.

    Args:
        command: Its words.
        output: Where its output goes.
        lock: The file that it keeps open, even if this process is killed.

    Returns:
        tuple[int, int]: Its exit code, and the first signal that this process got, or 0.
    """
    got: list[int] = []
    is_main = threading.current_thread() is threading.main_thread()  # no other gets signals
    with subprocess.Popen(command, stdout=output, stderr=output, pass_fds=[lock]) as training:

        def pass_on(signum: int, frame: FrameType | None) -> None:
            """SIGTERM in either case: the terminal's SIGINT goes to the training as well."""
            got.append(signum)  # first: the next signal may come before this function ends
            if len(got) > 1:
                training.kill()
            else:
                training.terminate()

        signals = (signal.SIGTERM, signal.SIGINT) if is_main else ()
        before = {signum: signal.signal(signum, pass_on) for signum in signals}
        try:
            code = training.wait()
        finally:
            for signum, handler in before.items():
                signal.signal(signum, handler)
    return code, got[0] if got else 0


def _processor_seconds() -> float:
    """What the processes that this one has started and waited for have used."""
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime
