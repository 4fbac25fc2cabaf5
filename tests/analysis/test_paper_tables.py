"""The paper's tables: what they hold, what is marked in them, their formats and their tool."""

import csv
import io
import json
import runpy
from pathlib import Path

import pytest
from table_inputs import ACCURACY, CONFIGS, METAFILES, XS, benchmark_file, one_row, write_run

from vminet_mm.analysis.our_numbers import NOT_TRAINED, fill_accuracy, fill_facts
from vminet_mm.analysis.paper_formats import LEGEND, LINE, to_csv, to_json, to_markdown
from vminet_mm.analysis.paper_tables import Column, Row, read_tables
from vminet_mm.analysis.run_results import find_runs

TOOL = CONFIGS.parent / 'tools/analysis_tools/paper_tables.py'


def test_all_six_tables_with_known_columns_and_a_config_for_each_model_of_ours() -> None:
    tables = read_tables()
    assert [table.number for table in tables] == [1, 2, 3, 4, 5, 6]
    for table in tables:
        names = {column.name for column in table.columns}
        for row in table.rows:
            assert set(row.paper) <= names
            assert set(row.reported) <= {*names, 'by'}
            assert bool(row.config) == row.model.startswith('VMINet')


def test_the_papers_rows_are_whole_and_stand_before_those_added() -> None:
    tables = read_tables()
    own = [[row for row in table.rows if not row.added] for table in tables]
    assert [len(rows) for rows in own] == [4, 27, 6, 5, 13, 8]
    for table, rows in zip(tables, own, strict=True):
        assert table.rows[: len(rows)] == rows
        printed = {c.name for c in table.columns if c.kind == 'fact' or c.printed is not None}
        assert all(set(row.paper) == printed for row in rows)
    swin = next(row for row in own[4] if row.model == 'Swin-T')
    assert list(swin.paper.values()) == [48, 267, 42.7, 65.2, 46.8, 39.3, 62.2, 42.2]
    first = [rows[0].model for rows in own]
    assert first[1:3] + first[4:] == ['PVTv2-B0', 'Vim-Ti', 'ResNet-18', 'ResNet-50']


def test_there_is_no_table_7() -> None:
    with pytest.raises(ValueError, match='there is no table 7'):
        read_tables([1, 7])


def test_the_papers_results_are_those_of_the_metafiles() -> None:
    names = {'Top 1 Accuracy': 'top1', 'box AP': 'box_ap', 'mask AP': 'mask_ap', 'mIoU': 'miou'}
    compared = 0
    for row in (row for table in read_tables() for row in table.rows if row.config):
        for result in METAFILES[Path(row.config).stem].get('Paper Results', []):
            for name, value in result['Metrics'].items():
                if names[name] in row.paper:
                    assert row.paper[names[name]] == value
                    compared += 1
    assert compared == 4 + 2 + 6 + 6 + 3  # of Tables 2 to 6; the FPN configs claim none


def test_deviations_above_two_per_cent_are_marked() -> None:
    params = Column('params', 'params', 'M', 'count', digits=2)
    for value, deviation, marked in [(102, 2.0, False), (102.1, 2.1, True), (97, -3.0, True)]:
        row = Row('model', paper=dict(params=100), ours=dict(params=value))
        assert row.deviation(params) == pytest.approx(deviation)
        assert row.is_marked(params) is marked
    for row in (Row('model', paper=dict(params=100)), Row('model', ours=dict(params=1.0))):
        assert row.deviation(params) is None
        assert not row.is_marked(params)
    latency = Column('latency', 'latency', 'ms', 'latency')
    assert Row('a', paper=dict(latency=1.0), ours=dict(latency=9.0)).deviation(latency) is None


@pytest.mark.parametrize(
    ('printed', 'paper', 'ours', 'deviation'),
    [
        (0, 7, 7.43, 0),
        (0, 7, 7.51, 100 * 0.51 / 7),
        (1, 1.4, 1.2544, -10.4),
        (1, 2.0, 2.032, 0),
        (None, 7, 7.43, 100 * 0.43 / 7),
    ],
)
def test_a_deviation_knows_what_the_paper_printed(
    printed: int | None, paper: float, ours: float, deviation: float
) -> None:
    column = Column('macs', 'FLOPs', 'G', 'count', printed=printed, digits=2)
    row = Row('model', paper=dict(macs=paper), ours=dict(macs=ours))
    assert row.deviation(column) == pytest.approx(deviation, abs=1e-9)
    assert row.is_marked(column) is bool(deviation)


def test_markdown() -> None:
    table, row = one_row(5, 'VMINet-B, FPN')
    row.ours.update(params=47.875338, macs=268.427819)
    lines = to_markdown([table]).splitlines()
    assert lines[0] == '### Table 5: Mask R-CNN 1x on COCO (800 x 1280)'
    parts = [[c.strip() for c in line.split('|')[1:-1]] for line in lines[2:6]]
    head, rule, line, cells = parts  # a row that we added stands below a line
    assert line == [LINE, *[''] * (len(head) - 1)]
    assert head[:5] == ['model', 'params (M): paper', 'ours', 'FLOPs (G): paper', 'ours']
    assert set(rule) == {'---'}
    assert len(head) == len(rule) == len(cells)
    assert cells[1:7] == ['48', '47.88 (=)', '276', '268.43 (-2.7 % !)', '44.5', NOT_TRAINED]
    assert cells[-2:] == ['mask-rcnn_vminet-b_fpn_1x_coco', '-']
    assert '\n'.join(lines).endswith(LEGEND)


def test_markdown_tells_the_run_and_what_others_report(tmp_path: Path) -> None:
    write_run(tmp_path, [{ACCURACY: 78.04, 'step': 300}], name=XS)
    table, row = one_row(2, 'VMINet-XS')
    fill_accuracy([table], find_runs(tmp_path), CONFIGS)
    text = to_markdown([table])
    assert LINE not in text
    assert '| 78.6 | 78.0 (-0.7 %) |' in text
    assert '| 78.6 % top-1 [yws-wxs/VMINet] |' in text
    assert f'{tmp_path}, {XS}.py: best top-1 78.0 at epoch 300 (no checkpoint' in text


def test_json_and_csv_hold_the_same_records(tmp_path: Path) -> None:
    write_run(tmp_path, [{ACCURACY: 77.0, 'step': 300}], name=XS)
    tables = read_tables()
    fill_facts(tables, CONFIGS)
    fill_accuracy(tables, find_runs(tmp_path), CONFIGS)
    records = json.loads(to_json(tables))
    assert len(records) == sum(len(table.rows) * len(table.columns) for table in tables)
    found = [r for r in records if (r['table'], r['model']) == (2, 'VMINet-XS')]
    record = next(r for r in found if r['quantity'] == 'top1')
    assert (record['paper'], record['ours'], record['marked']) == (78.6, 77.0, True)
    assert record['deviation_percent'] == pytest.approx(100 * (77 / 78.6 - 1))
    assert record['run']['last']['step'] == 300

    rows = list(csv.DictReader(io.StringIO(to_csv(tables))))
    assert [row['model'] for row in rows] == [r['model'] for r in records]
    assert rows[0]['paper'] == '[24, 48, 96, 192]'
    row = rows[records.index(record)]
    assert (row['paper'], row['ours'], row['marked']) == ('78.6', '77.0', 'True')
    assert json.loads(row['run']) == record['run']
    assert rows[3]['ours'] == ''  # parameters, not counted


def run_tool(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> None:
    monkeypatch.setattr('sys.argv', [str(TOOL), *arguments])
    runpy.run_path(str(TOOL), run_name='__main__')


def test_tool(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    write_run(tmp_path / 'runs', [{ACCURACY: 78.5, 'step': 300}], name=XS)
    options = ['--tables', '4', '3', '--work-dirs', str(tmp_path / 'runs'), '--format', 'json']
    run_tool(monkeypatch, *options, '--benchmark-json', str(benchmark_file(tmp_path)))
    records = json.loads(capsys.readouterr().out)
    assert {record['table'] for record in records} == {3, 4}
    values = {(r['model'], r['quantity']): r['ours'] for r in records}
    assert values['VMINet-XS, lower triangle', 'top1'] == 78.5
    assert values['VMINet-XS-M', 'latency'] == 10.0
    assert values['VMINet-XS-M', 'params'] is None  # not asked for


def test_tool_counts_when_asked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    run_tool(monkeypatch, '--tables', '1', '--measure', 'ours', '--work-dirs', str(tmp_path))
    captured = capsys.readouterr()
    assert captured.err.count('counting') == 4
    assert '| 13.3 | 13.34 (=) |' in captured.out


@pytest.mark.parametrize('name', ['none.json', 'empty.json'])
def test_tool_says_what_is_wrong(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / 'empty.json').touch()
    with pytest.raises(SystemExit, match=f'^error: .*{name}'):
        run_tool(monkeypatch, '--benchmark-json', str(tmp_path / name))
