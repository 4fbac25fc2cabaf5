"""Parts of a config: the data sets it names, their files and folders, and keys at any depth."""

import os
from collections.abc import Iterator
from typing import Any

from mmengine.config import Config

# the class sets of mmpretrain that read data_root/split, and those that fetch what is not there
SPLIT_FOLDERS = ('ImageNet', 'ImageNet21k')
DOWNLOADED = ('CIFAR10', 'CIFAR100', 'MNIST', 'FashionMNIST')


def find_key(node: Any, key: str, path: str = '') -> Iterator[tuple[str, Any]]:
    """Dotted path and value of all that stands under a key, at any depth."""
    if isinstance(node, dict):
        parts = node.items()
    elif isinstance(node, (list, tuple)):
        parts = enumerate(node)
    else:
        return
    for name, value in parts:
        here = f'{path}.{name}' if path else str(name)
        if name == key:
            yield here, value
        else:
            yield from find_key(value, key, here)


def leaf_datasets(dataset: dict | None) -> Iterator[dict]:
    """The configs of the data sets inside of wrappers such as RepeatDataset and ConcatDataset."""
    if not dataset:
        return
    if 'dataset' in dataset:
        yield from leaf_datasets(dataset['dataset'])
    elif 'datasets' in dataset:
        for part in dataset['datasets']:
            yield from leaf_datasets(part)
    else:
        yield dataset


def metrics_of(evaluator: Any) -> list[dict]:
    """The metrics of an evaluator: one, several, or those of an ``Evaluator`` around them."""
    if not evaluator:
        return []
    if isinstance(evaluator, dict) and evaluator.get('metrics') is not None:
        return metrics_of(evaluator['metrics'])
    return list(evaluator) if isinstance(evaluator, (list, tuple)) else [evaluator]


def missing_paths(cfg: Config, split: str) -> list[str]:
    """The files and folders that a data set names and that are not there."""
    loader = cfg.get(f'{split}_dataloader') or {}
    names = [name for leaf in leaf_datasets(loader.get('dataset')) for name in dataset_paths(leaf)]
    for metric in metrics_of(cfg.get(f'{split}_evaluator')):
        names += [metric['ann_file']] if metric.get('ann_file') else []
    # addresses of remote storage are left to MMEngine
    return [n for n in dict.fromkeys(names) if '://' not in n and not os.path.exists(n)]


def dataset_paths(dataset: dict) -> list[str]:
    """The annotation file and the folders that a data set's config names."""
    kind = type_name(dataset)
    if kind in DOWNLOADED and dataset.get('download', True):
        return []
    root = dataset.get('data_root') or ''
    prefix = dataset.get('data_prefix')
    names = list(prefix.values()) if isinstance(prefix, dict) else [prefix]
    if kind in SPLIT_FOLDERS and dataset.get('split') and not any(names):
        names = [dataset['split']]
    names.append(dataset.get('ann_file'))
    paths = [os.path.join(root, name).rstrip('/') for name in names if name]
    return paths or ([root] if root else [])


def type_name(part: dict) -> str:
    """The name of a part's class, which a config gives with or without a scope, or as the class."""
    kind = part.get('type')
    return getattr(kind, '__name__', str(kind)).rpartition('.')[2]
