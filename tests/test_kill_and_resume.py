"""Two of the cases of kill_and_resume.py, each interrupted once in each of its ways."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow

SCRIPT = Path(__file__).with_name('kill_and_resume.py')


def test_interrupted_runs_end_as_others_do(mini_root: Path, tmp_path: Path) -> None:
    done = subprocess.run(
        [
            sys.executable, SCRIPT, '--interrupts', '16', '--cases', 'epochs-2', 'iterations-1',
            '--data', mini_root, '--work-dir', tmp_path,
        ],
        env=os.environ | {'OMP_NUM_THREADS': '1'},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=600,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout[-9000:]
    assert '16 interruptions survived, no bit differs' in done.stdout
