"""Checks before any long work starts: the data's layout and the number of processes."""

import os
from collections.abc import Iterator
from pathlib import Path

import torch
from mmengine.config import Config

from .config import ConfigError

LAYOUTS = """The layouts are
  COCO      annotations/instances_{train,val}2017.json, train2017/, val2017/
  ADE20K    images/{training,validation}/*.jpg, annotations/{training,validation}/*.png
  ImageNet  train/<class>/*, val/<class>/*
and --data-root DIR points a config at such a folder. The built-in data set is made with
  python tools/dataset_converters/make_mini_data.py"""


def check_data(cfg: Config, splits: tuple[str, ...]) -> None:
    """Raise unless the files and folders that the data sets name are there.

    Args:
        cfg: The config.
        splits: Which data sets are needed: ``'train'``, ``'val'``, ``'test'``.

    Raises:
        ConfigError: Naming everything that is missing.
    """
    missing = [f'{s}: {path} is missing' for s in splits for path in missing_paths(cfg, s)]
    if missing:
        raise ConfigError('\n'.join([*missing, LAYOUTS]))


def missing_paths(cfg: Config, split: str) -> list[Path]:
    """The files and folders that a data set names and that are not there."""
    loader = cfg.get(f'{split}_dataloader') or {}
    paths = [path for leaf in leaf_datasets(loader.get('dataset')) for path in dataset_paths(leaf)]
    return [path for path in dict.fromkeys(paths) if not path.exists()]


def dataset_paths(dataset: dict) -> list[Path]:
    """The annotation file and the folders that a data set's config names."""
    root = Path(dataset.get('data_root') or '')
    prefix = dataset.get('data_prefix')
    names = list(prefix.values()) if isinstance(prefix, dict) else [prefix]
    if dataset.get('split') and not any(names):  # mmpretrain's ImageNet
        names = [dataset['split']]
    names.append(dataset.get('ann_file'))
    paths = [root / name for name in names if name]
    return paths or ([root] if dataset.get('data_root') else [])


def check_processes(launcher: str) -> None:
    """Raise if there are more processes on this machine than GPUs; without CUDA any number goes.

    Args:
        launcher: ``'none'``, ``'pytorch'``, ``'slurm'`` or ``'mpi'``.

    Raises:
        ConfigError: Saying what to ask for instead.
    """
    wanted = int(os.environ.get('LOCAL_WORLD_SIZE', 1)) if launcher == 'pytorch' else 1
    present = torch.cuda.device_count()
    if torch.cuda.is_available() and wanted > present:
        raise ConfigError(
            f'{wanted} GPUs were asked for, {present} {"is" if present == 1 else "are"} there; '
            f'start with {present}, or with CUDA_VISIBLE_DEVICES= to train on the CPU'
        )


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
