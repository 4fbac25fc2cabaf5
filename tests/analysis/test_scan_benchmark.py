"""The scan's benchmark: what is timed is what it says; the figures themselves are not judged."""

import runpy
from pathlib import Path

import pytest
import torch

from vminet_mm.analysis.benchmark import Settings
from vminet_mm.analysis.scan_benchmark import ScanReport, ScanTiming, counterpart, measure_scan

TOOL = Path(__file__).parents[2] / 'tools/analysis_tools/benchmark_scan.py'


def test_the_counterpart_by_hand() -> None:
    u = torch.tensor([[[1.0, 2.0, 3.0]]])
    B, C = torch.tensor([[[1.0, 1, 1], [0, 1, 0]]]), torch.tensor([[[1.0, 1, 1], [1, 1, 2]]])
    # the first state sums up to four tokens, the second passes on its own and half of the last one
    weight = torch.tensor([[[1.0, 1, 1, 1]], [[0, 0, 0.5, 1]]])
    # states (1, 3, 6) and (0, 2, 1)
    assert counterpart(u, B, C, weight).tolist() == [[[1.0, 5.0, 8.0]]]


def test_the_report() -> None:
    rows = [
        ScanTiming(100, 'infer', 1.0, 1.5, 2.0),
        ScanTiming(400, 'infer', 4.0, 1.25, 2.5),
        ScanTiming(100, 'train', 5.0, 1.0, 1.0),
    ]
    report = ScanReport('torch', 384, 16, Settings(), rows)
    assert report.exponent('infer') == pytest.approx(1)
    assert report.exponent('train') is None
    lines = report.table().splitlines()
    assert lines[2].split() == ['400', 'infer', '4.00', '1.25', '2.50']
    assert lines[4] == 'infer: time grows as tokens^1.000'
    assert lines[5].startswith('scan by torch; 384 channels, 16 states, batch 8; cpu, fp32')


def test_measuring(monkeypatch: pytest.MonkeyPatch, capsys) -> None:
    command = f'{TOOL} --tokens 3 20 --channels 4 --states 2 --mode both --rounds 1 --seconds 0'
    monkeypatch.setattr('sys.argv', command.split())
    runpy.run_path(str(TOOL), run_name='__main__')
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[:2] for line in lines[1:5]] == [
        [tokens, mode] for mode in ('infer', 'train') for tokens in ('3', '20')
    ]
    assert 'scan by torch; 4 channels, 2 states' in lines[-1]


def test_wrong_numbers() -> None:
    for tokens, channels, states in (([0], 4, 2), ([5], 3, 2), ([5], 4, 0)):
        with pytest.raises(ValueError, match='positive numbers, channels an even one'):
            measure_scan(Settings(), tokens, channels, states)
