"""Workers with a time limit, the table, and the command."""

import json
import os
import runpy
import time
from pathlib import Path

import pytest

from drop_in import report
from drop_in.errors import WorkerError
from drop_in.run import run_folders, run_limited
from drop_in.trial import FAILS, NOT_APPLICABLE, WORKS, Outcome

pytestmark = pytest.mark.slow

TOOL = Path(__file__).parents[1] / 'drop_in_sweep.py'


def outcomes(works: int, fails: int, library: str = 'mmdet') -> list[Outcome]:
    statuses = [WORKS] * works + [FAILS] * fails + [NOT_APPLICABLE]
    return [
        Outcome(library, f'folder{n}', f'folder{n}_coco.py', status, '' if n < works else 'why')
        for n, status in enumerate(statuses)
    ]


def test_worker_returns_what_the_function_returns() -> None:
    assert run_limited(divmod, (7, 2), seconds=120) == (3, 1)


def test_worker_is_killed_after_its_time() -> None:
    with pytest.raises(WorkerError, match=r'not finished after 0.2 s'):
        run_limited(time.sleep, (600,), seconds=0.2)


def test_crashed_worker_and_slow_worker_differ() -> None:
    with pytest.raises(WorkerError, match='exit code 7'):
        run_limited(os._exit, (7,), seconds=120)


def test_folder_that_takes_too_long_fails(tmp_path: Path) -> None:
    (outcome,) = run_folders([('mmdet', tmp_path)], seconds=0.001)
    assert outcome == Outcome(
        'mmdet', tmp_path.name, reason='not finished after 0.001 s', seconds=0.001
    )


def test_bar() -> None:
    assert report.reaches_bar(outcomes(19, 1))
    assert not report.reaches_bar(outcomes(18, 1))  # 94.7 %
    assert not report.reaches_bar(outcomes(18, 1) + outcomes(200, 0, 'mmseg'))
    assert report.reaches_bar(outcomes(0, 0))


def test_table() -> None:
    found = outcomes(1, 1)
    found[1].reason = 'a | b'
    lines = report.to_markdown(found[::-1]).splitlines()
    assert lines[2:] == [
        '| mmdet/folder0 | folder0_coco | works |',
        '| mmdet/folder1 | folder1_coco | fails: a \\| b |',
        '| mmdet/folder2 | folder2_coco | not applicable: why |',
        '',
        'mmdet: 1 of 2 applicable folders work (50.0%); 1 are not applicable',
    ]
    assert json.loads(report.to_json(found))[0]['folder'] == 'folder0'
    assert report.to_line(found[2]) == '   0.0 s  mmdet/folder2                  not applicable why'


def run_tool(monkeypatch: pytest.MonkeyPatch, *arguments: object) -> None:
    monkeypatch.setattr('sys.argv', [str(TOOL), *map(str, arguments)])
    runpy.run_path(str(TOOL), run_name='__main__')


def test_command(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture, tmp_path: Path
) -> None:
    path = tmp_path / 'table.json'
    run_tool(monkeypatch, '--library', 'mmseg', '--only', 'pidnet', 'fastscnn', '--json', path)
    printed = capfd.readouterr()
    assert '| mmseg/fastscnn | fast_scnn_8xb4-160k_cityscapes-512x1024 | works |' in printed.out
    assert 'mmseg: 1 of 1 applicable folders work (100.0%); 1 are not applicable' in printed.out
    assert sorted(line.split()[0] for line in printed.err.splitlines()) == ['1/2', '2/2']
    statuses = {row['folder']: row['status'] for row in json.loads(path.read_text())}
    assert statuses == {'fastscnn': WORKS, 'pidnet': NOT_APPLICABLE}


def test_command_fails_below_the_bar(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    with pytest.raises(SystemExit) as end:
        run_tool(monkeypatch, '--only', 'retinanet', '--timeout', '0.001')
    assert end.value.code == 1
    assert 'not finished after 0.001 s' in capsys.readouterr().out


def test_command_says_what_is_wrong(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(SystemExit, match=r"--only: mmseg have no folder \['retinanet'\]"):
        run_tool(monkeypatch, '--library', 'mmseg', '--only', 'retinanet')
    with pytest.raises(SystemExit, match='--jobs and --timeout take positive numbers'):
        run_tool(monkeypatch, '--jobs', '0')
