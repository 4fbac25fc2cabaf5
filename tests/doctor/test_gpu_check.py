"""The check of a GPU, small and on the CPU: steps that fail, hang or end well, and what is left."""

import io
import json
import runpy
import sys
from contextlib import redirect_stdout
from pathlib import Path

import pytest
from in_process import run_here

from vminet_mm.doctor.gpu_check import STEPS, Outcome, Step, as_page, run_steps
from vminet_mm.doctor.gpu_check.run import run_command
from vminet_mm.doctor.gpu_check.steps import Plan

ROOT = Path(__file__).parents[2]


def python(code: str) -> list[str]:
    return [sys.executable, '-c', code]


def plan_of(tmp_path: Path, tiny: bool = True) -> Plan:
    return Plan(tmp_path, 'cpu' if tiny else 'cuda', tiny)


def test_a_step_that_fails_or_hangs_does_not_stop_the_others(tmp_path: Path) -> None:
    write = f'open({plan_of(tmp_path).json("good")!r}, "w").write("[1]"); print("| a |")'
    codes = dict(bad='print("half"); raise SystemExit(3)', hang='while True: pass', good=write)
    steps = [
        Step(
            name, name, 0.001 if name == 'hang' else 10, lambda plan, n=name: {n: python(codes[n])}
        )
        for name in codes
    ]
    log = io.StringIO()
    outcomes = run_steps(steps, plan_of(tmp_path), 1, log)
    assert [(one.name, one.code) for one in outcomes] == [('bad', 3), ('hang', None), ('good', 0)]
    assert outcomes[0].output == 'half\n' and outcomes[2].result == [1]
    assert '-- failed (3)' in log.getvalue() and '-- out of time' in log.getvalue()
    written = json.loads((tmp_path / 'gpu_check.json').read_text())
    assert [one['code'] for one in written] == [3, None, 0]


def test_children_of_a_command_end_with_it(tmp_path: Path) -> None:
    """A grandchild that held the pipe open would keep the check waiting."""
    child = 'import subprocess, sys; subprocess.run([sys.executable, "-c", "while True: pass"])'
    assert run_command(python(child), 1, io.StringIO()) == (None, '')


def test_a_command_that_is_not_there() -> None:
    log = io.StringIO()
    assert run_command(['no_such_command'], 1, log) == (127, '')
    assert 'no_such_command' in log.getvalue()


def test_page() -> None:
    table = Outcome('micro', 'micro', ['x'], 0, 1.26, '| a |\n| --- |\n| 1 |\n')
    text = Outcome('doctor', 'doctor', ['x'], 1, 2.0, '\n'.join(map(str, range(100))))
    page = as_page([table, text, Outcome('resume', 'resume', ['x'], None, 3.0)], 'python x.py')
    assert (
        '| micro: micro | done | 1.3 |' in page and '| doctor: doctor | failed (1) | 2.0 |' in page
    )
    assert '\n| a |\n' in page and '\n    99\n' in page and '\n    39\n' not in page
    assert '| resume: resume | out of time | 3.0 |' in page and '(nothing printed)' in page


@pytest.mark.parametrize('tiny', [True, False])
def test_the_commands_of_all_steps(tmp_path: Path, tiny: bool) -> None:
    """Their scripts are there, their switches known, and their names different."""
    commands = [item for step in STEPS for item in step.commands(plan_of(tmp_path, tiny)).items()]
    names = [name for name, _ in commands]
    assert len(set(names)) == len(names)
    for _, words in commands:
        assert words[1] == '-m' or Path(words[1]).is_file()
        for config in (word for word in words if word.endswith('.py')):
            assert Path(config).is_file(), config
    assert sum(step.seconds for step in STEPS) == 8 * 60


# modules that are processes of their own here as well: pytest, and a short one
PROCESSES = ('pytest', 'vminet_mm.doctor.gpu_check.ceilings')


def run_most_here(
    command: list[str], seconds: float, log: io.StringIO
) -> tuple[int | str | None, str]:
    """As ``run_command``, without starting Python and the libraries anew for most commands."""
    if not {*PROCESSES}.isdisjoint(command):
        return run_command(command, seconds, log)
    words, printed = command[1:], io.StringIO()
    if command[0] == 'bash':  # what the launcher starts for one process, see test_end_to_end.py
        assert [Path(words[0]).name, words[2]] == ['dist_train.sh', '1']
        words = [str(ROOT / 'tools/train.py'), words[1], *words[3:]]
    with redirect_stdout(printed):
        code = run_here(*words)
    print(printed.getvalue(), file=log)
    return code, printed.getvalue()


# together they are all steps, and take about the same time
@pytest.mark.slow
@pytest.mark.parametrize(
    ('steps', 'printed'),
    [
        (
            ['ceilings', 'doctor', 'micro'],
            ['dw7x7 wgrad', 'VMI-SA torch', 'U to output torch', 'Training can run.'],
        ),
        (
            ['kernels', 'profile', 'classifiers'],
            [' passed', 'convolution', '| reference-xs |'],
        ),
        (['resume'], ['killed and resumed: exit code 0, latest checkpoint epoch_3.pth']),
        (['downstream', 'launch'], ['mask-rcnn_vminet-ti_fpn_mini', 'mIoU']),
    ],
)
def test_all_steps_run_to_their_end(
    steps: list[str], printed: list[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys
) -> None:
    monkeypatch.setattr('vminet_mm.doctor.gpu_check.run.run_command', run_most_here)
    run_tool(monkeypatch, '--tiny', '--only', *steps, '--minutes', '15', '--out', str(tmp_path))
    results = json.loads((tmp_path / 'gpu_check.json').read_text())
    assert [*dict.fromkeys(one['step'] for one in results)] == steps
    assert {one['code'] for one in results} == {0}
    measured = [row for one in results if one['name'] == 'ceilings' for row in one['result']]
    speeds = [row['value'] for row in measured if row['what'].endswith('/s')]
    assert all(speed > 0 for speed in speeds) and len(speeds) == 4 * ('ceilings' in steps)
    page, log = (tmp_path / 'gpu_check.md').read_text(), (tmp_path / 'gpu_check.log').read_text()
    assert page in capsys.readouterr().out
    for step in steps:
        assert f'== {step}: ' in log and f'## {step}: ' in page
    for words in printed:
        assert words in log


@pytest.mark.parametrize(
    ('arguments', 'message'),
    [
        (['--only', 'speed', '--tiny'], 'knows no speed; choose of ceilings'),
        ([], 'torch sees no GPU here; --tiny runs'),
    ],
)
def test_tool_says_what_is_wrong(
    arguments: list[str], message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr('torch.cuda.is_available', lambda: False)
    with pytest.raises(SystemExit, match=message):
        run_tool(monkeypatch, *arguments)


def run_tool(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> None:
    monkeypatch.setattr('sys.argv', ['tools/gpu_check.py', *arguments])
    runpy.run_path(str(ROOT / 'tools/gpu_check.py'), run_name='__main__')
