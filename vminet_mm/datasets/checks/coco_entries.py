"""Entries of a COCO annotation file: the keys that mmdet and pycocotools read, and their kinds."""

from collections.abc import Callable
from typing import Any

from .report import FIX, Report, repeated, some

ADDED = ('annotations.id', 'annotations.area')  # by --fix


def _is_id(value: Any) -> bool:
    return isinstance(value, (int, float, str)) and not isinstance(value, bool)


def is_object_id(value: Any) -> bool:
    """Whether pycocotools, which keeps the ids of objects in an array of numbers, can store one."""
    try:
        float(value)
    except (TypeError, ValueError):
        return False
    return _is_id(value)


def _is_name(value: Any) -> bool:
    return isinstance(value, str) and bool(value.strip())


def _is_text(value: Any) -> bool:
    return isinstance(value, (str, int))  # a number is compared as a text


# list and key: what its value must be; None if it is looked at elsewhere
KEYS: dict[str, dict[str, tuple[Callable[[Any], bool], str] | None]] = dict(
    images=dict(
        id=(_is_id, 'a number'), file_name=(_is_name, 'the name of a file'), height=None, width=None
    ),
    annotations=dict(
        id=(is_object_id, 'a number'), image_id=None, category_id=None, bbox=None, area=None
    ),
    categories=dict(id=(_is_id, 'a number'), name=(_is_text, 'a text')),
)


def check_entries(report: Report, path: object, content: dict[str, list]) -> bool:
    """Check the keys of all entries, and the kinds of ids and names; whether all is there."""
    before = len(report.problems)
    for kind, keys in KEYS.items():
        for key, rule in keys.items():
            name, entries = f'{kind}.{key}', content[kind]
            way_out = f', or {FIX}' if name in ADDED else ''
            lacking = sum(key not in entry for entry in entries)
            if lacking:
                report.problem(
                    f'{lacking} x {name} is missing in {path}', f'add it to every entry{way_out}'
                )
            is_right, what = rule or (None, '')
            values = [entry[key] for entry in entries if key in entry] if rule else []
            wrong = [value for value in values if not is_right(value)]
            if wrong:
                report.problem(
                    f'{len(wrong)} x {name} in {path} is not {what} ({some(map(repr, wrong))})',
                    f'write {what} into every entry{way_out}',
                )
    if len(report.problems) == before:
        _check_ids(report, content)
    return len(report.problems) == before


def _check_ids(report: Report, content: dict[str, list]) -> None:
    """Ids of images and categories are of one kind, which pycocotools sorts, and refer to each
    other; categories have an id each."""
    ids = {kind: [entry['id'] for entry in content[kind]] for kind in ('images', 'categories')}
    for kind, values in ids.items():
        if len({isinstance(value, str) for value in values}) > 1:
            report.problem(
                f'the ids of the {kind} are numbers and texts', 'write all of them as numbers'
            )
    for key in ('image_id', 'category_id'):
        odd = [entry['id'] for entry in content['annotations'] if not _may_refer(entry[key])]
        report.problem_of(odd, f'annotations have a list or an object as {key}', 'write one id')
    twice = repeated(ids['categories'])
    if twice:
        report.problem(
            f'{len(twice)} category ids are given more than once ({some(twice)}), and '
            'all but one of their names would be left out',
            'number the categories anew, each with an id of its own',
        )


def _may_refer(value: Any) -> bool:
    """Whether a value is hashable, or None, which is reported as a missing reference."""
    return value is None or _is_id(value)
