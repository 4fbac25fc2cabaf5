"""The scripts that start several processes: arguments and exit codes go through them unchanged."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

TOOLS = Path(__file__).resolve().parents[2] / 'tools'
# prints what it is called with, but for the look at the port
FAKE = '#!/bin/sh\n[ "$1" = - ] && exit 0\nprintf "%s\\n" "$@"\nexit 7\n'
ODD = ['--cfg-options', 'a.b="x y"', "c=(1,'d')", '--work-dir', 'my run', '--resume', '*']


@pytest.fixture
def fakes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder in front of PATH with another python and srun."""
    for name in ('python', 'srun'):
        (tmp_path / name).write_text(FAKE)
        (tmp_path / name).chmod(0o755)
    monkeypatch.setenv('PATH', f'{tmp_path}:/usr/bin:/bin')
    for name in ('PORT', 'NNODES', 'NODE_RANK', 'MASTER_ADDR', 'GPUS', 'GPUS_PER_NODE'):
        monkeypatch.delenv(name, raising=False)
    return tmp_path


def script(name: str, *arguments: str) -> subprocess.CompletedProcess:
    return subprocess.run(
        ['bash', TOOLS / name, *arguments], capture_output=True, text=True, timeout=60
    )


@pytest.mark.parametrize(
    ('name', 'tool', 'first'),
    [('dist_train.sh', 'train.py', ['c.py']), ('dist_test.sh', 'test.py', ['c.py', 'a b.pth'])],
)
def test_dist(fakes: Path, name: str, tool: str, first: list[str]) -> None:
    done = script(name, *first, '3', *ODD)
    assert (done.returncode, done.stderr) == (7, '')
    assert done.stdout.splitlines() == [
        '-m', 'torch.distributed.run', '--standalone', '--nproc_per_node=3',
        str(TOOLS / tool), *first, *ODD, '--launcher', 'pytorch',
    ]  # fmt: skip


def test_dist_on_several_machines(fakes: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = dict(NNODES='4', NODE_RANK='2', MASTER_ADDR='10.0.0.1', PORT='29511')
    for key, value in settings.items():
        monkeypatch.setenv(key, value)
    done = script('dist_train.sh', 'c.py', '8')
    assert done.returncode == 7
    assert done.stdout.splitlines()[2:7] == [
        '--nnodes=4', '--node_rank=2', '--master_addr=10.0.0.1', '--master_port=29511',
        '--nproc_per_node=8',
    ]  # fmt: skip


@pytest.mark.parametrize(
    ('name', 'tool', 'first'),
    [('slurm_train.sh', 'train.py', ['c.py']), ('slurm_test.sh', 'test.py', ['c.py', 'a b.pth'])],
)
def test_slurm(
    fakes: Path, name: str, tool: str, first: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv('GPUS', '16')
    monkeypatch.setenv('SRUN_ARGS', '--quotatype=auto --exclusive')
    done = script(name, 'part', 'my job', *first, *ODD)
    assert (done.returncode, done.stderr) == (7, '')
    words = done.stdout.splitlines()
    assert words[words.index('python') :] == [
        'python', '-u', str(TOOLS / tool), *first, *ODD, '--launcher', 'slurm'
    ]  # fmt: skip
    # a task that fails ends the others
    assert {
        '--partition=part', '--job-name=my job', '--ntasks=16', '--gres=gpu:8',
        '--ntasks-per-node=8', '--kill-on-bad-exit=1', '--quotatype=auto', '--exclusive',
    } <= set(words)  # fmt: skip


# two processes that wait for each other, of which the second is killed
PAIR = """
import os, signal
from torch import distributed as dist
dist.init_process_group('gloo')
dist.barrier()
if dist.get_rank() == 1:
    os.kill(os.getpid(), signal.SIGKILL)
dist.barrier()
"""


def test_end_of_one_process_is_the_end(tmp_path: Path) -> None:
    """The real launcher around a script that imports little; see also distributed_runs.py."""
    for name in ('dist_launch.sh', 'dist_train.sh'):
        shutil.copy(TOOLS / name, tmp_path)
    (tmp_path / 'train.py').write_text(PAIR)
    path = f'{Path(sys.executable).parent}:{os.environ["PATH"]}'
    done = subprocess.run(
        ['bash', tmp_path / 'dist_train.sh', 'c.py', '2'],
        env=os.environ | {'PATH': path, 'OMP_NUM_THREADS': '1', 'CUDA_VISIBLE_DEVICES': ''},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 1 and 'Signal 9' in done.stderr
