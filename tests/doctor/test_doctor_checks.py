"""The checks of operators, devices, Triton, room and compat, with simulated problems."""

from collections import namedtuple
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from vminet_mm.compat.pieces import PIECES
from vminet_mm.doctor import can_train, diagnosis, machine, upstream
from vminet_mm.doctor.report import Section, as_dict, as_text
from vminet_mm.ops import verdict
from vminet_mm.ops.verdict import Verdict

Usage = namedtuple('Usage', 'total used free')


@pytest.fixture
def without_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, 'is_available', lambda: False)


def test_the_operators_of_this_installation_are_right() -> None:
    section = upstream.check_operators()
    assert section.facts['test on cpu'] == 'right'
    assert section.problems == []


def test_wrong_operators_are_found(monkeypatch: pytest.MonkeyPatch, without_gpu: None) -> None:
    import mmcv.ops

    monkeypatch.setattr(mmcv.ops, 'nms', lambda boxes, *_: (boxes, torch.arange(3)))
    section = upstream.check_operators()
    assert section.facts['test on cpu'] == 'nms wrong'
    assert section.problems[0].fatal
    monkeypatch.setattr(mmcv.ops, 'roi_align', lambda *_: torch.full((1, 1, 1, 1), 2.0))
    assert upstream.check_operators().facts['test on cpu'] == 'nms, roi_align wrong'


def test_operators_that_fail_are_explained(
    monkeypatch: pytest.MonkeyPatch, without_gpu: None
) -> None:
    import mmcv.ops

    def fail(*_: object) -> None:
        raise RuntimeError("Couldn't load custom C++ ops.")

    monkeypatch.setattr(mmcv.ops, 'nms', fail)
    (problem,) = upstream.check_operators().problems
    assert 'torchvision does not fit torch' in problem.what and problem.fatal


def test_a_compiled_mmcv_that_does_not_load(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, without_gpu: None
) -> None:
    import mmcv

    (tmp_path / '_ext.cpython-311-x86_64-linux-gnu.so').touch()
    monkeypatch.setattr(mmcv, '__path__', [str(tmp_path)])
    section = upstream.check_operators()
    assert 'was compiled for another torch' in section.problems[0].what
    assert can_train([section])


def test_every_piece_of_compat_is_listed() -> None:
    facts = upstream.check_compat().facts
    assert list(facts) == [piece.name for piece in PIECES]
    assert facts['safe_load'].startswith('applied: checkpoints from a URL')


@pytest.mark.parametrize(
    ('cuda', 'visible', 'what', 'fix'),
    [
        (None, None, 'built for the CPU', '--force-reinstall torch torchvision'),
        ('13.0', '', "CUDA_VISIBLE_DEVICES is ''", 'unset CUDA_VISIBLE_DEVICES'),
        ('13.0', None, 'the driver does not serve CUDA 13.0', 'nvidia-smi'),
    ],
)
def test_a_gpu_that_torch_does_not_use(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    without_gpu: None,
    cuda: str | None,
    visible: str | None,
    what: str,
    fix: str,
) -> None:
    monkeypatch.setattr(machine, 'NVIDIA_DEVICE', tmp_path)
    monkeypatch.setattr(torch.version, 'cuda', cuda)
    monkeypatch.delenv('CUDA_VISIBLE_DEVICES', raising=False)
    if visible is not None:
        monkeypatch.setenv('CUDA_VISIBLE_DEVICES', visible)
    section = machine.check_devices()
    (problem,) = section.problems
    assert what in problem.what and problem.fix.endswith(fix)
    assert section.facts['GPU'] == 'none' and can_train([section])


def test_gpus_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    gpu = SimpleNamespace(name='GPU of a test', total_memory=24 << 30)
    monkeypatch.setattr(torch.cuda, 'is_available', lambda: True)
    monkeypatch.setattr(torch.cuda, 'device_count', lambda: 2)
    monkeypatch.setattr(torch.cuda, 'get_device_properties', lambda index: gpu)
    section = machine.check_devices()
    assert section.facts['GPU 1'] == 'GPU of a test, 24 GiB'
    assert section.problems == []


def test_triton(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, 'is_available', lambda: False)
    assert machine.check_triton().facts['state'].startswith('not used without a GPU')
    monkeypatch.setattr(torch.cuda, 'is_available', lambda: True)
    monkeypatch.setattr(machine, 'find_spec', lambda name: None)
    (problem,) = machine.check_triton().problems
    assert problem.fix == 'python -m pip install triton' and not problem.fatal
    monkeypatch.setattr(machine, 'find_spec', lambda name: object())
    monkeypatch.setattr(verdict, 'full_verdict', lambda form: Verdict(True, f'{form} is right'))
    section = machine.check_triton()
    assert section.facts['recurrent'] == 'recurrent is right' and section.problems == []


@pytest.mark.parametrize(
    ('reason', 'fix'),
    [
        ('Failed to find C compiler. Please specify via CC', 'sudo apt-get install -y gcc'),
        ('the output of the matrix kernels differs from torch', 'model.backbone.impl=torch'),
    ],
)
def test_triton_kernels_that_are_not_right(
    monkeypatch: pytest.MonkeyPatch, reason: str, fix: str
) -> None:
    monkeypatch.setattr(torch.cuda, 'is_available', lambda: True)
    monkeypatch.setattr(machine, 'find_spec', lambda name: object())
    monkeypatch.setattr(verdict, 'full_verdict', lambda form: Verdict(False, reason))
    (problem,) = machine.check_triton().problems
    assert problem.what == reason and problem.fix.endswith(fix)
    assert not problem.fatal  # training runs with plain torch


@pytest.mark.parametrize(
    ('disk', 'shared', 'problems'),
    [
        (9.0, 4.0, []),
        (1.5, 4.0, [('only 1.5 GiB are free for checkpoints', False)]),
        (0.1, 4.0, [('only 0.1 GiB are free', True)]),
        (9.0, 0.0625, [('only 0.06 GiB of shared memory', False)]),
    ],
)
def test_room(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    disk: float,
    shared: float,
    problems: list[tuple[str, bool]],
) -> None:
    def usage(folder: Path) -> Usage:
        free = shared if folder == machine.SHARED else disk
        return Usage(0, 0, free * machine.GIB)

    monkeypatch.setattr(machine, 'SHARED', tmp_path / 'shm')
    machine.SHARED.mkdir()
    monkeypatch.setattr(machine.shutil, 'disk_usage', usage)
    section = machine.check_space(str(tmp_path / 'not/yet/there'))
    assert len(section.problems) == len(problems)
    for problem, (what, fatal) in zip(section.problems, problems, strict=True):
        assert what in problem.what and problem.fatal == fatal


def test_a_folder_that_cannot_be_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine.os, 'access', lambda folder, mode: False)
    problem = machine.check_space(str(tmp_path / 'work'))
    assert f'{tmp_path} cannot be written' in [p.what for p in problem.problems]


def test_a_check_that_fails_is_a_problem_of_its_own() -> None:
    def check_something(_: int) -> Section:
        raise KeyError('odd')

    section = diagnosis._run(check_something, 3)
    assert section.problems[0].what == "check_something failed: KeyError: 'odd'"
    assert can_train([section])


def test_text_and_json() -> None:
    fine, ill = Section('first', dict(python='3.11')), Section('second')
    ill.problem('a\n warning', 'fix it', fatal=False)
    ill.problem('bad', 'fix this')
    text = as_text([fine, ill])
    assert text.splitlines() == [
        'first',
        '  python                   3.11',
        '',
        'second',
        '',
        'problem: bad',
        '  -> fix this',
        'warning: a warning',
        '  -> fix it',
        'Training cannot run.',
    ]
    assert as_text([fine]).endswith('Training can run.')
    assert as_dict([fine, ill]) == dict(
        can_train=False,
        sections=[
            dict(title='first', facts=dict(python='3.11'), problems=[]),
            dict(
                title='second',
                facts={},
                problems=[
                    dict(what='a warning', fix='fix it', fatal=False),
                    dict(what='bad', fix='fix this', fatal=True),
                ],
            ),
        ],
    )
