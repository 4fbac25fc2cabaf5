"""Classes that cannot be learned, or that two lists number differently."""

import pytest
from mmengine.config import Config

from vminet_mm.datasets.checks.classes import check_classes_agree, check_model
from vminet_mm.datasets.checks.report import Report


def problems(head: dict, number: int = 1, **auxiliary: object) -> list[str]:
    """What is wrong with a segmentor's head for data of so many classes."""
    report = Report(echo=lambda line: None)
    model = dict(decode_head=dict(type='UPerHead', **head), **auxiliary)
    check_model(report, Config(dict(model=model)), number)
    return report.problems


SOFTMAX = dict(type='CrossEntropyLoss')
SIGMOID = dict(type='CrossEntropyLoss', use_sigmoid=True)


@pytest.mark.parametrize(
    'loss',
    [
        SOFTMAX,
        dict(SOFTMAX, use_sigmoid=False, loss_weight=0.4),
        dict(type='mmseg.CrossEntropyLoss'),
        [dict(type='DiceLoss'), SOFTMAX],
    ],
)
def test_softmax_over_one_class(loss: object) -> None:
    (problem,) = problems(dict(num_classes=1, loss_decode=loss))
    assert problem.startswith('model.decode_head has one class and a softmax loss')
    assert 'num_classes=2' in problem and 'model.decode_head.out_channels=1' in problem
    assert 'two classes' in problem and 'model.decode_head.loss_decode.use_sigmoid=True' in problem


@pytest.mark.parametrize(
    'head',
    [
        dict(num_classes=1, loss_decode=SIGMOID),
        dict(num_classes=1, loss_decode=[SIGMOID, dict(type='DiceLoss')]),
        dict(num_classes=1, loss_decode=SOFTMAX, out_channels=2),
    ],
)
def test_one_class_that_can_be_learned(head: dict) -> None:
    assert problems(head) == []


@pytest.mark.parametrize('where', ['', 'model.'])
def test_labels_mixed_among_other_classes(where: str) -> None:
    """A head for two classes, whose images are mixed as if there were a thousand."""

    def found(number: int, more_is_wrong: bool = False, **model: object) -> list[str]:
        report = Report(echo=lambda line: None)
        cfg = Config(dict(model=dict(head=dict(type='LinearClsHead', num_classes=2), **model)))
        cfg.merge_from_dict({f'{where}data_preprocessor': dict(num_classes=number)})
        check_model(report, cfg, 2, more_is_wrong)
        return report.problems

    mixed = dict(train_cfg=dict(augments=[dict(type='Mixup', alpha=0.8)]))
    (problem,) = found(1000, **mixed)
    assert f'--cfg-options {where}data_preprocessor.num_classes=2' in problem
    assert found(2, **mixed) == found(1000) == found(1000, train_cfg=None) == []
    assert len(found(1000, more_is_wrong=True, **mixed)) == 1


def test_weights_of_other_classes() -> None:
    loss = [dict(type='DiceLoss'), dict(SOFTMAX, class_weight=[1.0, 2.0])]
    (problem,) = problems(dict(num_classes=6, loss_decode=loss), 6)
    assert 'model.decode_head.loss_decode: class_weight has 2 values' in problem
    assert problems(dict(num_classes=2, loss_decode=loss), 2) == []


@pytest.mark.parametrize(('ignored', 'number'), [(255, 0), (2, 1), (6, 0)])
def test_class_that_is_ignored(ignored: int, number: int) -> None:
    report = Report(echo=lambda line: None)
    head = dict(num_classes=6, ignore_index=ignored, loss_decode=SOFTMAX)
    check_model(report, Config(dict(model=dict(decode_head=head))), 6)
    assert report.problems == [] and len(report.notes) == number


def test_two_classes_and_every_head() -> None:
    assert problems(dict(num_classes=2, loss_decode=SOFTMAX), 2) == []
    one = dict(num_classes=1, loss_decode=SOFTMAX)
    found = problems(one, auxiliary_head=[dict(one, type='FCNHead'), dict(one, type='FCNHead')])
    assert [text.split()[0] for text in found] == [
        'model.decode_head',
        'model.auxiliary_head.0',
        'model.auxiliary_head.1',
    ]


@pytest.mark.parametrize(
    ('val', 'word'),
    [
        (('b', 'a', 'c'), 'their order differs'),
        (('a', 'b'), '(c)'),
        (('a', 'b', 'd'), '(c, d)'),
        (('a', 'b', 'C'), '(C, c)'),
    ],
)
def test_splits_that_number_classes_differently(val: tuple, word: str) -> None:
    report = Report(classes=dict(train=('a', 'b', 'c'), val=val))
    check_classes_agree(report)
    (problem,) = report.problems
    assert problem.startswith('val: ') and word in problem


def test_splits_that_agree() -> None:
    report = Report(classes=dict(train=('a', 'b'), val=('a', 'b'), test=('a', 'b')))
    check_classes_agree(report)
    check_classes_agree(Report())
    assert report.problems == []
