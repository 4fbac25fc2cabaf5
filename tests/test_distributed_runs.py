"""The cases of distributed_runs.py that need no time-out to pass."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow

SCRIPT = Path(__file__).with_name('distributed_runs.py')


def test_two_processes_do_as_one_and_end_together(mini_root: Path, tmp_path: Path) -> None:
    cases = ['gradients', 'training', 'dies', 'non_finite']
    done = subprocess.run(
        [sys.executable, SCRIPT, '--data', mini_root, '--work-dir', tmp_path, '--cases', *cases],
        env=os.environ | {'OMP_NUM_THREADS': '1'},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=600,
    )
    assert done.returncode == 0, done.stdout[-9000:]
    assert '4 cases as they should be' in done.stdout
