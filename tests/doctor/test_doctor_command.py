"""The command itself, in processes whose packages are hidden or broken by stand-ins."""

import json
import os
import shutil
import subprocess
import sys
import venv
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
CONFIG = 'configs/mask_rcnn/mask-rcnn_vminet-ti_fpn_mini.py'


def doctor(
    *switches: str, stand_ins: Path | None = None, command: tuple[str, ...] = ('tools/doctor.py',)
) -> subprocess.CompletedProcess:
    path = os.environ.get('PYTHONPATH', '')
    environment = {**os.environ, 'CUDA_VISIBLE_DEVICES': ''}
    environment['PYTHONPATH'] = os.pathsep.join(filter(None, [str(stand_ins or ''), path]))
    call = [sys.executable, *command, *switches]
    return subprocess.run(
        call, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=120
    )


def problems(done: subprocess.CompletedProcess) -> list[dict]:
    sections = json.loads(done.stdout)['sections']
    return [problem for section in sections for problem in section['problems']]


def test_this_installation_can_train(mini_root: Path) -> None:
    done = doctor('--json', '--config', CONFIG, '--data-root', str(mini_root / 'coco'))
    assert done.returncode == 0, done.stdout + done.stderr
    assert [p for p in problems(done) if p['fatal']] == []
    report = json.loads(done.stdout)
    facts = {k: v for section in report['sections'] for k, v in section['facts'].items()}
    assert facts['test on cpu'] == 'right' and facts['package'] == 'mmdet'
    assert facts['safe_load'].startswith('applied')
    assert done.stderr == ''


@pytest.mark.parametrize('command', [('tools/doctor.py',), ('-m', 'vminet_mm.doctor')])
def test_it_starts_without_torch(tmp_path: Path, command: tuple[str, ...]) -> None:
    (tmp_path / 'torch').mkdir()
    (tmp_path / 'torch/__init__.py').write_text(
        "raise ModuleNotFoundError(\"No module named 'torch'\", name='torch')"
    )
    done = doctor(stand_ins=tmp_path, command=command)
    assert done.returncode == 1
    assert 'problem: torch is not installed\n  -> python -m pip install torch' in done.stdout
    assert done.stdout.endswith('Training cannot run.\n')
    assert done.stderr == ''


def test_torchvision_and_opencv_that_do_not_load(tmp_path: Path) -> None:
    for name, error in (
        ('torchvision', "RuntimeError('operator torchvision::nms does not exist')"),
        ('cv2', "ImportError('libGL.so.1: cannot open shared object file')"),
    ):
        (tmp_path / name).mkdir()
        (tmp_path / name / '__init__.py').write_text(f'raise {error}')
    done = doctor('--json', stand_ins=tmp_path)
    assert done.returncode == 1
    fatal = [problem['fix'] for problem in problems(done) if problem['fatal']]
    assert len(fatal) == 2
    assert 'torchvision' in fatal[0] and 'opencv-python-headless' in fatal[1]


def test_it_starts_uninstalled_and_without_any_package(tmp_path: Path) -> None:
    """As after `git clone`, with nothing but the standard library."""
    shutil.copytree(ROOT / 'vminet_mm', tmp_path / 'vminet_mm')
    shutil.copytree(ROOT / 'tools', tmp_path / 'tools')
    venv.create(tmp_path / 'venv', symlinks=True)
    call = [str(tmp_path / 'venv/bin/python'), 'tools/doctor.py']
    environment = {k: v for k, v in os.environ.items() if k != 'PYTHONPATH'}
    done = subprocess.run(call, cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert done.returncode == 1
    assert "vminet_mm is not installed\n  -> python -m pip install -e '.[mm]'" in done.stdout
    assert 'problem: mmpretrain is not installed' in done.stdout
