"""The page: what it shows, that it needs nothing from elsewhere, and that text stays text."""

from pathlib import Path

import pytest
from report_inputs import LOG, SEGMENTATION_LOG, Page, training_line, write_work_dir

from vminet_mm.visualization.report import read_work_dir, write_report
from vminet_mm.visualization.report.examples import Bar, Example
from vminet_mm.visualization.report.page import in_page_unit
from vminet_mm.visualization.report.predictions import Predictions
from vminet_mm.visualization.report.work_dir import ClassTable

CONFIGS = Path(__file__).parents[2] / 'configs'
XS = 'vminet-xs_3xb128-300e_in1k'
SFP = 'mask-rcnn_vminet-xs_sfp_1x_coco'
SECTIONS = ['curves', 'metrics', 'classes', 'predictions', 'environment', 'config']
PIXEL = 'data:image/jpeg;base64,/9j/'


def make_page(work_dir: Path, predictions: Predictions | None = None, remark: str = '') -> Page:
    path = work_dir.parent / 'new' / 'page.html'
    assert write_report(path, read_work_dir(work_dir), CONFIGS, predictions, remark) == path
    return Page(path)


def predicted(name: str = 'a.jpg') -> Predictions:
    example = Example(
        name=name,
        score=0.25,
        remark='true: ring',
        pictures=[('ground truth', PIXEL), ('prediction', PIXEL)],
        classes=[('ring', 'rgb(1 2 3)')],
        bars=[Bar('cross', 0.75, False), Bar('ring', 0.25, True)],
    )
    return Predictions(
        checkpoint='epoch_3.pth',
        parameters=7_430_000,
        images=2,
        available=9,
        metrics={'accuracy/top1': 50.0},
        tables=[ClassTable('', ['accuracy'], [('ring', [0.0]), ('cross', [None])])],
        measure='probability of the true class',
        best=[],
        worst=[example],
    )


def test_nothing_from_elsewhere(tmp_path: Path) -> None:
    write_work_dir(tmp_path / 'w', [training_line(1)], model="dict(type='https://a.org/b.pth')")
    page = make_page(tmp_path / 'w', predicted())
    addresses = [value for _, name, value in page.attributes if name in ('src', 'href', 'srcset')]
    assert addresses == [PIXEL, PIXEL]
    assert not {'script', 'link', 'iframe', 'object', 'base'} & set(page.tags)
    assert 'url(' not in page.source.replace('url(#', '') and '@import' not in page.source
    assert page.source.count('://') == 1 == page.text['config'].count('https://a.org/b.pth')
    assert not [name for _, name, _ in page.attributes if name.startswith('on')]


def test_made_for_a_phone(tmp_path: Path) -> None:
    write_work_dir(tmp_path / 'w', [training_line(1), {'accuracy/top1': 5.0, 'step': 1}])
    page = make_page(tmp_path / 'w', predicted())
    assert 'width=device-width, initial-scale=1' in page.values('meta', 'content')
    tables = page.tags.count('table')
    assert tables == page.source.count('<div class="scroll"><table') == 3
    assert '<div class="scroll"><pre>' in page.source
    assert not page.values('svg', 'width') and not page.values('img', 'width')


def test_numbers_beside_the_papers(tmp_path: Path) -> None:
    lines = [training_line(1)]
    lines += [{'accuracy/top1': value, 'step': step} for step, value in ((299, 80.9), (300, 79.0))]
    loop = 'dict(by_epoch=True, max_epochs=300)'
    write_work_dir(tmp_path / 'w', lines, name=XS, train_cfg=loop)
    page = make_page(tmp_path / 'w')
    assert [section for section in page.text if section] == SECTIONS
    assert ['accuracy/top1', '79.00', '80.90', '299'] in page.rows['metrics']
    paper = [row for row in page.rows['metrics'] if row[0].startswith('Table')]
    assert ['Table 2, VMINet-XS', 'top-1 (%)', '78.6', '80.9', '+2.9 %'] in paper
    assert {row[0][:7] for row in paper} == {'Table 2', 'Table 3', 'Table 4'}
    assert XS in page.text[''] and 'epoch 300 of 300' in page.text['']


def test_a_short_run_has_no_deviation(tmp_path: Path) -> None:
    metrics = {'coco/bbox_mAP': 0.2, 'coco/segm_mAP': 0.1, 'coco/bbox_mAP_l': -1, 'time': 3.0}
    write_work_dir(tmp_path / 'w', [{**metrics, 'step': 1}], name=SFP, scope='mmdet')
    page = make_page(tmp_path / 'w')
    metrics, _, paper = (
        page.rows['metrics'][start:stop] for start, stop in ((1, 4), (4, 5), (5, 7))
    )
    assert metrics == [
        ['coco/bbox_mAP', '20.00', '20.00', '1'],
        ['coco/segm_mAP', '10.00', '10.00', '1'],
        ['coco/bbox_mAP_l', '-', '-', '1'],
    ]
    model = 'Table 5, VMINet-XS'
    assert page.rows['metrics'][5:] == [
        [model, 'box AP (%)', '38.9', '20.0', '-'],
        [model, 'box AP50 (%)', '61.9', '-', '-'],
        [model, 'box AP75 (%)', '42.4', '-', '-'],
        [model, 'mask AP (%)', '36.4', '10.0', '-'],
        [model, 'mask AP50 (%)', '58.7', '-', '-'],
        [model, 'mask AP75 (%)', '38.8', '-', '-'],
    ]
    assert 'ends at epoch 1 of 12' in page.text['metrics']


def test_a_config_of_ours_alone(tmp_path: Path) -> None:
    write_work_dir(tmp_path / 'w', [{'mIoU': 50.0, 'step': 3}], scope='mmseg')
    page = make_page(tmp_path / 'w')
    assert 'The paper has no numbers for mine.' in page.text['metrics']


def test_a_run_without_validation(tmp_path: Path) -> None:
    write_work_dir(tmp_path / 'w', [training_line(k, loss=5.0 / k) for k in (1, 2, 4)], log='')
    page = make_page(tmp_path / 'w', remark='the data are missing')
    assert 'The run has no validation yet.' in page.text['metrics']
    assert 'Nothing to compare yet.' in page.text['metrics']
    assert page.text['predictions'].count('None were made: the data are missing.') == 1
    assert 'the data are missing' in page.text['classes']
    assert 'no log file' in page.text['environment']
    assert page.values('svg', 'aria-label') == [
        'Loss over iteration',
        'Learning rate over iteration',
    ]
    assert 'loss 1.25' in ' '.join(page.text['curves'].split())


def test_values_by_class_of_the_log_come_first(tmp_path: Path) -> None:
    log = LOG + SEGMENTATION_LOG.format('30.0')
    write_work_dir(tmp_path / 'w', [{'mIoU': 50.0, 'step': 3}], log=log)
    page = make_page(tmp_path / 'w', predicted())
    assert page.rows['classes'] == [
        ['class', 'IoU', 'Acc'],
        ['background', '96.8', '97.7'],
        ['ring', '30.0', '-'],
    ]
    assert 'from the log of the last validation' in page.text['classes']
    assert ['Python', '3.11.7 (main) [GCC 12.2.0]'] in page.rows['environment']


def test_predictions(tmp_path: Path) -> None:
    write_work_dir(tmp_path / 'w', [training_line(1), {'accuracy/top1': 40.0, 'step': 1}])
    page = make_page(tmp_path / 'w', predicted())
    assert page.rows['classes'][1:] == [['ring', '0.0'], ['cross', '-']]
    assert ['accuracy/top1', '40.00', '40.00', '1', '50.00'] in page.rows['metrics']
    text = ' '.join(page.text['predictions'].split())
    assert 'Of 2 of 9 validation images, with epoch_3.pth' in text
    assert 'Worst' in text and 'Best ground truth' not in text
    assert 'ring cross75.0 % ring25.0 % 25.0 true: ringa.jpg' in text
    assert page.values('li', 'style')[-2:] == ['--fraction: 75.0%', '--fraction: 25.0%']
    assert page.values('li', 'class')[-1] == 'true'
    assert page.values('img', 'alt') == ['ground truth of a.jpg', 'prediction of a.jpg']
    assert '7.43 M' in page.text['']


def test_text_stays_text(tmp_path: Path) -> None:
    evil = '"><script>alert(1)</script>'
    folder = tmp_path / '<b>'
    write_work_dir(folder, [training_line(1, **{'loss<i>': 2.0, 'loss_b': 1.0})], model=repr(evil))
    page = make_page(folder, predicted(evil))
    assert not {'script', 'i<', 'b>'} & set(page.tags)
    assert evil in page.text['predictions'] and evil in page.text['config']
    assert 'loss<i>' in page.text['curves'] and 'a <fast> one' in page.text['environment']


@pytest.mark.parametrize(
    ('name', 'value', 'text'),
    [
        ('coco/bbox_mAP', 0.389, '38.90'),
        ('coco/bbox_mAP_l', -1, '-'),
        ('accuracy/top1', 91.86045, '91.86'),
        ('mIoU', float('nan'), '-'),
        ('mIoU', None, '-'),
    ],
)
def test_units(name: str, value: float | None, text: str) -> None:
    assert in_page_unit(name, value) == text
