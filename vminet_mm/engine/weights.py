"""Whether checkpoints fit the model, checked before any long work starts."""

import re
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from os import PathLike
from typing import Any

from mmengine.config import Config
from mmengine.registry import MODELS, DefaultScope
from mmengine.runner import CheckpointLoader
from mmengine.runner.checkpoint import _load_checkpoint_to_model
from torch import nn

from ..checkpoints import check_fit, fit_peer, not_finite, read_checkpoint
from ..checkpoints.formats import STRIDE_DEFAULTS, read_options
from ..checkpoints.peers import FORMATS as PEERS
from ..errors import CheckpointError, ConfigError, error_text, one_line
from ..models import VMINet
from .config import part_being_built

SHOWN = 500  # characters of a list of tensors
# what building from a config raises where the config is wrong
BUILD_ERRORS = (AssertionError, AttributeError, ImportError, KeyError, TypeError, ValueError)


def build_model(cfg: dict, scope: str | None, name: str = 'the model') -> nn.Module:
    """Build a model, or a part of one, in a scope; ``name`` is what an error calls it.

    Raises:
        ConfigError: If it cannot be built.
    """
    try:
        with DefaultScope.overwrite_default_scope(scope):
            return MODELS.build(cfg)
    except BUILD_ERRORS as error:
        part = part_being_built(error)
        raise ConfigError(f'{name} cannot be built: {part}: {error_text(error)}') from error


def pretrained_entries(init_cfg: dict | list[dict] | None) -> list[dict]:
    """The entries of an ``init_cfg`` that name a checkpoint."""
    entries = init_cfg if isinstance(init_cfg, (list, tuple)) else [init_cfg]
    return [e for e in entries if isinstance(e, dict) and e.get('type') == 'Pretrained']


def require_fit(cfg: Config, checkpoints: Iterable[dict[str, Any]]) -> None:
    """Raise unless checkpoints fit the backbone, if that is a VMINet or one of its peers.

    MMEngine looks at a checkpoint when all data are read, and of ``load_from`` and ``--resume`` it
    leaves out what does not fit, in a warning.

    Args:
        cfg: The config.
        checkpoints: ``checkpoint`` of each, and ``prefix`` and ``ema`` if there are any, as in an
            ``init_cfg``; ``whole=True`` for one of a whole model, which MMEngine loads by name.

    Raises:
        CheckpointError: If one cannot be read, or does not fit.
        ConfigError: If there is no such file, the backbone cannot be built, or a checkpoint is of
            a backbone alone where a whole model's is needed.
    """
    backbone = cfg.model.get('backbone') or {}
    kind = str(backbone.get('type')).rpartition('.')[2]
    if kind != VMINet.__name__ and kind not in PEERS:
        return
    sources = [source for source in checkpoints if source.get('checkpoint')]
    if not sources:
        return
    config = {k: v for k, v in backbone.items() if k != 'init_cfg'}
    model = build_model(config, cfg.get('default_scope'), 'the backbone')
    for source in sources:
        try:
            path, prefix, ema = (source.get(key) for key in ('checkpoint', 'prefix', 'ema'))
            if kind in PEERS:
                checkpoint = fit_peer(model, path, prefix, bool(ema))
            else:
                checkpoint = read_checkpoint(path, bool(ema), prefix)
                check_fit(model, checkpoint)
            if source.get('whole'):
                _require_whole(checkpoint.source, checkpoint.backbone)
        except FileNotFoundError:
            raise ConfigError(f'there is no checkpoint {source["checkpoint"]}') from None


def _require_whole(source: str, backbone: Iterable[str]) -> None:
    """Raise unless the checkpoint has the backbone under the names of the whole model."""
    content = CheckpointLoader.load_checkpoint(source, 'cpu')
    state = content.get('state_dict', content)
    names = {re.sub(r'^module\.', '', name) for name in state if isinstance(name, str)}
    if not names >= {f'backbone.{name}' for name in backbone}:
        raise ConfigError(
            f'{source}: this holds a backbone, and load_from and --resume take a whole '
            f"model's checkpoint: start with --pretrained {source} (init_cfg)"
        )


def check_content(model: nn.Module, content: Any, path: str | PathLike, name: str) -> None:
    """Raise if a checkpoint is invalid or has other options, which tensor shapes do not show.

    Raises:
        ConfigError: If it holds no state dict, or was trained with another mask or other strides.
        CheckpointError: If it has NaN or infinite weights.
    """
    if not isinstance(content, Mapping):
        raise ConfigError(f'{path} holds a {type(content).__name__}, no state dict')
    known = read_options(content)
    backbones = [m for m in model.modules() if isinstance(m, VMINet)] if known else []
    problems = [text for backbone in backbones for text in _option_problems(backbone, known)]
    if problems:
        raise ConfigError(f'{path} does not fit {name}: {"; ".join(problems)}')
    state = content.get('state_dict', content)
    bad = not_finite(state) if isinstance(state, Mapping) else []
    if bad:
        raise CheckpointError(f'{path}: {bad[0]}')


def _option_problems(backbone: VMINet, known: Mapping) -> Iterator[str]:
    """Sentences on the options of a checkpoint that are not those of the backbone."""
    has_mask = backbone.attn_cfg['attention'] != 'none'
    stem, *stages = backbone.strides
    options = {**backbone.attn_cfg, 'stem_stride': stem, 'strides': tuple(stages)}
    for option, value in {**STRIDE_DEFAULTS, **known}.items():
        is_stride = option in STRIDE_DEFAULTS
        value = tuple(value) if option == 'strides' else value
        if (is_stride or has_mask) and options[option] != value:
            yield f'{option} is {value!r} in the checkpoint and {options[option]!r} in the model'


@contextmanager
def explained_misfit(path: str | PathLike, name: str) -> Iterator[None]:
    """Say in one line which tensors of a checkpoint do not fit a model.

    Raises:
        ConfigError: For what the block raises on tensors that do not fit.
    """
    try:
        yield
    except CheckpointError:
        raise
    except RuntimeError as error:
        raise ConfigError(f'{path} does not fit {name}: {one_line(error, SHOWN)}') from None


def load_weights(model: nn.Module, path: str | PathLike, name: str) -> dict[str, Any]:
    """Load a checkpoint into a config's whole model, to the last tensor; returns its ``meta``.

    Raises:
        CheckpointError: If it cannot be read safely, or has NaN or infinite weights.
        ConfigError: If there is no such file, or it does not fit.
    """
    try:
        content = CheckpointLoader.load_checkpoint(str(path), map_location='cpu')
    except FileNotFoundError:
        raise ConfigError(f'there is no checkpoint {path}') from None
    check_content(model, content, path, name)
    with explained_misfit(path, name):
        _load_checkpoint_to_model(model, content, strict=True)
    meta = content.get('meta')
    return meta if isinstance(meta, dict) else {}
