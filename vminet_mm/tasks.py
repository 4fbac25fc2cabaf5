"""Detection, segmentation and classification: what differs between them, in one table."""

from collections.abc import Mapping
from copy import deepcopy
from dataclasses import dataclass, field
from pathlib import Path
from pkgutil import resolve_name
from typing import Any, NamedTuple

from .errors import ConfigError

MINI_ROOT = 'data/mini'  # of the built-in data, which hold every layout in a folder of its own


class Split(NamedTuple):
    """Where the images and labels of a training or validation set lie, below the data root.

    Attributes:
        images: Folder of the images.
        labels: File or folder of the labels; None where folders of images are the labels.
    """

    images: str
    labels: str | None = None


@dataclass(frozen=True)
class Layout:
    """How a data set lies on disk.

    Attributes:
        name: The data set that it is known from.
        root: Where the configs look for it.
        mini: Its folder in the built-in data.
        train: The training set.
        val: The validation set.
        files: What lies in the folders of images, as a pattern.
        label_files: What lies in the folder of labels, as a pattern; empty for a single file.
    """

    name: str
    root: str
    mini: str
    train: Split
    val: Split
    files: str
    label_files: str = ''

    def folders(self, root: Path, split: str) -> tuple[Path, Path]:
        """Where images and labels of ``'train'`` or ``'val'`` lie below a data root."""
        images, labels = {'train': self.train, 'val': self.val}[split]
        return root / images, root / (labels or images)

    def parts(self) -> list[str]:
        """All files and folders that must be there, relative to the data root."""
        return [part for split in (self.train, self.val) for part in split if part]

    def describe(self) -> str:
        """The layout in one line."""
        parts = [f'{split.images}/{self.files}' for split in (self.train, self.val)]
        ending = f'/{self.label_files}' if self.label_files else ''
        parts += [f'{split.labels}{ending}' for split in (self.train, self.val) if split.labels]
        return f'{self.name:8}  {", ".join(parts)}'


@dataclass(frozen=True, eq=False)
class Task:
    """One of the three tasks.

    Attributes:
        name: ``'detection'``, ``'segmentation'`` or ``'classification'``.
        scope: The library and its registry scope, ``default_scope`` of a config.
        distributions: What pip installs for the library: as published, and OneDL's fork.
        needs: Packages beside mmcv without which the library cannot be imported.
        sample: Class of a data sample, as ``'module:name'``.
        image_size: Height and width in pixels at which papers state MACs.
        metrics: What papers compare, the one that ranks checkpoints first.
        layout: Of its data sets on disk.
        dump: Type of the metric that keeps predictions in a file.
        preprocessor: Type of the data preprocessor where a config names none.
        heads: Kinds of heads, by their output or their part of a model, that are checked or
            exported in a way of their own.
        exported: Outputs of an exported file that the metrics need.
    """

    name: str
    scope: str
    distributions: tuple[str, str]
    needs: tuple[str, ...]
    sample: str
    image_size: tuple[int, int]
    metrics: tuple[str, ...]
    layout: Layout
    dump: str
    preprocessor: str
    exported: tuple[str, ...]
    heads: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    def make_sample(self, **metainfo: Any) -> Any:
        """An empty data sample with this metainfo; imports the library."""
        return resolve_name(self.sample)(metainfo=metainfo)


DETECTION = Task(
    name='detection',
    scope='mmdet',
    distributions=('mmdet', 'onedl-mmdetection'),
    needs=('pycocotools',),
    sample='mmdet.structures:DetDataSample',
    image_size=(800, 1280),
    metrics=('coco/bbox_mAP', 'coco/segm_mAP'),
    layout=Layout(
        name='COCO',
        root='data/coco',
        mini='coco',
        train=Split('train2017', 'annotations/instances_train2017.json'),
        val=Split('val2017', 'annotations/instances_val2017.json'),
        files='*.jpg',
    ),
    dump='DumpDetResults',
    preprocessor='ImgDataPreprocessor',
    exported=('boxes', 'scores', 'labels'),
    heads=dict(
        dense=('RPNHead', 'RetinaHead', 'FCOSHead', 'ATSSHead', 'GFLHead'),
        region=('StandardRoIHead', 'CascadeRoIHead'),
        box=('Shared2FCBBoxHead', 'Shared4Conv1FCBBoxHead', 'ConvFCBBoxHead', 'BBoxHead'),
        mask=('FCNMaskHead',),
    ),
)
SEGMENTATION = Task(
    name='segmentation',
    scope='mmseg',
    distributions=('mmsegmentation', 'onedl-mmsegmentation'),
    needs=(),
    sample='mmseg.structures:SegDataSample',
    image_size=(512, 512),
    metrics=('mIoU',),
    layout=Layout(
        name='ADE20K',
        root='data/ade/ADEChallengeData2016',
        mini='ade',
        train=Split('images/training', 'annotations/training'),
        val=Split('images/validation', 'annotations/validation'),
        files='*.jpg',
        label_files='*.png',
    ),
    dump='DumpResults',
    preprocessor='ImgDataPreprocessor',
    exported=('logits',),
    heads=dict(boundary=('STDCHead',)),
)
CLASSIFICATION = Task(
    name='classification',
    scope='mmpretrain',
    distributions=('mmpretrain', 'onedl-mmpretrain'),
    needs=(),
    sample='mmpretrain.structures:DataSample',
    image_size=(224, 224),
    metrics=('accuracy/top1',),
    layout=Layout(
        name='ImageNet',
        root='data/imagenet',
        mini='imagenet',
        train=Split('train'),
        val=Split('val'),
        files='<class>/*',
    ),
    dump='DumpResults',
    preprocessor='ClsDataPreprocessor',
    exported=('probabilities',),
    heads=dict(
        one_class=(  # a softmax over the classes
            *('ClsHead', 'LinearClsHead', 'StackedLinearClsHead', 'VisionTransformerClsHead'),
        ),
        each_class=('MultiLabelClsHead',),
    ),
)

TASKS = (DETECTION, SEGMENTATION, CLASSIFICATION)
SCOPES = {task.scope: task for task in TASKS}
SCOPES_TEXT = "'{}' ({}), '{}' ({}) or '{}' ({})".format(
    *(word for task in TASKS for word in (task.scope, task.name))
)
LAYOUTS_TEXT = '\n'.join(f'  {task.layout.describe()}' for task in TASKS)
SIZES_TEXT = ', '.join('{} {} ({})'.format(*task.image_size, task.name) for task in TASKS)
MAIN_METRICS = tuple(metric for task in TASKS for metric in task.metrics)


def task_of(cfg: Mapping[str, Any], name: str = 'the config') -> Task:
    """The task of a config, which an error calls by a name.

    Raises:
        ConfigError: If its ``default_scope`` is none of the three libraries.
    """
    scope = cfg.get('default_scope')
    if scope not in SCOPES:
        raise ConfigError(f'{name} has default_scope {scope!r}; it must be one of {SCOPES_TEXT}')
    return SCOPES[scope]


def model_config(cfg: Mapping[str, Any]) -> dict[str, Any]:
    """A copy of a config's model with its ``data_preprocessor``, which mmpretrain puts beside it.

    If both have one, the model's counts, as in MMEngine's runner. Empty if there is no model.
    """
    model = deepcopy(cfg.get('model') or {})
    if cfg.get('data_preprocessor'):
        model.setdefault('data_preprocessor', deepcopy(cfg['data_preprocessor']))
    return model
