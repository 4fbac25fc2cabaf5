"""Building a model from a config and a checkpoint, for inference."""

import argparse
from collections.abc import Iterator, Mapping
from copy import deepcopy
from os import PathLike, fspath
from typing import Any

import torch
from mmengine.config import Config
from mmengine.logging import print_log
from mmengine.model import revert_sync_batchnorm
from mmengine.registry import DATASETS, DefaultScope
from torch import nn

from ..datasets.config_parts import leaf_datasets
from ..engine.config import SUFFIXES, load_config
from ..engine.weights import build_model, load_weights
from ..errors import ConfigError
from ..models import switch_to_deploy
from ..tasks import model_config, task_of
from .colors import class_colors
from .predictions import KINDS
from .predictor import Predictor
from .shipped import find_shipped, shipped_names


def load_model(
    config: str | PathLike | Config,
    checkpoint: str | PathLike | None = None,
    device: str | None = 'auto',
    deploy: bool = False,
    cfg_options: dict | None = None,
) -> Predictor:
    """Make a model that predicts, of any of the three tasks.

    Args:
        config: A config of mmdet, mmseg or mmpretrain, with any backbone; or the name of a model
            that is shipped with its weights (:func:`.shipped.shipped_names`).
        checkpoint: Its weights, which must fit to the last tensor. They are read safely, see
            :mod:`vminet_mm.compat.safe_load`. None for random weights, the same in every call.
        device: ``'cpu'``, ``'cuda'``, ``'cuda:1'``, ...; ``'auto'`` or None takes CUDA where it is.
        deploy: Fold every VMINet, see :func:`vminet_mm.models.switch_to_deploy`.
        cfg_options: Keys in dotted notation with the values to set in the config.

    Raises:
        ConfigError: If the config is of no known task or cannot be built, or the checkpoint does
            not fit it, or there is no such device.
        CheckpointError: If the checkpoint cannot be read safely.
    """
    if not isinstance(config, Config) and not fspath(config).endswith(SUFFIXES):
        if checkpoint is None:
            config, checkpoint = find_shipped(fspath(config))
        elif fspath(config) in shipped_names():
            raise ConfigError(f'{config} is shipped with its weights: give no {checkpoint} with it')
    cfg = deepcopy(config) if isinstance(config, Config) else load_config(config)
    if cfg_options:
        cfg.merge_from_dict(cfg_options)
    name = cfg.filename or 'the config'
    scope = task_of(cfg, name).scope
    target = choose_device(device)
    with DefaultScope.overwrite_default_scope(scope):
        model = _build(cfg, name)
        meta = load_weights(model, checkpoint, name) if checkpoint is not None else {}
        classes, palette = dataset_meta(cfg, scope, meta, number_of_classes(model))
        if deploy and not switch_to_deploy(model):
            raise ConfigError(f'the model of {name} has no VMINet that could be folded')
        colors = class_colors(len(classes), palette)
        return Predictor(KINDS[scope], model.to(target).eval(), cfg, classes, colors)


def choose_device(name: str | None) -> torch.device:
    """The device of a name, tried out; ``'auto'`` or None is CUDA where it is, else the CPU.

    Raises:
        ConfigError: If it is unknown or absent.
    """
    if name in ('auto', None):
        return torch.device('cuda' if torch.cuda.is_available() else 'cpu')
    try:
        torch.zeros(1, device=name).item()
    except (AssertionError, NotImplementedError, RuntimeError):
        number = torch.cuda.device_count()
        there = ', '.join(['cpu', *(f'cuda:{k}' for k in range(number))])
        raise ConfigError(f'there is no device {name} here; there are: {there}') from None
    return torch.device(name)


def add_device(parser: argparse.ArgumentParser) -> None:
    """Add the switch ``--device``, see :func:`choose_device`."""
    parser.add_argument(
        '--device', default='auto', help='cpu, cuda or cuda:N; by default CUDA where there is one'
    )


def _build(cfg: Config, name: str) -> nn.Module:
    """The model with random weights, the same in every call: ``init_cfg`` is not followed."""
    if not cfg.get('model') or not cfg.get('test_dataloader'):
        raise ConfigError(f'{name} has no model or no test_dataloader, so it cannot predict')
    cfg.model = model_config(cfg)
    with torch.random.fork_rng([]):
        torch.manual_seed(0)
        model = build_model(cfg.model, cfg.default_scope, f'the model of {name}')
    return revert_sync_batchnorm(model)


def dataset_meta(
    cfg: Config, scope: str, checkpoint_meta: Mapping[str, Any], number: int
) -> tuple[tuple[str, ...], Any]:
    """The names of a model's classes and their palette, or None.

    Taken from the checkpoint, else from ``metainfo`` of the config's test data set, else from the
    class of that data set: from the first that has the right number of names.
    """
    found = list(_metas(cfg, scope, checkpoint_meta))
    counts = [len(meta.get('classes') or ()) for meta in found]
    number = number or next((count for count in counts if count), 0)
    if number not in counts:
        print_log(
            f'neither checkpoint nor config has the names of the {number} classes; they are '
            'numbered',
            logger='current',
        )
    names = next((m['classes'] for m in found if len(m.get('classes') or ()) == number), None)
    palette = next((m['palette'] for m in found if len(m.get('palette') or ()) == number), None)
    if names is None:
        names = [f'class {k}' for k in range(number)]
    return tuple(str(name) for name in names), palette


def _metas(cfg: Config, scope: str, checkpoint_meta: Mapping[str, Any]) -> Iterator[dict]:
    """The ``metainfo`` of each source, the best one first, with lower-case keys."""
    dataset = next(leaf_datasets(cfg.test_dataloader.dataset), {})
    with DATASETS.switch_scope_and_registry(scope) as registry:
        kind = dataset.get('type')
        kind = registry.get(kind) if isinstance(kind, str) else kind
    sources = (
        checkpoint_meta.get('dataset_meta'),
        checkpoint_meta,  # CLASSES and PALETTE of older versions
        dataset.get('metainfo'),
        getattr(kind, 'METAINFO', None),
    )
    for source in sources:
        if isinstance(source, Mapping):
            lower = {str(key).lower(): value for key, value in source.items()}
            yield {k: v for k, v in lower.items() if isinstance(v, (list, tuple))}


def number_of_classes(model: nn.Module) -> int:
    """The largest ``num_classes`` of the heads (an RPN has 1); 0 if no head has it."""
    counts = [getattr(m, 'num_classes', None) for n, m in model.named_modules() if 'head' in n]
    return max((number for number in counts if isinstance(number, int)), default=0)
