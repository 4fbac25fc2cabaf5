"""A run's checkpoint on its validation images: metrics, values by class, best and worst images."""

import logging
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout
from copy import deepcopy
from dataclasses import dataclass
from io import StringIO
from pathlib import Path
from typing import Any

import numpy as np
import torch
from mmengine.config import Config
from mmengine.dataset import pseudo_collate
from mmengine.evaluator import Evaluator
from mmengine.logging import MMLogger
from mmengine.registry import DATASETS, EVALUATOR, DefaultScope
from mmengine.structures import BaseDataElement
from tqdm import tqdm

from ...compat.patching import temporarily
from ...datasets.config_parts import metrics_of, type_name
from ...datasets.pictures import to_picture
from ...engine import require_data
from ...errors import ConfigError
from ...inference import Frame, Predictor, load_model
from ...inference.heads import tells_many_classes
from ...inference.predictions import SCORE_THR
from ...tasks import CLASSIFICATION, DETECTION
from .examples import MANY_CLASSES, MEASURES, Example, make_example, score_sample
from .work_dir import ClassTable, read_class_tables

SHOWN = 6  # best and worst images, each


@dataclass(frozen=True)
class Scored:
    """A prediction for an image of the data set."""

    score: float
    index: int
    sample: BaseDataElement


@dataclass(frozen=True)
class Predictions:
    """What a checkpoint predicts for validation images.

    Attributes:
        checkpoint: The file.
        parameters: Of the model.
        images: How many images were predicted for.
        available: How many the data set has.
        metrics: What the evaluator of the config says of these images.
        tables: Values by class of these images.
        measure: What the images are ranked by.
        best: Images, the best one first.
        worst: Images, the worst one first; none is among the best.
    """

    checkpoint: str
    parameters: int
    images: int
    available: int
    metrics: dict[str, float]
    tables: list[ClassTable]
    measure: str
    best: list[Example]
    worst: list[Example]


def predict(cfg: Config, checkpoint: str | Path, number: int, device: str = 'auto') -> Predictions:
    """Predict for images that are evenly spread over the validation set.

    Raises:
        ConfigError: If the data are missing, or the checkpoint does not fit.
        CheckpointError: If the checkpoint cannot be read safely.
    """
    if not cfg.get('val_dataloader') or not cfg.get('val_evaluator'):
        raise ConfigError('the config has no val_dataloader or no val_evaluator')
    require_data(cfg, ('val',))
    predictor = load_model(cfg, checkpoint, device)
    scope = cfg.default_scope
    with DefaultScope.overwrite_default_scope(scope):
        with redirect_stdout(StringIO()):  # pycocotools prints its progress
            dataset = DATASETS.build(deepcopy(cfg.val_dataloader.dataset))
            evaluator = _make_evaluator(cfg, dataset.metainfo)
        # the ground truth counts in the classes of the data set
        names = tuple(dataset.metainfo.get('classes') or ())
        predictor.classes = names if len(names) == len(predictor.classes) else predictor.classes
        chosen = _choose(number, len(dataset))
        labels = _Labels()
        ordered: list[Scored] = []
        for one in _scored(predictor, scope, dataset, chosen, evaluator, labels):
            # of all images only those are kept that may be shown
            ordered = sorted([*ordered, one], key=lambda one: (one.score, one.index))
            del ordered[SHOWN:-SHOWN]
        metrics, tables = _evaluate(evaluator, len(chosen))
    half = len(ordered) // 2
    return Predictions(
        checkpoint=str(checkpoint),
        parameters=sum(p.numel() for p in predictor.model.parameters()),
        images=len(chosen),
        available=len(dataset),
        metrics=metrics,
        tables=tables or labels.table(predictor.classes),
        measure=MANY_CLASSES if tells_many_classes(predictor.model) else MEASURES[scope],
        best=[_example(predictor, dataset, one) for one in reversed(ordered[half:])],
        worst=[_example(predictor, dataset, one) for one in ordered[:half]],
    )


def _choose(number: int, available: int) -> list[int]:
    """Indices of images that are evenly spread over the data set."""
    if not available:
        raise ConfigError('the validation set has no image')
    return np.linspace(0, available - 1, min(number, available)).round().astype(int).tolist()


class _Labels:
    """Counts, class by class, how often a classifier is right, multi-label ones included."""

    def __init__(self) -> None:
        self.right: Counter[int] = Counter()
        self.wanted: Counter[int] = Counter()
        self.found: Counter[int] = Counter()

    def add(self, sample: BaseDataElement) -> None:
        """Count the classes of a sample with predictions and ground truth."""
        found, wanted = set(sample.pred_label.tolist()), set(sample.gt_label.tolist())
        self.found.update(found)
        self.wanted.update(wanted)
        self.right.update(found & wanted)

    def table(self, classes: tuple[str, ...]) -> list[ClassTable]:
        """Recall and precision of each class, in percent."""
        if not self.wanted:
            return []
        rows = [
            (
                name.split(',')[0],
                [100 * self.right[k] / n[k] if n[k] else None for n in (self.wanted, self.found)],
            )
            for k, name in enumerate(classes)
        ]
        return [ClassTable('', ['accuracy', 'precision'], rows)]


def _make_evaluator(cfg: Config, metainfo: dict) -> Evaluator:
    """The config's evaluator, which is to log values by class."""
    part = deepcopy(cfg.val_evaluator)
    for metric in metrics_of(part):
        if type_name(metric) == 'CocoMetric':
            metric['classwise'] = True
    is_whole = isinstance(part, dict) and part.get('metrics') is not None
    evaluator = EVALUATOR.build(part) if is_whole else Evaluator(part)
    evaluator.dataset_meta = metainfo
    return evaluator


@torch.no_grad()
def _scored(
    predictor: Predictor,
    scope: str,
    dataset: Any,
    chosen: list[int],
    evaluator: Evaluator,
    labels: _Labels,
) -> Iterator[Scored]:
    """Predict for images of a data set one by one, and pass each to the evaluator."""
    image_ids, tells_many = [], tells_many_classes(predictor.model)
    for index in tqdm(chosen, desc='predicting', disable=None):
        batch = pseudo_collate([dataset[index]])
        (sample,) = predictor.model.test_step(batch)
        evaluator.process(data_samples=[sample], data_batch=batch)
        sample.pop('seg_logits', None)  # some 200 MB of 150 classes at 480 x 640
        sample = sample.cpu()
        image_ids.append(sample.get('img_id'))
        if scope == DETECTION.scope:
            sample.pred_instances = sample.pred_instances[sample.pred_instances.scores >= SCORE_THR]
        elif scope == CLASSIFICATION.scope:
            labels.add(sample)
        score = score_sample(scope, sample, dataset.get_data_info(index), tells_many)
        yield Scored(score, index, sample)
    for metric in evaluator.metrics:
        if hasattr(metric, 'img_ids'):
            metric.img_ids = image_ids  # or the images that were not chosen count as missed


def _evaluate(evaluator: Evaluator, number: int) -> tuple[dict[str, float], list[ClassTable]]:
    """What an evaluator returns, and the tables by class that it logs."""
    with _listening() as lines, redirect_stdout(StringIO()):
        metrics = evaluator.evaluate(number)
    single = {name: float(value) for name, value in metrics.items() if np.ndim(value) == 0}
    return single, read_class_tables('\n'.join(lines))


@contextmanager
def _listening() -> Iterator[list[str]]:
    """The lines that are logged, in place of being printed."""
    logger, lines, handler = MMLogger.get_current_instance(), [], logging.Handler()
    handler.emit = lambda record: lines.append(record.getMessage())
    with temporarily(logger, handlers=[handler]):
        yield lines


def _example(predictor: Predictor, dataset: Any, one: Scored) -> Example:
    info = dataset.get_data_info(one.index)
    path = Path(info['img_path'])
    frame = Frame(path.name, image=to_picture(predictor.read(path)))
    prediction = predictor.kind(frame, one.sample, predictor.classes, predictor.colors)
    return make_example(one.score, prediction, info)
