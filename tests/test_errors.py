"""The exceptions stand in one file, and become one line."""

import ast
import pickle
from pathlib import Path

import pytest

from vminet_mm import errors
from vminet_mm.errors import DataError, RunStoppedError, error_text, one_line

PACKAGE = Path(errors.__file__).parent


def test_every_exception_class_stands_in_errors() -> None:
    found = [
        (path.name, node.name)
        for path in PACKAGE.rglob('*.py')
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.ClassDef)
        and any(
            'Error' in ast.unparse(base) or 'Exception' in ast.unparse(base) for base in node.bases
        )
    ]
    assert found
    assert {file for file, _ in found} == {'errors.py'}


@pytest.mark.parametrize(
    ('error', 'expected'),
    [
        (ValueError('two\n  lines'), 'ValueError: two lines'),
        (KeyError(), 'KeyError'),
        (ValueError('x' * 12), 'ValueError: xxxxx ...'),
    ],
)
def test_error_text(error: Exception, expected: str) -> None:
    assert error_text(error, length=5 if 'xxx' in str(error) else 300) == expected


def test_one_line() -> None:
    assert one_line(' a\n\tb  c ') == 'a b c'


def test_error_of_a_worker_keeps_its_last_line(monkeypatch: pytest.MonkeyPatch) -> None:
    stack = 'Traceback ...\nvminet_mm.errors.DataError: a.jpg: empty'
    monkeypatch.delenv('VMINET_TRACEBACK', raising=False)
    assert str(DataError(stack)) == 'a.jpg: empty'
    monkeypatch.setenv('VMINET_TRACEBACK', '1')
    assert str(DataError(stack)) == stack


def test_exit_code_of_a_stopped_run() -> None:
    error = RunStoppedError(15, 'a.pth')
    assert error.exit_code == 143
    assert 'SIGTERM' in str(error)


def test_errors_can_be_pickled() -> None:
    assert str(pickle.loads(pickle.dumps(DataError('a.jpg')))) == 'a.jpg'
