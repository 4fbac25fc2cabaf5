"""State dicts in checkpoint files: where to find them, and messages about their tensors."""

import re
from collections.abc import Mapping
from os import PathLike
from typing import Any

import torch
from mmengine.logging import print_log
from mmengine.runner import CheckpointLoader
from torch import Tensor, nn

from ..compat.safe_load import safe_load
from ..errors import CheckpointMismatchError

# keys under which trainers store the weights; the first one found is used
STATE_KEYS = ('state_dict', 'model')
EMA_STATE_KEYS = ('state_dict_ema', 'model_ema')


def load_content(path: str | PathLike) -> Any:
    """The content of a checkpoint file, or of a URL that MMEngine can read.

    Raises:
        FileNotFoundError: If there is no such file.
        CheckpointError: If the file cannot be read safely, see :mod:`vminet_mm.compat.safe_load`.
    """
    is_remote = '://' in str(path)
    return CheckpointLoader.load_checkpoint(path, 'cpu') if is_remote else safe_load(path)


def find_state(content: Any, ema: bool, path: str | PathLike) -> tuple[dict[str, Tensor], str]:
    """The state dict in the content of a checkpoint, and its key ('' if it is the content)."""
    if not isinstance(content, Mapping):
        raise CheckpointMismatchError(f'{path} holds a {type(content).__name__}, no state dict')
    is_averaged = 'ema_state_dict' in content  # by MMEngine, which swaps the two when it saves
    keys = EMA_STATE_KEYS if ema and not is_averaged else STATE_KEYS + EMA_STATE_KEYS
    key = next((k for k in keys if isinstance(content.get(k), Mapping)), '')
    if ema and not key:
        raise CheckpointMismatchError(
            f'{path} holds no averaged weights, only {some_names(content)}; load it without ema'
        )
    state = {}
    for name, value in (content[key] if key else content).items():
        if not isinstance(name, str) or not isinstance(value, Tensor):
            continue
        half = value.dtype in (torch.float16, torch.bfloat16)
        # prefixes of DataParallel and torch.compile
        state[re.sub(r'^((module|_orig_mod)\.)+', '', name)] = value.float() if half else value
    for counter in ('steps', 'n_averaged'):  # of the averaged models of MMEngine and torch
        state.pop(counter, None)
    return state, key


def not_finite(state: Mapping[str, Any]) -> list[str]:
    """A sentence on the tensors with NaN or infinite values; empty if all are finite."""
    bad = [
        name
        for name, value in state.items()
        if isinstance(value, Tensor) and value.is_floating_point() and not value.isfinite().all()
    ]
    if not bad:
        return []
    return [
        f'{len(bad)} tensors have NaN or infinite values ({", ".join(first_few(bad))}), as of a '
        'training that diverged: take an earlier checkpoint'
    ]


def misfits(
    given: Mapping[str, Tensor],
    model: Mapping[str, Tensor],
    missing: list[str],
    unknown: list[str],
    other: list[str],
) -> list[str]:
    """Sentences on the tensors of a checkpoint that do not match a model.

    Args:
        given: The tensors of the checkpoint by name.
        model: The tensors of the model by name.
        missing: Names that only the model has.
        unknown: Names that only the checkpoint has.
        other: Names of tensors whose shapes differ.
    """
    shapes = [
        f'{k} is {shape_text(given[k])} in the checkpoint and {shape_text(model[k])} in the model'
        for k in other
    ]
    return [
        *not_finite(given),
        *first_few([f'{k} {shape_text(model[k])} is missing' for k in missing]),
        *first_few([f'{k} {shape_text(given[k])} is not in the model' for k in unknown]),
        *first_few(shapes),
    ]


def shape_text(tensor: Tensor) -> str:
    """The shape of a tensor as a message writes it."""
    return str(tuple(tensor.shape))


def first_few(lines: list[str], number: int = 3) -> list[str]:
    """The first few lines, and how many more there are."""
    more = [f'and {len(lines) - number} more'] if len(lines) > number else []
    return lines[:number] + more


def some_names(content: Mapping) -> str:
    """The first few keys, and how many more there are."""
    return ', '.join(first_few([str(k) for k in content])) or 'nothing'


def log_loading(
    source: str,
    model: nn.Module,
    resized: list[str],
    left: list[str],
    unused: list[str],
    note: str = '',
) -> None:
    """Log what a checkpoint gives a model.

    Args:
        source: Where the tensors are from.
        model: The model.
        resized: Names of tensors that are resized to fit.
        left: Names of tensors of the model that the checkpoint does not have.
        unused: Names of tensors of the checkpoint that the model does not have.
        note: What to add at the end.
    """
    number = len(model.state_dict())
    print_log(
        f'{type(model).__name__} from {source}: {number - len(left)} of {number} tensors loaded, '
        f'{len(resized)} of them resized; {len(left)} left as initialized{module_names(left)}; '
        f'{len(unused)} of the file not used{module_names(unused)}{note}',
        logger='current',
    )


def module_names(names: list[str]) -> str:
    """The modules that tensors belong to, for a log line."""
    modules = sorted({name.rpartition('.')[0] for name in names})
    return f' ({", ".join(first_few(modules, 8))})' if modules else ''
