"""The house: imports run one way, files stay short, exceptions stand in one file."""

import ast
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / 'vminet_mm'
# from the ground up: each imports only what stands before it
FLOORS = (
    *('version', 'errors', 'files', 'tasks', 'ops', 'compat', 'checkpoints', 'models', 'peers'),
    *('datasets', 'engine', 'inference', 'analysis', 'visualization', 'export', 'doctor', 'cli'),
)
ENTRANCES = ('__init__', '__main__', 'registration')  # of the package: they stand above all
MAX_LINES = 400


def sources(*folders: Path) -> list[Path]:
    found = [path for folder in folders for path in sorted(folder.rglob('*.py'))]
    assert found
    return found


@cache
def tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text())


def floor_of(path: Path) -> str:
    return path.relative_to(PACKAGE).parts[0].removesuffix('.py')


def imported_floors(path: Path) -> Iterator[str]:
    """The first names below ``vminet_mm`` of all imports in a file of the package."""
    package = path.relative_to(ROOT).parts[:-1]
    for node in ast.walk(tree(path)):
        if isinstance(node, ast.Import):
            modules = [alias.name.split('.') for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            above = package[: len(package) - node.level + 1] if node.level else ()
            module = [*above, *(node.module.split('.') if node.module else ())]
            modules = [[*module, alias.name] for alias in node.names]
        else:
            continue
        yield from (module[1] for module in modules if module[0] == 'vminet_mm' and module[1:])


def test_the_reader_of_imports_sees_every_kind(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setitem(globals(), 'ROOT', tmp_path)
    file = tmp_path / 'vminet_mm/models/sub/a.py'
    file.parent.mkdir(parents=True)
    file.write_text(
        'import os, vminet_mm.engine.config\nfrom vminet_mm import errors\n'
        'from ... import tasks\nfrom ...datasets.mini import b\nfrom ..vminet import c\n'
        'from . import d\ndef f():\n    from ...inference import load_model\n'
    )
    expected = ['engine', 'errors', 'tasks', 'datasets', 'models', 'models', 'inference']
    assert list(imported_floors(file)) == expected


def test_every_part_of_the_package_is_a_floor() -> None:
    parts = {floor_of(path) for path in sources(PACKAGE)}
    assert parts - {*FLOORS, *ENTRANCES} == set()


@pytest.mark.parametrize('floor', FLOORS)
def test_imports_run_one_way(floor: str) -> None:
    below = FLOORS[: FLOORS.index(floor) + 1]
    upward = [
        f'{path.relative_to(ROOT)} imports {name}'
        for path in sources(PACKAGE)
        if floor_of(path) == floor
        for name in imported_floors(path)
        if name not in below
    ]
    assert upward == []


def test_the_package_imports_no_tools_and_no_tests() -> None:
    for path in sources(PACKAGE):
        for node in ast.walk(tree(path)):
            if isinstance(node, ast.ImportFrom) and not node.level:
                assert node.module.split('.')[0] not in ('tools', 'tests', 'demo'), path


def test_files_stay_short() -> None:
    files = sources(PACKAGE, ROOT / 'tools', ROOT / 'demo')
    lengths = {path.relative_to(ROOT): len(path.read_text().splitlines()) for path in files}
    assert {path: length for path, length in lengths.items() if length > MAX_LINES} == {}


def test_every_exception_class_stands_in_errors() -> None:
    found = [
        (path.relative_to(ROOT).as_posix(), node.name)
        for path in sources(PACKAGE, ROOT / 'tools', ROOT / 'demo')
        for node in ast.walk(tree(path))
        if isinstance(node, ast.ClassDef)
        and any(word in ast.unparse(base) for base in node.bases for word in ('Error', 'Exception'))
    ]
    assert found
    assert {file for file, _ in found} == {'vminet_mm/errors.py'}


def test_no_tool_reaches_into_compat() -> None:
    for path in sources(ROOT / 'tools', ROOT / 'demo'):
        assert 'vminet_mm.compat' not in path.read_text(), path


def test_names_and_scopes_stand_in_the_table_of_tasks() -> None:
    """Elsewhere a task is asked for them."""
    names = {'mmdet', 'mmseg', 'mmpretrain', 'detection', 'classification'}
    allowed = {'tasks.py', 'compat', 'onnx_inference.py'}  # the last one imports nothing of ours
    found = [
        f'{path.relative_to(ROOT)}:{node.lineno}'
        for path in sources(PACKAGE, ROOT / 'tools', ROOT / 'demo')
        if not allowed & set(path.relative_to(ROOT).parts)
        for node in ast.walk(tree(path))
        if isinstance(node, ast.Constant) and node.value in names
    ]
    assert found == []


def test_public_classes_list_each_argument_with_its_type() -> None:
    undocumented = []
    for path in sources(PACKAGE):
        for node in tree(path).body:
            if not isinstance(node, ast.ClassDef) or node.name.startswith('_'):
                continue
            inits = [part for part in node.body if getattr(part, 'name', '') == '__init__']
            text = ast.get_docstring(node) or ''
            names = [
                arg.arg for init in inits for arg in (*init.args.args[1:], *init.args.kwonlyargs)
            ]
            if not all(f'\n    {name} (' in text for name in names):
                undocumented.append(f'{path.relative_to(ROOT)}: {node.name}')
    assert undocumented == []
