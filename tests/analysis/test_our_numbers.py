"""Our numbers in the paper's tables: facts, counts, accuracy and latency."""

from pathlib import Path

import pytest
from mmengine.config import Config
from table_inputs import ACCURACY, CONFIGS, XS, benchmark_file, one_row, write_run

from vminet_mm.analysis import our_numbers
from vminet_mm.analysis.our_numbers import (
    NOT_TRAINED,
    fill_accuracy,
    fill_counts,
    fill_facts,
    fill_latency,
    read_benchmark,
)
from vminet_mm.analysis.paper_tables import Row, read_tables
from vminet_mm.analysis.run_results import find_runs

DETECTOR = 'mask-rcnn_vminet-xs_sfp_1x_coco'


def test_facts_of_the_architectures() -> None:
    (table,) = read_tables([1])
    fill_facts([table], CONFIGS)
    assert [row.ours['expansion'] for row in table.rows] == [2, 2, 4, 2]
    assert not any(row.is_marked(column) for row in table.rows for column in table.columns)
    table.rows[0].ours['expansion'] = 4
    assert table.rows[0].is_marked(table.columns[2])


def test_counting() -> None:
    tables = read_tables([1, 2])
    for table in tables:
        table.rows = [row for row in table.rows if row.model in ('VMINet-Ti', 'PVTv2-B0', 'Vim-Ti')]
    told: list[str] = []
    fill_counts(tables, CONFIGS, peers=False, progress=told.append)
    # the same model is counted once
    assert told == ['Table 1: counting VMINet-Ti (cls/vminet-ti_3xb128-300e_in1k.py)']
    for table in tables:
        row = next(row for row in table.rows if row.config)
        assert row.ours['params'] == pytest.approx(2.032426)
        assert row.ours['macs'] == pytest.approx(0.348128, abs=1e-6)
    assert all(not row.ours for row in tables[1].rows if not row.config)


def test_peers_are_counted_as_others_report_them() -> None:
    (table,) = read_tables([2])
    table.rows = [row for row in table.rows if row.model in ('EfficientViT-M2', 'MobileOne-S2')]
    changes = dict(backbone=dict(depth=18), head=dict(in_channels=512))
    resnet = Row('ResNet-18', measure='mmpretrain::resnet/resnet50_8xb32_in1k.py', changes=changes)
    resnet.reported = dict(params=11.69, macs=1.82)  # mmpretrain's metafile
    (peers,) = read_tables([2])
    deit = next(row for row in peers.rows if row.model == 'DeiT-S')  # with fused attention
    table.rows += [resnet, deit]
    fill_counts([table], CONFIGS, peers=True, progress=lambda text: None)
    for row in table.rows:
        for name in ('params', 'macs'):
            assert row.ours[name] == pytest.approx(row.reported[name], rel=0.01)


def test_what_cannot_be_counted_is_noted(monkeypatch: pytest.MonkeyPatch) -> None:
    table, row = one_row(1, 'VMINet-Ti')
    row.config = 'cls/none.py'
    fill_counts([table], CONFIGS, peers=False, progress=lambda text: None)
    assert row.notes[0].startswith('not counted: ')
    assert 'none.py' in row.notes[0]

    def lacks_timm(cfg: Config, shape: tuple | None) -> None:
        raise ImportError('timm is not installed')

    monkeypatch.setattr(our_numbers, 'count_complexity', lacks_timm)
    table, row = one_row(2, 'StarNet-S4')
    fill_counts([table], CONFIGS, peers=True, progress=lambda text: None)
    assert row.notes == ['not counted: timm is not installed']
    assert not row.ours


def accuracy_of(tmp_path: Path, model: str = 'VMINet-XS', number: int = 2) -> Row:
    table, row = one_row(number, model)
    fill_accuracy([table], find_runs(tmp_path), CONFIGS)
    return row


def test_accuracy_is_the_best_validation_of_a_finished_run(tmp_path: Path) -> None:
    lines = [{ACCURACY: 78.0, 'step': 299}, {ACCURACY: 77.5, 'step': 300}]
    write_run(tmp_path / 'a', lines, name=XS)
    write_run(tmp_path / 'b', [{ACCURACY: 70.0, 'step': 300}], name=XS)
    (tmp_path / 'a/best_accuracy_top1_epoch_299.pth').touch()
    row = accuracy_of(tmp_path)
    assert row.ours == {'top1': 78.0}
    assert row.run == dict(
        folder=str(tmp_path / 'a'),
        config=f'{XS}.py',
        unit='epoch',
        best=dict(
            step=299, checkpoint=str(tmp_path / 'a/best_accuracy_top1_epoch_299.pth'), top1=78.0
        ),
        last=dict(step=300, checkpoint=None, top1=77.5),
    )
    assert row.notes == []


def test_accuracies_of_a_detector_are_of_one_validation_and_in_per_cent(tmp_path: Path) -> None:
    lines = [
        {'coco/bbox_mAP': 0.389, 'coco/segm_mAP': 0.363, 'step': 11},
        {'coco/bbox_mAP': 0.388, 'coco/segm_mAP': 0.364, 'step': 12},
    ]
    write_run(tmp_path, lines, name=DETECTOR)
    row = accuracy_of(tmp_path, 'VMINet-XS', number=5)
    assert row.ours == pytest.approx({'box_ap': 38.9, 'mask_ap': 36.3})


@pytest.mark.parametrize('max_epochs', [2, 300])
def test_a_run_that_stopped_or_was_made_shorter_does_not_count(
    max_epochs: int, tmp_path: Path
) -> None:
    loop = f'dict(by_epoch=True, max_epochs={max_epochs})'
    write_run(tmp_path, [{ACCURACY: 5.0, 'step': 2}], train_cfg=loop, name=XS)
    row = accuracy_of(tmp_path)
    assert row.ours == {}
    assert row.notes == [f'{NOT_TRAINED}: {tmp_path} ends at epoch 2 of 300']


def test_latency_is_that_of_the_fastest_variant(tmp_path: Path) -> None:
    (table,) = read_tables([3])
    fill_latency([table], read_benchmark(benchmark_file(tmp_path)))
    rows = {row.model: row for row in table.rows}
    found = {name: row.ours['latency'] for name, row in rows.items() if row.ours}
    assert found == {'StarNet-S4': 8.0, 'VMINet-XS-M': 10.0, 'VMINet-XS-R': 12.0}
    (note,) = (note for note in rows['VMINet-XS-M'].notes if ' on ' in note)
    assert note.startswith('vminet-xs:impl=torch,deploy on ')
    assert note.endswith(', batch 4, fp32, compiled')
    assert table.notes[-2:] == [
        'StarNet-S4 over VMINet-XS-M: 0.94 in the paper, 0.80 here',
        'VMINet-XS-R over VMINet-XS-M: 1.28 in the paper, 1.20 here',
    ]


@pytest.mark.parametrize('text', ['', '[]', '{"rows": []}', '{"settings": null}'])
def test_another_file_than_a_benchmark_is_refused(text: str, tmp_path: Path) -> None:
    path = tmp_path / 'other.json'
    path.write_text(text)
    with pytest.raises(ValueError, match='not what benchmark.py --json writes'):
        read_benchmark(path)
