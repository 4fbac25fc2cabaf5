"""Errors become one line."""

import pickle

import pytest

from vminet_mm.errors import DataError, RunStoppedError, error_text, one_line


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
    assert one_line(' a\n\tb  c ') == one_line('a b c', 5) == 'a b c'
    assert one_line('a b c', 3) == 'a b ...'


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
