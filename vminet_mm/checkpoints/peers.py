"""Checkpoints of the backbones of other papers, loaded as strictly as VMINet's.

The parts of :mod:`vminet_mm.peers` are named as in their authors' code, so that little is to be
translated; :data:`FORMATS` has what is.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from os import PathLike
from typing import Any

from mmengine.logging import print_log
from torch import Tensor, nn

from ..errors import CheckpointMismatchError
from .states import (
    find_state,
    first_few,
    load_content,
    module_names,
    not_finite,
    shape_text,
    some_names,
)

# may be missing or left over: counters of batches
_COUNTERS = r'.*\.num_batches_tracked'


@dataclass(frozen=True)
class Format:
    """How the authors of a backbone name the tensors of their checkpoints.

    Attributes:
        renamed: Patterns of their names, and what stands for a match in ours.
        head: Pattern of the names that belong to the class head, or that nothing reads.
        optional: Pattern of the names that may be missing or left over: of norms that only some
            models have.
    """

    renamed: tuple[tuple[str, str | Callable[[re.Match], str]], ...] = ()
    head: str = r'head\..*'
    optional: str = _COUNTERS


_OUT_NORMS = rf'outnorm\d\..*|{_COUNTERS}'
_CLASSIFIER_NORM = (r'classifier\.norm\.', 'outnorm3.')  # the last output's
FORMATS = {
    'EfficientVMamba': Format(
        renamed=(
            _CLASSIFIER_NORM,
            # convolutional stages: a permutation, the blocks, a permutation, the down-sampling
            (
                r'(layers\.\d\.)(\d+)\.(?=conv_|se\.)',
                lambda found: f'{found[1]}blocks.{int(found[2]) - 1}.',
            ),
            (r'(layers\.\d\.)\d+\.(?=reduction|norm)', r'\1downsample.'),
        ),
        head=r'classifier\.head\..*',
        optional=_OUT_NORMS,
    ),
    'LocalVim': Format(optional=r'(norm_f|outnorm_\d+)\..*'),
    'LVT': Format(
        renamed=((r'backbone\.(?=\d)', 'stages.'),),
        head=r'(head|aux_head|norm|post_network|downstream_norms)\..*|cls_token',
    ),
    'PlainMamba': Format(optional=rf'(ln1|norm_layer\d+)\..*|{_COUNTERS}'),
    'Vim': Format(optional=r'cls_token|norm_f\..*'),
    'VMamba': Format(
        renamed=(_CLASSIFIER_NORM,), head=r'classifier\.head\..*', optional=_OUT_NORMS
    ),
}


def load_peer(
    backbone: nn.Module,
    checkpoint: str | PathLike,
    prefix: str | None = None,
    map_location: Any = None,
    ema: bool = False,
) -> None:
    """Load a checkpoint into a backbone of :mod:`vminet_mm.peers`, strictly, and log what was.

    Args:
        backbone: One whose type is a key of :data:`FORMATS`.
        checkpoint: A file or an address, of the authors' trainer or of MMEngine's.
        prefix: Where the backbone lies in the state dict. By default ``'backbone.'`` or nothing,
            whichever holds more of it.
        map_location: Not used, and taken because MMEngine's ``init_cfg`` may have it: the weights
            go where the backbone is.
        ema: Take averaged weights.

    Raises:
        FileNotFoundError: If there is no such file.
        CheckpointError: If it cannot be read safely.
        CheckpointMismatchError: If it holds no such backbone, a tensor is missing, left over, of
            another shape, or has NaN or infinite values; or there are no averaged weights.
    """
    kind = type(backbone).__name__
    state, key = find_state(load_content(checkpoint), ema, checkpoint)
    given, unused = _part_of(backbone, state, prefix, checkpoint)
    model = backbone.state_dict()
    given, resized = _fit_shapes(backbone, given, model)
    problems = _problems(kind, given, model)
    if problems:
        raise CheckpointMismatchError(
            f'{checkpoint} does not fit the {kind}: {"; ".join(problems)}. '
            'Give the arch that it was trained with'
        )
    left = [name for name in model if name not in given]
    unused += [name for name in given if name not in model]
    backbone.load_state_dict(given, strict=False)
    print_log(
        f'{kind} from {checkpoint}{f" [{key}]" if key else ""}: {len(model) - len(left)} of '
        f'{len(model)} tensors loaded, {len(resized)} of them resized; {len(left)} left as '
        f'initialized{module_names(left)}; {len(unused)} of the file not used'
        f'{module_names(unused)}',
        logger='current',
    )


def _part_of(
    backbone: nn.Module, state: Mapping[str, Tensor], prefix: str | None, path: str | PathLike
) -> tuple[dict[str, Tensor], list[str]]:
    """The backbone's tensors in a state dict, by our names, and the names of the others."""
    kind, names = type(backbone).__name__, backbone.state_dict().keys()
    form = FORMATS[kind]
    prefixes = ('', 'backbone.') if prefix is None else (prefix and prefix.rstrip('.') + '.',)
    parts = []
    for start in prefixes:
        inside = {k[len(start) :]: v for k, v in state.items() if k.startswith(start)}
        body = {k: v for k, v in inside.items() if not re.fullmatch(form.head, k)}
        others = [k for k in state if not k.startswith(start) or k[len(start) :] not in body]
        parts.append(({_translated(k, form): v for k, v in body.items()}, others))
    part = max(parts, key=lambda found: len(names & found[0].keys()))
    if not names & part[0].keys():
        where = f' under prefix={prefix!r}' if prefix else ''
        raise CheckpointMismatchError(
            f'{path} holds no {kind}{where}: none of its {len(state)} tensors '
            f'({some_names(state)}) has a name of one'
        )
    return part


def _translated(name: str, form: Format) -> str:
    """Our name of a tensor of the authors."""
    for pattern, replacement in form.renamed:
        name = re.sub(f'^{pattern}', replacement, name)
    return name


def _fit_shapes(
    backbone: nn.Module, given: Mapping[str, Tensor], model: Mapping[str, Tensor]
) -> tuple[dict[str, Tensor], list[str]]:
    """The tensors in the shapes of the model, as far as they can be; names of the resized ones.

    A linear layer and a convolution of 1 x 1 have the same weights. A backbone with ``resize``
    brings tensors of another image size, such as position embeddings, to its own.
    """
    fitted, resized = {}, []
    for name, value in given.items():
        if name in model and value.shape != model[name].shape:
            wanted = model[name].shape
            if [n for n in value.shape if n > 1] == [n for n in wanted if n > 1]:
                value = value.reshape(wanted)
            elif hasattr(backbone, 'resize'):
                value = backbone.resize(name, value)
                resized += [name] if value.shape == wanted else []
        fitted[name] = value
    return fitted, resized


def _problems(kind: str, given: Mapping[str, Tensor], model: Mapping[str, Tensor]) -> list[str]:
    """Sentences on what does not fit."""
    optional = re.compile(FORMATS[kind].optional)
    missing = [k for k in model if k not in given and not optional.fullmatch(k)]
    unknown = [k for k in given if k not in model and not optional.fullmatch(k)]
    other = [k for k in model if k in given and given[k].shape != model[k].shape]
    return [
        *not_finite(given),
        *first_few([f'{k} {shape_text(model[k])} is missing' for k in missing]),
        *first_few([f'{k} {shape_text(given[k])} is not in the model' for k in unknown]),
        *first_few(
            [
                f'{k} is {shape_text(given[k])} in the checkpoint and {shape_text(model[k])} in '
                'the model'
                for k in other
            ]
        ),
    ]
