"""Fixtures of the compat tests."""

import os
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def python(tmp_path):
    """Run code in a fresh interpreter without a GPU; return its output, fail if it fails."""

    def run(code, *launcher, timeout=120):
        script = tmp_path / 'script.py'
        script.write_text(textwrap.dedent(code))
        paths = [str(ROOT), *filter(None, [os.environ.get('PYTHONPATH')])]
        environment = {
            **os.environ,
            'PYTHONPATH': os.pathsep.join(paths),
            'CUDA_VISIBLE_DEVICES': '',
            'OMP_NUM_THREADS': '1',
            'MKL_NUM_THREADS': '1',
        }
        done = subprocess.run(
            [sys.executable, *launcher, str(script)],
            cwd=tmp_path,
            env=environment,
            capture_output=True,
            text=True,
            timeout=timeout,
        )
        assert done.returncode == 0, f'{done.stdout[-2000:]}\n{done.stderr[-4000:]}'
        return done.stdout + done.stderr

    return run
