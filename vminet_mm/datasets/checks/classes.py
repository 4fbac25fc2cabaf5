"""The classes of a config's data: alike in all splits, and as many as the model's heads have."""

from collections.abc import Sequence
from typing import Any

from mmengine.config import Config

from ...tasks import CLASSIFICATION, SEGMENTATION
from ..config_parts import dataset_paths, find_key, type_name
from .report import Report, some

# parts of a model whose heads count something else: words, one class of all, or things only
COUNT_OTHERWISE = (
    'language_model',
    'text_encoder',
    'tracker',
    'panoptic_head',
    'panoptic_fusion_head',
)


def is_text(report: Report, classes: Any) -> bool:
    """Whether the class names are one string, each character of which would be a class."""
    if isinstance(classes, str):
        report.problem(
            f'metainfo.classes is the text {classes!r}, not a list of names',
            'write "[a,b]" in --cfg-options, and in a config ("a",) with a comma for one name',
        )
    return isinstance(classes, str)


def difference(names: Sequence[str], other: Sequence[str]) -> str:
    """How two lists of classes differ."""
    return some(sorted(set(names) ^ set(other))) or 'their order differs'


def note_classes(report: Report, leaf: dict, classes: tuple[str, ...]) -> None:
    """Keep the classes of a split, which all parts of its data set must share."""
    first = report.classes.setdefault(report.split, classes)
    if classes != first:
        source = next(iter(dataset_paths(leaf)), 'another part')
        report.problem(
            f'the parts of the data set have different classes: {len(first)}, and '
            f'{len(classes)} in {source} ({difference(first, classes)})',
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


def reads_masks(cfg: Config, split: str) -> bool:
    """Whether a split's pipeline loads masks of objects, or its evaluator compares them."""
    loader, evaluator = cfg.get(f'{split}_dataloader'), cfg.get(f'{split}_evaluator')
    loads = any(value is True for _, value in find_key(loader, 'with_mask'))
    metrics = [value for _, value in find_key(evaluator, 'metric')]
    return loads or any('segm' in ([m] if isinstance(m, str) else m or ()) for m in metrics)


def check_model(report: Report, cfg: Config, number: int, more_is_wrong: bool = True) -> None:
    """Class counts of the heads, and the k of top-k accuracy, against those of the data.

    A head with more classes than the data have trains, so it may be no problem (``more_is_wrong``).
    """
    settings = dict(cfg.items())
    model = settings.get('model') or {}
    counts_otherwise = any(part in model for part in COUNT_OTHERWISE)
    for path, value in find_key(settings, 'num_classes'):
        counts_classes = 'head' in path and 'rpn' not in path or 'data_preprocessor' in path
        is_used = path.startswith(('model.', 'data_preprocessor.'))
        if not (counts_classes and is_used and isinstance(value, int)):
            continue
        fits = value == number if more_is_wrong else value >= number
        if fits:
            continue
        if counts_otherwise or _is_other_head(settings, path):
            report.note(
                f'{path} is {value}, the data have {number} classes: a head of this kind may count '
                'something else'
            )
        else:
            report.problem(
                f'{path} is {value}, the data have {number} classes',
                f'--cfg-options {path}={number}, or list the right classes in metainfo.classes',
            )
    if not more_is_wrong:  # else it is reported above
        _check_mixed_labels(report, settings)
    _check_one_class(report, settings)
    _check_label_lists(report, settings)
    _check_decode_heads(report, settings)
    if not report.classes:  # the minimum number of classes that lists need
        counts = (value for _, value in find_key(settings.get('model'), 'num_classes'))
        number = max([number, *(value for value in counts if isinstance(value, int))])
    for path, value in find_key(settings, 'topk'):
        is_metric = path.startswith(('val_evaluator', 'test_evaluator'))
        # the k of other metrics counts images of a gallery
        counts_classes = is_metric and type_name(_holder(settings, path)) == 'Accuracy'
        if not (counts_classes or path.startswith('model.head')):
            continue
        largest = max(value) if isinstance(value, (list, tuple)) else value
        if largest > number:
            report.problem(
                f'{path} asks for the best {largest} of {number} classes',
                f'--cfg-options {path}="(1,)"',
            )


def _check_mixed_labels(report: Report, settings: dict) -> None:
    """Report labels that are mixed among another number of classes than the head's."""
    model = settings.get('model') or {}
    path = 'model.data_preprocessor' if model.get('data_preprocessor') else 'data_preprocessor'
    preprocessor = model.get('data_preprocessor') or settings.get('data_preprocessor') or {}
    mixes = (model.get('train_cfg') or {}).get('augments') or preprocessor.get('batch_augments')
    wanted = (model.get('head') or {}).get('num_classes')
    given = preprocessor.get('num_classes')
    if mixes and isinstance(wanted, int) and isinstance(given, int) and given != wanted:
        report.problem(
            f'labels are mixed among the {given} classes of {path}.num_classes, and model.head has '
            f'{wanted}',
            f'--cfg-options {path}.num_classes={wanted}',
        )


def _check_one_class(report: Report, settings: dict) -> None:
    """Report a softmax over a single class: it is always 1, and its loss 0."""
    for path, value in find_key(settings, 'num_classes'):
        head = _holder(settings, path)
        part = path.rpartition('.')[0]
        if value != 1 or not part.startswith('model.'):
            continue
        if part == 'model.head' and type_name(head) in CLASSIFICATION.heads['one_class']:
            report.problem(
                f'{part} has one class: its softmax is 1 from the start, and nothing is learned',
                'add a second class, such as "other", and num_classes=2',
            )
        losses = head.get('loss_decode') or ()
        losses = losses if isinstance(losses, (list, tuple)) else [losses]
        is_softmax = any(
            type_name(loss) == 'CrossEntropyLoss' and not loss.get('use_sigmoid') for loss in losses
        )
        if is_softmax and not head.get('out_channels'):
            report.problem(
                f'{part} has one class and a softmax loss, which is 0 from the start: nothing is '
                'learned',
                'use two classes, the background as label 0 (reduce_zero_label=False in the data '
                'sets and in LoadAnnotations), and '
                f'--cfg-options {part}.num_classes=2; or a sigmoid loss for the two of them: '
                f'{part}.num_classes=2 {part}.out_channels=1 {part}.loss_decode.use_sigmoid=True',
            )


def _check_decode_heads(report: Report, settings: dict) -> None:
    """Check class weights and ignored classes of mmseg's heads."""
    for path, loss in find_key(settings.get('model'), 'loss_decode', 'model'):
        head, part = _holder(settings, path), path.rpartition('.')[0]
        number, ignored = head.get('num_classes'), head.get('ignore_index', 255)
        for one in loss if isinstance(loss, (list, tuple)) else [loss]:
            weights = one.get('class_weight')
            if isinstance(weights, (list, tuple)) and number not in (None, len(weights)):
                report.problem(
                    f'{path}: class_weight has {len(weights)} values, {part}.num_classes is '
                    f'{number}',
                    f'give one weight for each class, or --cfg-options {path}.class_weight=None',
                )
        if number and 0 <= ignored < number:
            report.note(f'{part}.ignore_index is {ignored}: nothing is learned of this class')


def _check_label_lists(report: Report, settings: dict) -> None:
    """Check that images with several labels have a multi-label head."""
    head = (settings.get('model') or {}).get('head') or {}
    if report.has_label_lists and type_name(head) in CLASSIFICATION.heads['one_class']:
        report.problem(
            f'images have several labels or none, and model.head is a {type_name(head)}, which '
            'learns one of each image',
            "use a head such as dict(type='MultiLabelLinearClsHead') and an evaluator such as "
            "dict(type='MultiLabelMetric')",
        )


def _is_other_head(settings: dict, path: str) -> bool:
    """Whether a head's ``num_classes`` need not be the classes of the data."""
    head = _holder(settings, path)
    # boundaries, the stuff of COCO beside its things, and one mask for all classes
    is_boundary = type_name(head) in SEGMENTATION.heads['boundary'] or 'boundary_threshold' in head
    return is_boundary or 'semantic_head' in path or bool(head.get('class_agnostic'))


def _holder(settings: dict, path: str) -> dict:
    """The dict in which the last name of a dotted path stands."""
    node = settings
    for name in path.split('.')[:-1]:
        node = node[int(name)] if isinstance(node, (list, tuple)) else node[name]
    return node
