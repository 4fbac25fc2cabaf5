"""Interrupt training runs at random moments, resume them, and compare their ends bit for bit with
those of runs that nothing happened to.

    python tests/kill_and_resume.py [--interrupts 96] [switches]

Each case is interrupted in each way of WAYS in turn, and resumed after each.
"""

import argparse
import os
import random
import resource
import signal
import tempfile
import time
from collections.abc import Callable
from itertools import count
from pathlib import Path
from typing import Any

from mmengine.fileio import LocalBackend
from resume_runs import CASES, Run, differences, final_state, prepare

from vminet_mm.compat.safe_load import safe_load
from vminet_mm.datasets import make_mini_data
from vminet_mm.engine.reliability.checkpoint_hook import SafeCheckpointHook

BEGINS = 'Checkpoints will be saved to'  # is logged when the training begins
FULL = 'error: .* could not be written: File too large'
AT_ONCE = 'KeyboardInterrupt'
UNUSED = r'\.pth is not used: .* truncated'


def kill_any_time(run: Run, seconds: float) -> bool:
    """SIGKILL after a random time."""
    run.start()
    run.wait(random.uniform(0, seconds))
    run.kill()
    return -signal.SIGKILL in run.codes.values()


def kill_writing(run: Run, seconds: float) -> bool:
    """SIGKILL when half of a checkpoint is written."""
    return kill_by(run, LocalBackend, 'put', random.randint(1, 3), half, die)


def kill_unnamed(run: Run, seconds: float) -> bool:
    """SIGKILL before a checkpoint, or last_checkpoint, gets its name."""
    return kill_by(run, os, 'replace', random.randint(1, 3), die)


def kill_named(run: Run, seconds: float) -> bool:
    """SIGKILL after it got its name."""
    return kill_by(run, os, 'replace', random.randint(1, 3), os.replace, die)


def kill_and_truncate(run: Run, seconds: float) -> bool:
    """SIGKILL, and truncation of the latest checkpoint."""
    save = SafeCheckpointHook._write
    if not kill_by(run, SafeCheckpointHook, '_write', 4, save, die):
        return False
    latest = Path((run.work_dir / 'last_checkpoint').read_text())
    os.truncate(latest, latest.stat().st_size // 2)
    run.damaged = latest.name
    return True


def fill_disk(run: Run, seconds: float) -> bool:
    """No room for more than half of a checkpoint."""
    before = run.times_said(FULL)
    run.start(lambda: spoil(LocalBackend, 'put', random.randint(1, 3), put_half))
    run.wait()
    run.kill()
    if not any(run.codes.values()):
        return False
    if run.codes[0] != 1 or run.times_said(FULL) != before + 1:
        raise SystemExit(f'{run.work_dir}: {run.codes} and no clear error')
    return True


def terminate(run: Run, seconds: float) -> bool:
    """SIGTERM to one process and its data workers while it trains or validates."""
    return stop_by(run, seconds, signal.SIGTERM)


def interrupt(run: Run, seconds: float) -> bool:
    """SIGINT likewise."""
    return stop_by(run, seconds, signal.SIGINT)


def stop_by(run: Run, seconds: float, signum: int) -> bool:
    """Whether a run ends with a saved state after a signal; else it came too late, or so early that
    it ended the process at once."""
    before, cut = run.times_said(BEGINS), run.times_said(AT_ONCE)
    run.start()
    while not run.wait(0.01) and run.times_said(BEGINS) == before:
        pass
    time.sleep(random.uniform(0, seconds / 2))
    for pid in random.sample([*run.pids.values()], min(1, len(run.pids))):
        os.killpg(pid, signum)
    run.wait()
    run.kill()
    codes = set(run.codes.values())
    is_cut = -signum in codes or run.times_said(AT_ONCE) > cut
    if codes != {128 + signum} and any(codes) and not is_cut:
        name = signal.Signals(signum).name
        raise SystemExit(f'{run.work_dir}: exit codes {run.codes} after {name}')
    return codes == {128 + signum}


WAYS = (
    kill_and_truncate, kill_any_time, kill_writing, kill_unnamed, kill_named, fill_disk,
    terminate, interrupt,
)  # fmt: skip
PARTS = {'state_dict', 'ema_state_dict', 'optimizer', 'param_schedulers', 'message_hub', 'meta'}


def kill_by(run: Run, owner: Any, name: str, nth: int, *acts: Callable) -> bool:
    """Run until the nth call of a function, which does something else; whether that killed it."""
    run.start(lambda: spoil(owner, name, nth, *acts))
    run.wait()
    run.kill()
    return -signal.SIGKILL in run.codes.values()


def spoil(owner: Any, name: str, nth: int, *acts: Callable) -> None:
    """Have the nth call of a function do something else."""
    original, calls = getattr(owner, name), count(1)

    def function(*args: Any) -> None:
        for act in acts if next(calls) == nth else (original,):
            act(*args)

    setattr(owner, name, function)


def die(*args: Any) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def half(backend: LocalBackend, content: bytes, path: str) -> None:
    Path(path).write_bytes(content[: len(content) // 2])


def put_half(backend: LocalBackend, content: bytes, path: str) -> None:
    """Write until the operating system refuses."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (len(content) // 2, before[1]))
    try:
        Path(path).write_bytes(content)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def try_case(case: str, interrupts: int, data: Path, work_dir: Path) -> list[str]:
    """Interrupt a case so many times; returns where its ends differ."""
    reference = Run(case, data, work_dir / 'reference')
    seconds = reference.finish()
    expected = final_state(reference.work_dir)
    reference.finish()  # once more: there is nothing to do
    missing = PARTS - expected[expected['latest']].keys()
    if missing:
        raise SystemExit(f'{case}: the last checkpoint has no {missing}')
    found = differences(final_state(reference.work_dir), expected)
    if found or reference.times_said('Validating first'):
        raise SystemExit(f'{case}: a finished run that is resumed changes {found}')
    survived = dict.fromkeys(WAYS, 0)
    run, misses = None, 0
    while sum(survived.values()) < interrupts and not found:
        run = run or Run(case, data, Path(tempfile.mkdtemp(dir=work_dir)) / 'run')
        way = min(WAYS, key=survived.get)
        if way(run, seconds):
            survived[way] += 1
            misses = 0
            check_latest(run)
        else:  # it came to its end first
            found = finish_and_compare(run, expected)
            run, misses = None, misses + 1
            if misses == 20:
                raise SystemExit(f'{case}: {way.__doc__} never happens')
    if run:
        found += finish_and_compare(run, expected)
    print(f'{case}: a run takes {seconds:.1f} s; survived')
    for way, times in survived.items():
        print(f'  {times:3} x {way.__doc__}')
    return [f'{case}{line}' for line in found]


def check_latest(run: Run) -> None:
    """What last_checkpoint names can be read, whenever the run was interrupted."""
    note = run.work_dir / 'last_checkpoint'
    if note.exists() and Path(note.read_text()).name != run.damaged:
        safe_load(note.read_text())


def finish_and_compare(run: Run, expected: dict) -> list[str]:
    """Resume to the end; returns where that differs from a run that was not interrupted."""
    run.finish()
    if run.damaged and not run.times_said(UNUSED):
        raise SystemExit(f'{run.work_dir}: nothing was said of {run.damaged}')
    return differences(final_state(run.work_dir), expected)


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('--interrupts', type=int, default=96, help='shared by the cases')
    parser.add_argument('--cases', nargs='+', default=[*CASES], choices=CASES)
    parser.add_argument('--data', type=Path, help='the built-in data; made if not given')
    parser.add_argument('--work-dir', type=Path, help='by default a temporary folder')
    parser.add_argument('--seed', type=int, help='of the moments')
    return parser.parse_args()


def main() -> None:
    args = parse_args()
    random.seed(args.seed)
    prepare()
    with tempfile.TemporaryDirectory() as folder:
        work_dir, data = args.work_dir or Path(folder), args.data or Path(folder) / 'data'
        if not data.exists():
            make_mini_data(data, num_train=16, num_val=6, seed=3)
        found = []
        for i, case in enumerate(args.cases):
            interrupts = args.interrupts // len(args.cases) + (
                i < args.interrupts % len(args.cases)
            )
            found += try_case(case, interrupts, data, work_dir / case)
    if found:
        raise SystemExit('\n'.join([*found, f'{len(found)} differences']))
    print(f'{args.interrupts} interruptions survived, no bit differs')


if __name__ == '__main__':
    main()
