"""What the paper's tables are filled from: work dirs of runs, the benchmark's file, single rows."""

import json
from pathlib import Path

import yaml

from vminet_mm.analysis import benchmark_report
from vminet_mm.analysis.benchmark_report import Measurement, make_report
from vminet_mm.analysis.paper_tables import Row, Table, read_tables

CONFIGS = Path(__file__).parents[2] / 'configs'
XS = 'vminet-xs_3xb128-300e_in1k'
ACCURACY = 'accuracy/top1'
METAFILES = {
    entry['Name']: entry
    for folder in ('cls', 'mask_rcnn', 'upernet')
    for entry in yaml.safe_load((CONFIGS / folder / 'metafile.yml').read_text())['Models']
}


def write_run(
    folder: Path,
    lines: list[dict],
    start: str = '20250101_000000',
    train_cfg: str = 'dict(by_epoch=True, max_epochs=3)',
    model: str = "dict(type='A')",
    name: str = 'vminet-xs',
) -> Path:
    """A start of a run with the scalars of some lines; returns the scalars file."""
    text = f'model = {model}\ntrain_cfg = {train_cfg}\n'
    vis_data = folder / start / 'vis_data'
    vis_data.mkdir(parents=True)
    for path in (folder / f'{name}.py', vis_data / 'config.py'):
        path.write_text(text)
    scalars = vis_data / 'scalars.json'
    scalars.write_text(''.join(json.dumps(line) + '\n' for line in lines))
    return scalars


def benchmark_file(tmp_path: Path) -> Path:
    """A file as the benchmark writes it."""
    milliseconds = {
        'vminet-xs': 20.0,
        'vminet-xs:impl=torch,deploy': 10.0,
        'vminet-xs:form=recurrent': 12.0,
        'vminet-xs:mask=none': 1.0,
        'starnet_s4': 8.0,
    }
    others = dict(batch=4, memory_format='contiguous', memory_bytes=1, params=1)
    rows = [
        Measurement(model, 'infer', (224, 224), seconds=[value / 1e3], **others)
        for model, value in milliseconds.items()
    ]
    for mode, size in [('train', (224, 224)), ('infer', (64, 64))]:
        rows.append(Measurement('vminet-xs', mode, size, seconds=[1e-4], **others))
    settings = dict(device='cpu', threads=1, dtype='fp32', compile='default')
    path = tmp_path / 'benchmark.json'
    path.write_text(benchmark_report.to_json(make_report(settings, rows, 'vminet-xs')))
    return path


def one_row(number: int, model: str) -> tuple[Table, Row]:
    """A table with one of its rows alone."""
    (table,) = read_tables([number])
    (row,) = table.rows = [row for row in table.rows if row.model == model]
    return table, row
