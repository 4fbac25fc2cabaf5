"""Loading a config and applying the switches that all tools share."""

import os
import traceback
from collections.abc import Callable, Collection
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from mmengine.config import Config
from mmengine.registry import MODELS, OPTIMIZERS

from ..compat.own_configs import PREFIX
from ..datasets.config_parts import find_key
from ..errors import ConfigError, error_text
from ..files import shipped
from ..tasks import SCOPES_TEXT

LOADERS = ('train_dataloader', 'val_dataloader', 'test_dataloader')
EVALUATORS = ('val_evaluator', 'test_evaluator')
# of mmdet and mmseg; they read the names of the parameters of ConvNeXt, BEiT and the like
_NAMED_BACKBONES_ONLY = (
    'LearningRateDecayOptimizerConstructor',
    'LayerDecayOptimizerConstructor',
)
SUFFIXES = ('.py', '.json', '.yaml', '.yml')


def load_config(
    path: str | Path,
    cfg_options: dict | None = None,
    data_root: str | None = None,
    work_dir: str | None = None,
) -> Config:
    """Read a config and apply overrides.

    Args:
        path: The config file; see :func:`find_config`.
        cfg_options: Keys in dotted notation with their values, as from ``--cfg-options``.
        data_root: See :func:`set_data_root`.
        work_dir: Where the run writes; by default ``work_dirs/`` and the name of the config.

    Raises:
        ConfigError: If the file or folder does not exist, is not a config, or the options do not
            fit.
    """
    path = find_config(path)
    cfg = _read(path)
    if data_root is not None:
        set_data_root(cfg, os.path.expandvars(os.path.expanduser(data_root)))
    try:
        cfg.merge_from_dict(cfg_options or {})
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise ConfigError(f'--cfg-options do not fit {path}: {error_text(error)}') from error
    if work_dir is not None:
        cfg.work_dir = work_dir
    elif cfg.get('work_dir') is None:
        cfg.work_dir = f'./work_dirs/{path.stem}'
    if Path(cfg.work_dir).is_file():
        raise ConfigError(f'--work-dir {cfg.work_dir} is a file; give a folder')
    for key in LOADERS:
        loader = cfg.get(key)
        if loader and loader.get('num_workers') == 0:
            loader['persistent_workers'] = False  # torch refuses the pair
    return cfg


def find_config(path: str | Path) -> Path:
    """The path of a config.

    One that comes with the package is found from any folder, as ``configs/mask_rcnn/...`` or
    ``vminet_mm::mask_rcnn/...``.
    """
    name = str(path)
    if name.startswith(PREFIX):
        return shipped(f'configs/{name.removeprefix(PREFIX)}')
    if name.startswith('configs/') and not Path(name).exists() and shipped(name).exists():
        return shipped(name)
    return Path(path)


def _shipped() -> str:
    """Where to find the list of configs."""
    return 'configs/' if Path('configs').is_dir() else str(shipped('configs'))


def _read(path: Path) -> Config:
    """Read a config; an error names the file that it is in."""
    if path.is_dir():
        raise ConfigError(f'{path} is a folder; give a config in it')
    if not path.is_file():
        raise ConfigError(f'there is no config {path}; those shipped are in {_shipped()}')
    if path.suffix not in SUFFIXES:
        raise ConfigError(f'{path} is not a config: names end with {", ".join(SUFFIXES)}')
    try:
        return Config.fromfile(path)
    except Exception as error:  # a config is a program
        raise ConfigError(_why_unreadable(path, error)) from error


def _why_unreadable(path: Path, error: Exception) -> str:
    """What is wrong with a config, and in which of its base files."""
    if isinstance(error, RecursionError):
        return f'{path}: its _base_ files go round in a circle: {_circle(path)}'
    file = _faulty_file(path)
    frames = traceback.walk_tb(error.__traceback__)
    lines = [line for frame, line in frames if frame.f_code.co_filename == str(file)]
    line = getattr(error, 'lineno', None) or next(reversed(lines), None)
    where = str(file) if file.absolute() == path.absolute() else f'{file}, inherited by {path}'
    return f'{where}{f", line {line}" if line else ""}: {error_text(error)}'


def _faulty_file(path: Path) -> Path:
    """The file that cannot be read although all of its bases can."""
    for base in _bases(path):
        try:
            Config.fromfile(base)
        except Exception:
            return _faulty_file(base)
    return path


def _circle(path: Path) -> str:
    """The chain of ``_base_`` by which a config inherits from itself."""
    chains = [[path]]
    while chains:
        chain = chains.pop()
        if chain[-1].resolve() in [file.resolve() for file in chain[:-1]]:
            return ' -> '.join(map(str, chain))
        chains += [[*chain, base] for base in _bases(chain[-1])]
    return f'{path} -> ... -> {path}'  # of imports, which MMEngine keeps to itself


def _bases(path: Path) -> list[Path]:
    """The files in a config's ``_base_``; none where that cannot be read."""
    try:
        names = Config._get_base_files(str(path))
        return [Path(Config._get_cfg_path(name, str(path))[0]) for name in names]
    except Exception:
        return []


def require_parts(cfg: Config, names: Collection[str]) -> None:
    """Raise ConfigError unless a config has these parts, and a scope that exists."""
    absent = [name for name in names if not cfg.get(name)]
    if absent:
        raise ConfigError(
            f'{cfg.filename or "the config"} has no {", ".join(absent)}; inherit what it lacks '
            'from a config in configs/, with _base_'
        )
    scope = cfg.get('default_scope')
    is_known = scope is None or MODELS._search_child(scope) is not None
    if not is_known and not (str(scope).isidentifier() and find_spec(scope)):
        raise ConfigError(
            f'default_scope is {scope!r}, and there is no such package; '
            f'it must be {SCOPES_TEXT}, installed with pip'
        )


def require_optimizer(cfg: Config) -> None:
    """Raise ConfigError unless a config's optimizer exists; MMEngine's error does not name it."""
    kind = (cfg.optim_wrapper.get('optimizer') or {}).get('type')
    with OPTIMIZERS.switch_scope_and_registry(cfg.get('default_scope')) as registry:
        if isinstance(kind, str) and registry.get(kind) is None:
            raise ConfigError(
                f'optim_wrapper.optimizer.type is {kind!r}, and there is no such optimizer; '
                'take AdamW, SGD or another one of torch.optim'
            )
    constructor = cfg.optim_wrapper.get('constructor')
    backbone = cfg.model.get('backbone') or {}
    if constructor in _NAMED_BACKBONES_ONLY and str(backbone.get('type')).endswith('VMINet'):
        raise ConfigError(
            f'optim_wrapper.constructor {constructor!r} does not support VMINet; write '
            "constructor='LayerDecayOptimWrapperConstructor' and "
            'paramwise_cfg=dict(layer_decay_rate=0.9)'
        )


def part_being_built(error: BaseException) -> str | None:
    """The ``type`` of the config entry whose construction raised an error, or None."""
    # MMEngine's errors do not name it, and its registries have no hook for it
    parts = [
        frame.f_locals.get('obj_type')
        for frame, _ in traceback.walk_tb(error.__traceback__)
        if frame.f_code.co_name == 'build_from_cfg'
    ]
    return str(getattr(parts[-1], '__name__', parts[-1])) if parts else None


def set_data_root(cfg: Config, data_root: str) -> None:
    """Point every data set and evaluator of a config at another folder of the same layout.

    Raises:
        ConfigError: If there is no such folder, or the config has no ``data_root`` to replace.
    """
    if not Path(data_root).is_dir():
        raise ConfigError(f'there is no folder {data_root} for --data-root')
    parts = [cfg[key] for key in (*LOADERS, *EVALUATORS) if cfg.get(key)]
    roots = [root for part in parts for _, root in find_key(part, 'data_root')]
    old_roots = {root.rstrip('/') for root in roots if root} - {''}
    if not old_roots:
        raise ConfigError('--data-root: no data set of the config has a data_root to replace')
    new_root = data_root.rstrip('/') or '/'

    def moved(value: Any) -> Any:
        """A path below the new root if it lies below one of the old."""
        for old in sorted(old_roots, key=len, reverse=True) if isinstance(value, str) else ():
            if value.rstrip('/') == old:
                return new_root
            if value.startswith(old + '/'):
                return f'{new_root}/{value[len(old) + 1 :]}'
        return value

    for part in parts:
        _replace_leaves(part, moved)


def _replace_leaves(node: Any, function: Callable[[Any], Any]) -> Any:
    """Apply a function to every leaf of nested dicts and lists, in place."""
    if isinstance(node, dict):
        for key, value in node.items():
            node[key] = _replace_leaves(value, function)
        return node
    if isinstance(node, list):
        node[:] = [_replace_leaves(value, function) for value in node]
        return node
    if isinstance(node, tuple):
        return tuple(_replace_leaves(value, function) for value in node)
    return function(node)
