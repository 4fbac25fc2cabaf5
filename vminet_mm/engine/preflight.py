"""Checks before any long work starts: the data's layout and the number of processes."""

import os
from collections.abc import Iterator

import torch
from mmengine.config import Config

from ..errors import ConfigError

# what each sets for the processes that it starts
LAUNCHERS = dict(pytorch='RANK', slurm='SLURM_PROCID', mpi='OMPI_COMM_WORLD_LOCAL_RANK')
LOCAL_RANKS = ('LOCAL_RANK', 'SLURM_LOCALID', 'OMPI_COMM_WORLD_LOCAL_RANK')

# the class sets of mmpretrain that read data_root/split, and those that fetch what is not there
SPLIT_FOLDERS = ('ImageNet', 'ImageNet21k')
DOWNLOADED = ('CIFAR10', 'CIFAR100', 'MNIST', 'FashionMNIST')

LAYOUTS = """The layouts are
  COCO      annotations/instances_{train,val}2017.json, train2017/, val2017/
  ADE20K    images/{training,validation}/*.jpg, annotations/{training,validation}/*.png
  ImageNet  train/<class>/*, val/<class>/*
and --data-root DIR points a config at such a folder. The built-in data set is made with
  python tools/dataset_converters/make_mini_data.py"""


def require_data(cfg: Config, splits: tuple[str, ...]) -> None:
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


def missing_paths(cfg: Config, split: str) -> list[str]:
    """The files and folders that a data set names and that are not there."""
    loader = cfg.get(f'{split}_dataloader') or {}
    names = [name for leaf in leaf_datasets(loader.get('dataset')) for name in dataset_paths(leaf)]
    evaluator = cfg.get(f'{split}_evaluator') or []
    for metric in evaluator if isinstance(evaluator, (list, tuple)) else [evaluator]:
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


def local_rank() -> int:
    """Number of this process on its machine, as torchrun, Slurm or Open MPI gives it; else 0."""
    given = (os.environ.get(variable) for variable in LOCAL_RANKS)
    return next((int(rank) for rank in given if rank), 0)


def check_processes(launcher: str) -> None:
    """Raise if a launcher is named that did not start this process, or if there are more processes
    on this machine than GPUs; without CUDA any number goes.

    Args:
        launcher: ``'none'``, ``'pytorch'``, ``'slurm'`` or ``'mpi'``.

    Raises:
        ConfigError: Saying what to ask for instead.
    """
    told = LAUNCHERS.get(launcher)
    if told and told not in os.environ:
        raise ConfigError(
            f'--launcher {launcher}: it did not start this process ({told} is not set); start '
            'with tools/dist_train.sh or tools/slurm_train.sh, or leave out --launcher'
        )
    variable = dict(pytorch='LOCAL_WORLD_SIZE', slurm='SLURM_NTASKS_PER_NODE').get(launcher, '')
    wanted = os.environ.get(variable, '1')
    wanted = int(wanted) if wanted.isdecimal() else 1
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


def type_name(part: dict) -> str:
    """The name of a part's class, which a config gives with or without a scope, or as the class."""
    kind = part.get('type')
    return getattr(kind, '__name__', str(kind)).rpartition('.')[2]
