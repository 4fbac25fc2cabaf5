"""Launches that cannot work: too many or too few processes, ports, and tools run from a shell."""

import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from vminet_mm.engine import check_processes
from vminet_mm.errors import ConfigError

ROOT = Path(__file__).resolve().parents[2]
CONFIG = 'configs/cls/vminet-ti_mini.py'

# what is wrong: words after the script, environment, what is said
SHELL = {
    '0 GPUs': (
        ('dist_train.sh', CONFIG, '0'),
        {},
        "error: the number of GPUs (without CUDA: of processes) is 1 or more, not '0'",
    ),
    'fewer than 0 GPUs': (('dist_train.sh', CONFIG, '-1'), {}, "is 1 or more, not '-1'"),
    'number of GPUs as a word': (
        ('dist_test.sh', CONFIG, 'a.pth', 'two'), {}, "is 1 or more, not 'two'"
    ),
    'half a GPU': (('dist_train.sh', CONFIG, '1.5'), {}, "is 1 or more, not '1.5'"),
    'no number of GPUs': (
        ('dist_train.sh', CONFIG), {}, 'usage: bash tools/dist_train.sh CONFIG GPUS'
    ),
    '0 GPUs under Slurm': (
        ('slurm_train.sh', 'partition', 'job', CONFIG),
        dict(GPUS='0'),
        "error: GPUS and GPUS_PER_NODE are 1 or more, not '0'",
    ),
    'port that is no number': (
        ('dist_train.sh', CONFIG, '1'),
        dict(PORT='http'),
        "error: PORT is a number from 1 to 65535, not 'http'",
    ),
    'port past the last': (('dist_train.sh', CONFIG, '1'), dict(PORT='65536'), "not '65536'"),
    'rank past the last machine': (
        ('dist_train.sh', CONFIG, '1'),
        dict(NNODES='2', NODE_RANK='2'),
        'error: NODE_RANK counts from 0 to NNODES - 1, and is 2 of 2',
    ),
    'number of machines as a word': (
        ('dist_train.sh', CONFIG, '1'), dict(NNODES='two'), "error: NNODES is a number, not 'two'"
    ),
}  # fmt: skip
CASES = [*SHELL, 'port in use', 'more processes than GPUs', 'launcher that did not launch']


def run(*command: str, **environment: str) -> subprocess.CompletedProcess:
    """Run in the project's root; this interpreter is the scripts' ``python``."""
    path = f'{Path(sys.executable).parent}{os.pathsep}{os.environ["PATH"]}'
    return subprocess.run(
        command,
        cwd=ROOT,
        env=os.environ | dict(PATH=path, CUDA_VISIBLE_DEVICES='') | environment,
        capture_output=True,
        text=True,
        timeout=120,
    )


@pytest.mark.parametrize('bad', SHELL)
def test_scripts(bad: str) -> None:
    (script, *words), environment, text = SHELL[bad]
    done = run('bash', f'tools/{script}', *words, **environment)
    assert done.returncode == 2
    assert text in done.stderr and len(done.stderr.splitlines()) == 1


@pytest.fixture
def port() -> Iterator[int]:
    """A port on which another program listens."""
    with socket.socket() as other:
        other.bind(('', 0))
        other.listen()
        yield other.getsockname()[1]


@pytest.mark.parametrize('script', ['dist_train.sh', 'dist_test.sh'])
def test_port_in_use(script: str, port: int) -> None:
    words = [CONFIG, *(['a.pth'] if script == 'dist_test.sh' else []), '1']
    done = run('bash', f'tools/{script}', *words, PORT=str(port))
    assert done.returncode == 2
    assert done.stderr.startswith(f'error: port {port} cannot be used (Address already in use); ')
    assert 'choose another with PORT=' in done.stderr and len(done.stderr.splitlines()) == 1


def test_more_processes_than_gpus(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, 'is_available', lambda: True)
    monkeypatch.setattr(torch.cuda, 'device_count', lambda: 1)
    monkeypatch.setenv('RANK', '0')
    monkeypatch.setenv('LOCAL_WORLD_SIZE', '2')
    with pytest.raises(ConfigError, match='2 GPUs .*1 is there; start with 1'):
        check_processes('pytorch')
    assert check_processes('none') is None
    monkeypatch.setattr(torch.cuda, 'is_available', lambda: False)
    assert check_processes('pytorch') is None


@pytest.mark.parametrize(
    ('launcher', 'variable'),
    [('pytorch', 'RANK'), ('slurm', 'SLURM_PROCID'), ('mpi', 'OMPI_COMM_WORLD_LOCAL_RANK')],
)
def test_launcher_that_did_not_launch(
    launcher: str, variable: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv(variable, raising=False)
    with pytest.raises(ConfigError, match=f'--launcher {launcher}: .*{variable} is not set'):
        check_processes(launcher)


def test_tools_end_with_one_line() -> None:
    """As a shell sees it, with the exit code; all else is tested without a shell."""
    done = run(sys.executable, 'tools/train.py', 'configs/none.py')
    assert done.returncode == 1, done.stderr
    assert 'Traceback' not in done.stdout + done.stderr
    last = done.stderr.splitlines()[-1]
    assert last.startswith('error: there is no config configs/none.py; those shipped are in ')
