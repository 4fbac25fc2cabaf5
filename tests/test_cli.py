"""The console command: which scripts it starts, and how."""

import runpy
import subprocess
import sys
from pathlib import Path

import pytest

from vminet_mm import cli
from vminet_mm.files import shipped


def call(monkeypatch: pytest.MonkeyPatch, *words: str) -> None:
    monkeypatch.setattr(sys, 'argv', ['vminet_mm', *words])
    monkeypatch.setattr(sys, 'path', [*sys.path])
    cli.main()


@pytest.mark.parametrize('name', cli.COMMANDS)
def test_every_command_has_a_script(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    started = []
    monkeypatch.setattr(cli, 'run_script', lambda *args: started.append(args))
    call(monkeypatch, name, 'CONFIG', '--amp')
    ((script, arguments),) = started
    assert script == shipped(cli.COMMANDS[name]) and script.is_file()
    assert arguments == ['CONFIG', '--amp']


def test_every_tool_has_a_command() -> None:
    tools = {path.name for path in shipped('tools').rglob('*.[ps][yh]')}
    launchers = {'dist_launch.sh', 'slurm_launch.sh'}  # what the two of each kind share
    commands = {Path(script).name for script in cli.COMMANDS.values()}
    assert tools and tools - launchers - commands == set()


@pytest.mark.parametrize('words', [(), ('-h',), ('--help',)])
def test_usage(words: tuple, monkeypatch, capsys) -> None:
    call(monkeypatch, *words)
    said = capsys.readouterr().out
    assert said.startswith('usage: vminet_mm COMMAND') and 'check-data' in said


@pytest.mark.parametrize(
    ('words', 'said'),
    [
        (('trian',), "no command 'trian'"),
        (('run',), 'run needs a script'),
        (('run', 'missing.py'), 'no script missing.py'),
    ],
)
def test_what_cannot_be_started(words: tuple, said: str, monkeypatch) -> None:
    with pytest.raises(SystemExit, match=said):
        call(monkeypatch, *words)


def test_run_is_as_python_would(tmp_path: Path, monkeypatch, capsys) -> None:
    (tmp_path / 'beside.py').write_text('NAME = "beside"')
    script = tmp_path / 'script.py'
    script.write_text('import sys, beside\nprint(__name__, beside.NAME, sys.argv)')
    call(monkeypatch, 'run', str(script), 'a', '--b')
    assert capsys.readouterr().out.strip() == f'__main__ beside {[str(script), "a", "--b"]}'


def test_an_upstream_script_finds_the_stack_usable(tmp_path: Path) -> None:
    """``mmdet::`` bases and names that numpy has no more, in a process of its own."""
    script = tmp_path / 'script.py'
    script.write_text(
        'from mmengine.config import Config\n'
        'from mmdet.registry import MODELS\n'
        'print(Config.fromfile("config.py").default_scope, MODELS.get("VMINet").__name__)'
    )
    (tmp_path / 'config.py').write_text("_base_ = 'mmdet::_base_/default_runtime.py'")
    call = [sys.executable, '-m', 'vminet_mm', 'run', str(script)]
    done = subprocess.run(call, cwd=tmp_path, capture_output=True, text=True)
    assert done.stdout.split() == ['mmdet', 'VMINet'], done.stderr


def test_shell_scripts_are_run_by_bash(monkeypatch: pytest.MonkeyPatch) -> None:
    calls = []
    monkeypatch.setenv('PATH', '/usr/bin')
    monkeypatch.setattr(cli.os, 'execvp', lambda *args: calls.append(args) or sys.exit())
    monkeypatch.setattr(runpy, 'run_path', None)
    with pytest.raises(SystemExit):
        call(monkeypatch, 'dist-train', 'CONFIG', '2')
    script = str(shipped('tools/dist_train.sh'))
    assert calls == [('bash', ['bash', script, 'CONFIG', '2'])]
    assert cli.os.environ['PATH'].split(':')[0] == str(Path(sys.executable).parent)
