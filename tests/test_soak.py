"""A short round of soak.py, and what it measures with."""

import mmap
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from usage import growth, usage

pytestmark = pytest.mark.slow

SCRIPT = Path(__file__).with_name('soak.py')


def test_short_round_is_stable(mini_root: Path, tmp_path: Path) -> None:
    done = subprocess.run(
        [
            sys.executable, SCRIPT, '--iterations', '40', '--data', mini_root,
            '--work-dir', tmp_path,
        ],
        env=os.environ | {'OMP_NUM_THREADS': '1'},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=300,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout[-9000:]
    rows = re.findall(r'^(\d+) \| (\d+) \| (\d+) \| 3$', done.stdout, re.MULTILINE)
    assert [int(row[0]) for row in rows] == [*range(4, 44, 4)]
    assert done.stdout.count('Iter(val)') == 20
    assert re.search(r'iterations-1: 40 iterations in \d+ s: memory \S+%, file', done.stdout)


def test_growth_by_hand() -> None:
    warm_up, peaks = [1.0, 9.0], [4.0, 2.0, 2.0, 4.0, 2.0, 2.0, 4.0, 3.0]
    assert growth(warm_up + peaks) == 3 / 4 - 1  # of ten values, a tenth is one
    twice = [value for value in warm_up + peaks for _ in range(2)]
    assert growth([*twice[:-1], 5.0]) == 5 / 4 - 1
    assert growth([7.0]) == 0


def test_what_is_held_is_seen(tmp_path: Path) -> None:
    before = usage(3)
    held = mmap.mmap(-1, 64 * 2**20)  # which no allocator has in stock
    held[:: mmap.PAGESIZE] = b'1' * (len(held) // mmap.PAGESIZE)
    with open(tmp_path / 'a', 'w') as one, open(tmp_path / 'b', 'w') as other:
        after = usage(4)
        assert not one.closed and not other.closed
    assert after.handles == before.handles + 2 == usage(5).handles + 2
    assert after.memory - before.memory == pytest.approx(64, abs=4)
    assert (before.iteration, after.iteration) == (3, 4)
    assert after.processes == before.processes
    held.close()
