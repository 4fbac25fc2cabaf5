"""The paper's tables: what they hold, what is marked in them, their formats and their tool."""

import csv
import io
import json
import re
import runpy
from pathlib import Path

import pytest
from table_inputs import ACCURACY, CONFIGS, METAFILES, XS, benchmark_file, one_row, write_run

from vminet_mm.analysis.our_numbers import NOT_TRAINED, fill_accuracy, fill_facts
from vminet_mm.analysis.paper_formats import LEGEND, LINES, to_csv, to_json, to_markdown
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


def test_the_papers_rows_are_whole_and_stand_before_the_others() -> None:
    tables = read_tables()
    own = [[row for row in table.rows if row.part == 'rows'] for table in tables]
    assert [len(rows) for rows in own] == [4, 27, 6, 5, 13, 8]
    for table, rows in zip(tables, own, strict=True):
        assert table.rows[: len(rows)] == rows
        printed = {c.name for c in table.columns if c.kind == 'fact' or c.printed is not None}
        assert all(set(row.paper) == printed for row in rows)
    swin = next(row for row in own[4] if row.model == 'Swin-T')
    assert list(swin.paper.values()) == [48, 267, 42.7, 65.2, 46.8, 39.3, 62.2, 42.2]
    first = [rows[0].model for rows in own]
    assert first[1:3] + first[4:] == ['PVTv2-B0', 'Vim-Ti', 'ResNet-18', 'ResNet-50']


def test_what_is_the_papers_is_not_among_what_was_added() -> None:
    tables = read_tables()
    for table in tables:
        for row in table.rows:
            assert bool(row.paper) is (row.part != 'added'), row.model
    (ablation,) = [row for row in tables[3].rows if row.part == 'text']
    assert (ablation.model, ablation.paper) == ('VMINet-S, no attention (Fig. 4)', dict(top1=78.3))
    own = {row.model: row.paper for row in tables[4].rows if row.part == 'rows'}
    again = {row.model: row.paper for row in tables[4].rows if row.part == 'again'}
    assert again == {f'VMINet-{arch}, FPN': own[f'VMINet-{arch}'] for arch in ('XS', 'S', 'B')}


@pytest.mark.parametrize(
    ('number', 'lines'), [(1, []), (2, ['added']), (4, ['text']), (5, ['again', 'added'])]
)
def test_lines_stand_above_the_parts_of_a_table(number: int, lines: list[str]) -> None:
    text = to_markdown(read_tables([number]))
    assert [part for part, line in LINES.items() if f'| {line} |' in text] == lines
    assert [text.index(LINES[part]) for part in lines] == sorted(
        map(text.index, map(LINES.get, lines))
    )
    if number == 4:
        assert text.index('hybrid') < text.index(LINES['text']) < text.index('no attention')


def test_rows_with_numbers_of_other_models_have_notes() -> None:
    tables = read_tables()
    rows = {row.model: row for row in tables[4].rows}
    pvt, vim = rows['PVT-T'], rows['Vim-Ti']
    same = {name for name, value in pvt.paper.items() if vim.paper[name] == value}
    assert same == {'mask_ap50', 'mask_ap75'}
    assert pvt.notes == ["the paper's AP50 and AP75 of the masks are those of its Vim-Ti"]
    apart = [
        row
        for row in tables[1].rows
        if row.part == 'rows'
        and abs(row.reported.get('params', row.paper['params']) - row.paper['params']) > 1
    ]
    assert [row.model for row in apart] == ['LVT', 'VMamba-T']
    for row in apart:
        assert any(f'{row.reported["params"]:g} M' in note for note in row.notes)


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


@pytest.mark.parametrize('arch', ['xs', 's', 'b'])
def test_deviations_of_table_5_in_the_docs_are_the_tools(arch: str) -> None:
    page = (CONFIGS.parent / 'docs/reproduction.md').read_text()
    line = next(x for x in page.splitlines() if re.match(rf'\| {arch.upper()} \| \d+ M, \d+ G', x))
    cells = []
    for neck in ('sfp', 'fpn'):
        table, row = one_row(5, f'VMINet-{arch.upper()}{", FPN" if neck == "fpn" else ""}')
        counts = METAFILES[f'mask-rcnn_vminet-{arch}_{neck}_1x_coco']['Metadata']
        row.ours.update(params=counts['Parameters'] / 1e6, macs=counts['FLOPs'] / 1e9)
        params, macs = (row.deviation(column) for column in table.of_kind('count'))
        said = [f'{d:+.1f} %' if d else '=' for d in (params, macs)]
        cells.append(
            f'{row.ours["params"]:.2f} M ({said[0]}), {row.ours["macs"]:.1f} G ({said[1]})'
        )
    assert [cell.strip() for cell in line.split('|')[3:-1]] == cells


def test_markdown() -> None:
    table, row = one_row(5, 'VMINet-B, FPN')
    row.ours.update(params=47.875338, macs=268.427819)
    lines = to_markdown([table]).splitlines()
    assert lines[0] == '### Table 5: Mask R-CNN 1x on COCO (800 x 1280)'
    parts = [[c.strip() for c in line.split('|')[1:-1]] for line in lines[2:6]]
    head, rule, line, cells = parts  # a row beside another model stands below a line
    assert line == [LINES['again'], *[''] * (len(head) - 1)]
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
    assert not any(line in text for line in LINES.values())
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
