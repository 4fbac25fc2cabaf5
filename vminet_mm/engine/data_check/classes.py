"""The classes of a config's data: alike in all splits, and as many as the model's heads have."""

from collections.abc import Sequence
from typing import Any

from mmengine.config import Config

from ..config import find_key
from ..preflight import dataset_paths
from .report import Report, some


def is_text(report: Report, split: str, classes: Any) -> bool:
    """Whether the names of the classes are one text, each letter of which would be a class."""
    if isinstance(classes, str):
        report.problem(
            f'{split}: metainfo.classes is the text {classes!r}, not a list of names',
            'write "[a,b]" in --cfg-options, and in a config ("a",) with a comma for one name',
        )
    return isinstance(classes, str)


def difference(names: Sequence[str], other: Sequence[str]) -> str:
    """How two lists of classes differ."""
    return some(sorted(set(names) ^ set(other))) or 'their order differs'


def note_classes(report: Report, split: str, leaf: dict, classes: tuple[str, ...]) -> None:
    """Keep the classes of a split, which all parts of its data set must share.

    Args:
        report: Takes them, and the problem if they differ.
        split: ``'train'``, ``'val'`` or ``'test'``.
        leaf: The config of the part.
        classes: The names of the part's classes.
    """
    first = report.classes.setdefault(split, classes)
    if classes != first:
        place = next(iter(dataset_paths(leaf)), 'another part')
        report.problem(
            f'{split}: the parts of the data set have different classes: {len(first)}, and '
            f'{len(classes)} in {place} ({difference(first, classes)})',
            'a label must mean the same class in all: give all parts the same metainfo.classes',
        )


def check_classes_agree(report: Report) -> None:
    """All splits must number the same classes alike."""
    (first, names), *others = report.classes.items() or [('', ())]
    for split, other in others:
        if other != names:
            report.problem(
                f'{split}: its {len(other)} classes are not the {len(names)} of {first} '
                f'({difference(names, other)})',
                'a label must mean the same class in both: complete the folders, or give both the '
                'same metainfo.classes',
            )


def check_model(report: Report, cfg: Config, number: int, more_is_wrong: bool = True) -> None:
    """Class counts of the heads, and the k of top-k accuracy, against the number of classes.

    Args:
        report: Takes the problems.
        cfg: The config.
        number: How many classes the data have.
        more_is_wrong: Whether a head must not have more classes than the data, which trains.
    """
    settings = dict(cfg.items())
    for path, value in find_key(settings, 'num_classes'):
        counts_classes = 'head' in path and 'rpn' not in path or 'data_preprocessor' in path
        if not counts_classes or not isinstance(value, int):
            continue
        if value < number if not more_is_wrong else value != number:
            report.problem(
                f'{path} is {value}, the data have {number} classes',
                f'--cfg-options {path}={number}, or list the right classes in metainfo.classes',
            )
    for path, value in find_key(settings, 'topk'):
        largest = max(value) if isinstance(value, (list, tuple)) else value
        if path.startswith(('val_evaluator', 'test_evaluator', 'model.head')) and largest > number:
            report.problem(
                f'{path} asks for the best {largest} of {number} classes',
                f'--cfg-options {path}="(1,)"',
            )
