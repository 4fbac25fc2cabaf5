"""Tables and JSON of measurements that are made up, against numbers by hand."""

import json
from pathlib import Path

import pytest

from vminet_mm.analysis.benchmark_report import Measurement, Report, make_report, to_json, to_table

SETTINGS = dict(device='cpu', threads=2, dtype='bf16', amp=True, compile=None, batch=4, rounds=3)


def row(
    model: str, milliseconds: list[float], mode: str = 'infer', **others: object
) -> Measurement:
    given = dict(
        model=model,
        mode=mode,
        size=(64, 96),
        batch=4,
        memory_format='contiguous',
        seconds=[value / 1e3 for value in milliseconds],
        memory_bytes=2_500_000,
        params=10,
    )
    return Measurement(**given | others)


@pytest.fixture
def report() -> Report:
    rows = [
        row('a', [10, 30, 20]),
        row('b', [40, 15, 20], top1=(78.4, 'a paper')),
        row('c', [8, 8, 8], mode='train', kept=True),
    ]
    return make_report(SETTINGS, rows, baseline='a')


def test_derived_numbers() -> None:
    measured = row('a', [10, 30, 20])
    assert measured.milliseconds == pytest.approx(20)
    assert measured.spread == pytest.approx((15, 25))
    assert measured.images_per_second == pytest.approx(200)


def test_ratios_are_within_a_round_and_a_mode(report: Report) -> None:
    # of b: 4, 0.5 and 1; c is in a mode that the baseline is not in
    assert [measured.ratio for measured in report.rows] == [1, pytest.approx(1), None]
    swapped = make_report(SETTINGS, report.rows, baseline='b')
    assert swapped.rows[0].ratio == pytest.approx(1)
    assert report.exponents == []


def test_memory_is_kept_or_a_peak(report: Report) -> None:
    peak = make_report(SETTINGS, [row('a', [1], mode='train')], baseline='a')
    told = [('kept for the backward pass' in to_table(r)) for r in (report, peak)]
    assert told == [True, False]


def test_scans_are_named() -> None:
    rows = [row('a', [1]), row('b', [1], scan='torch'), row('c', [1], scan='mamba_ssm')]
    lines = to_table(make_report(SETTINGS, rows, baseline='a')).splitlines()
    assert lines[-1] == 'selective scan: b by torch, c by mamba_ssm'


def test_exponents_of_time_and_memory() -> None:
    edges = [(32, 32), (64, 64), (64, 128)]
    rows = [
        row('a', [0.001 * h * w] * 3, size=(h, w), memory_bytes=(h * w) ** 2, mode=mode)
        for mode in ('infer', 'train')
        for h, w in edges
    ]
    first, second = make_report(SETTINGS, rows, baseline='a').exponents
    assert (first.model, first.mode, second.mode) == ('a', 'infer', 'train')
    assert first.time == pytest.approx(1) and first.memory == pytest.approx(2)
    assert first.per_megapixel == pytest.approx(1000 / 4)  # of a batch of 4


def test_table(report: Report) -> None:
    lines = to_table(report).splitlines()
    assert lines[:4] == [
        'model   mode   size      format     ms     quartiles  images/s  ratio   MB',
        'a      infer  64x96  contiguous  20.00  15.00..25.00     200.0  1.000  2.5',
        'b      infer  64x96  contiguous  20.00  17.50..30.00     200.0  1.000  2.5',
        'c      train  64x96  contiguous   8.00    8.00..8.00     500.0      -  2.5',
    ]
    assert lines[5].endswith('; threads 2, dtype bf16, amp True, batch 4, rounds 3')
    assert 'ratio to a' in lines[6] and 'kept for the backward pass' in lines[7]


def test_table_in_markdown(report: Report) -> None:
    header, rule, first, *_, note = to_table(report, 'md').splitlines()
    assert header.startswith('| model |') and first.startswith('| a | infer |')
    assert rule.startswith('| --- | ---: | ---: |') and header.count('|') == rule.count('|') == 10
    assert note.startswith('- MB')


def test_objects_and_growth_are_told_below_the_table() -> None:
    rows = [
        row('a', [k, k, k], size=(32 * k, 32), detections=100 * k, memory_bytes=k**2)
        for k in (1, 2)
    ]
    text = to_table(make_report(SETTINGS, rows, baseline='a'))
    assert 'at random weights: a 200' in text
    # the larger image has 2048 pixels, and a quarter of 2 ms
    growth = 'a, infer: time grows as pixels^1.000, memory as pixels^2.000; 244.1 ms a megapixel'
    assert growth in text
    assert 'backward' not in text


def test_json_has_raw_and_derived_numbers(report: Report) -> None:
    data = json.loads(to_json(report))
    assert data['settings'] == SETTINGS | dict(baseline='a')
    assert {'device', 'torch', 'threads', 'python'} <= set(data['environment'])
    second = data['rows'][1]
    assert second['seconds'] == pytest.approx([0.04, 0.015, 0.02])
    assert second['milliseconds'] == pytest.approx(20) and second['size'] == [64, 96]
    assert second['quartiles'] == pytest.approx([17.5, 30])
    assert second['images_per_second'] == pytest.approx(200)
    assert second['top1'] == [78.4, 'a paper'] and second['memory_bytes'] == 2_500_000


def test_variables_that_tune_torch_are_kept(
    report: Report, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv('TORCHINDUCTOR_FREEZING', '1')
    monkeypatch.setenv('SECRET', 'x')
    variables = make_report(SETTINGS, report.rows, 'a').environment['variables']
    assert variables['TORCHINDUCTOR_FREEZING'] == '1' and 'SECRET' not in variables


def test_device_is_named(report: Report, monkeypatch: pytest.MonkeyPatch) -> None:
    assert report.environment['device'] and report.environment['cuda'] is None
    monkeypatch.setattr(Path, 'is_file', lambda path: False)  # as on other systems than Linux
    monkeypatch.setattr('platform.processor', lambda: 'a processor')
    assert make_report(SETTINGS, report.rows, 'a').environment['device'] == 'a processor'
