"""Objects of a COCO annotation file that training skips or that evaluation cannot read.

mmdet's reader and pycocotools, which evaluates, read the same list by different rules. Each check
names the rule that the objects break.
"""

from collections.abc import Sequence
from contextlib import redirect_stdout
from io import StringIO
from typing import Any

import numpy as np
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from .report import FIX, Report, some

MANY = 5000  # objects
PERFECT = 0.999  # AP of the ground truth evaluated against itself; the rest is rounding


def check_evaluation(report: Report, objects: list[dict]) -> None:
    """Check what pycocotools reads differently from mmdet: ``iscrowd``, and ids that start at 1."""
    odd = [entry['id'] for entry in objects if entry.get('iscrowd', 0) not in (0, 1)]
    report.problem_of(
        odd,
        'annotations have an iscrowd that is neither 0 nor 1',
        f'write "iscrowd": 0 for a single object, or {FIX}',
    )
    if report.split == 'train':
        return
    lacking = [entry['id'] for entry in objects if 'iscrowd' not in entry]
    report.problem_of(
        lacking,
        'annotations have no iscrowd, without which the evaluation stops',
        f'add "iscrowd": 0, or {FIX}',
    )
    if any(entry['id'] == 0 for entry in objects):
        report.problem(
            'an annotation has the id 0, which pycocotools takes for "no match": a '
            'perfect prediction of this object counts as wrong',
            f'number the annotations from 1, or {FIX}',
        )


def check_boxes(report: Report, images: list[dict], objects: list[dict]) -> None:
    """Check whether boxes are normalized, given by their corners, or reach beyond the image."""
    sizes = {image['id']: (image['width'], image['height']) for image in images}
    known = [entry for entry in objects if entry['image_id'] in sizes]
    if not known:
        return
    boxes = np.array([entry['bbox'] for entry in known], dtype=float)
    size = np.array([sizes[entry['image_id']] for entry in known], dtype=float)
    fractions = (boxes >= 0).all(axis=1) & (boxes <= 1).all(axis=1)
    fractions &= (boxes[:, 2:] > 0).all(axis=1) & (boxes[:, 2:] < 1).all(axis=1)
    if fractions.all() or fractions.sum() > max(1, len(known) / 100):  # a few may be tiny objects
        ids = [entry['id'] for entry, is_one in zip(known, fractions, strict=True) if is_one]
        report.problem(
            f'{"all " if fractions.all() else ""}{len(ids)} of {len(known)} boxes lie '
            f'between 0 and 1 (ids {some(ids)}), so each is under 1 pixel and left out',
            'multiply them by the width and height of their image',
        )
        return
    beyond = (boxes[:, :2] + boxes[:, 2:] > size + 1).any(axis=1) | (boxes[:, :2] < -1).any(axis=1)
    if not beyond.any():
        return
    ids = [entry['id'] for entry, is_beyond in zip(known, beyond, strict=True) if is_beyond]
    text = f'{len(ids)} of {len(known)} boxes reach beyond their image (ids {some(ids)})'
    are_corners = (boxes[:, 2:] > boxes[:, :2]).all() and (boxes[:, 2:] <= size + 1).all()
    half = boxes[:, 2:] / 2
    are_centers = (boxes[:, :2] >= half - 1).all() and (boxes[:, :2] + half <= size + 1).all()
    if are_corners:
        report.problem(
            f'{text}; as corners x1, y1, x2, y2 all would fit',
            'write bbox as [x1, y1, x2 - x1, y2 - y1]',
        )
    elif are_centers and len(ids) > 1:
        report.problem(
            f'{text}; with a center instead of a corner all would fit',
            'write bbox as [center_x - width / 2, center_y - height / 2, width, height]',
        )
    else:
        report.note(f'{text}; were the images resized after labeling?')


def check_usable(
    report: Report,
    classes: Sequence[str],
    content: dict,
    usable: list[dict],
    is_needed: bool = True,
) -> None:
    """Check that at least one object survives mmdet's own filters, if there must be any.

    ``usable`` are the objects whose box mmdet keeps.
    """
    ids = {c['id'] for c in content['categories'] if c['name'] in classes}
    reasons = {
        'are crowds (iscrowd 1)': [e for e in usable if e.get('iscrowd')],
        'are marked with ignore': [e for e in usable if e.get('ignore')],
        'belong to no class of the config': [e for e in usable if e['category_id'] not in ids],
    }
    left_out = {e['id'] for entries in reasons.values() for e in entries}
    number = len(content['annotations'])
    if not number and is_needed:
        report.problem('the annotation file holds no object', 'write the objects into its list')
    if not number or any(entry['id'] not in left_out for entry in usable):
        return
    counts = [f'{len(entries)} {why}' for why, entries in reasons.items() if entries]
    if len(usable) < number:
        counts.append(f'{number - len(usable)} have an empty box, no area or no image')
    report.problem(
        f'none of the {number} objects can be learned or evaluated: {", ".join(counts)}',
        'correct these entries; a single object is not a crowd, whatever its mask is coded as',
    )


def self_evaluate(content: dict, metric: str) -> float:
    """Evaluate the ground truth of an annotation file against itself, ``'bbox'`` or ``'segm'``.

    The average precision is 1 for a file that can be evaluated, -1 without an object.
    """
    with redirect_stdout(StringIO()):
        ground_truth = COCO()
        ground_truth.dataset = {**content, 'annotations': [dict(e) for e in content['annotations']]}
        ground_truth.createIndex()
        results = [_as_result(ground_truth, e, metric) for e in ground_truth.dataset['annotations']]
        results = [result for result in results if result]
        if not results:
            return -1.0
        evaluation = COCOeval(ground_truth, ground_truth.loadRes(results), metric)
        evaluation.params.maxDets = [len(results)]  # the usual 100 would cut crowded images
        # of all areas alone, a quarter of the work
        evaluation.params.areaRng = evaluation.params.areaRng[:1]
        evaluation.params.areaRngLbl = evaluation.params.areaRngLbl[:1]
        evaluation.evaluate()
        evaluation.accumulate()
    precision = evaluation.eval['precision']
    precision = precision[precision > -1]
    return float(precision.mean()) if precision.size else -1.0


def check_self_evaluation(report: Report, content: dict, metric: str) -> None:
    """Check that the ground truth evaluated against itself reaches AP 1."""
    number = len(content['annotations'])
    if number > MANY:
        report.echo(f'  ({metric}: evaluating {number} objects against themselves takes a while)')
    try:
        precision = self_evaluate(content, metric)
    except Exception as error:  # pycocotools raises all kinds of errors on odd entries
        report.problem(
            f'the {metric} evaluation of the ground truth fails: {error!r}',
            f'correct the annotation file, or {FIX}',
        )
        return
    if precision < 0:
        return
    report.fact(f'{metric} check', f'AP of the ground truth against itself is {precision:.3f}')
    if precision < PERFECT:
        report.problem(
            f'the ground truth evaluated against itself reaches AP {precision:.3f} '
            f'({metric}), and no prediction can do better',
            f'look for annotations that share an id or have the id 0, or {FIX}',
        )


def _as_result(ground_truth: COCO, entry: dict, metric: str) -> dict[str, Any] | None:
    """The prediction that equals an object; None for a crowd, which is no single object."""
    if entry.get('iscrowd') or entry['image_id'] not in ground_truth.imgs:
        return None
    result = dict(image_id=entry['image_id'], category_id=entry['category_id'], score=1.0)
    if metric == 'segm':
        return result | dict(segmentation=ground_truth.annToRLE(entry))
    return result | dict(bbox=list(entry['bbox']))
