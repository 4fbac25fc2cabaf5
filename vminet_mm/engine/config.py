"""Loading a config and applying the switches that all tools share."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from mmengine.config import Config

LOADERS = ('train_dataloader', 'val_dataloader', 'test_dataloader')
EVALUATORS = ('val_evaluator', 'test_evaluator')


class ConfigError(ValueError):
    """A config, or the data or machine it asks for, is not as it must be."""


def load_config(
    path: str | Path,
    cfg_options: dict | None = None,
    data_root: str | None = None,
    work_dir: str | None = None,
) -> Config:
    """Read a config and apply overrides.

    Args:
        path: The config file.
        cfg_options: Keys in dotted notation with their values, as from ``--cfg-options``.
        data_root: See :func:`set_data_root`.
        work_dir: Where the run writes; by default ``work_dirs/`` and the name of the config.

    Raises:
        ConfigError: If there is no such file or folder.
    """
    path = Path(path)
    if not path.is_file():
        raise ConfigError(f'there is no config {path}; those shipped are in configs/')
    cfg = Config.fromfile(path)
    if data_root is not None:
        set_data_root(cfg, data_root)
    if cfg_options:
        cfg.merge_from_dict(cfg_options)
    if work_dir is not None:
        cfg.work_dir = work_dir
    elif cfg.get('work_dir') is None:
        cfg.work_dir = f'./work_dirs/{path.stem}'
    for key in LOADERS:
        loader = cfg.get(key)
        if loader and loader.get('num_workers') == 0:
            loader['persistent_workers'] = False  # torch refuses the pair
    return cfg


def set_data_root(cfg: Config, data_root: str) -> None:
    """Point every data set and evaluator of a config at another folder of the same layout.

    Args:
        cfg: The config, changed in place.
        data_root: The folder.

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
        for old in sorted(old_roots, key=len, reverse=True) if isinstance(value, str) else ():
            if value.rstrip('/') == old:
                return new_root
            if value.startswith(old + '/'):
                return f'{new_root}/{value[len(old) + 1 :]}'
        return value

    for part in parts:
        _replace_leaves(part, moved)


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
