"""Checkpoints of the backbones of other papers, loaded as strictly as VMINet's.

The parts of :mod:`vminet_mm.peers` are named as in their authors' code, so that little is to be
translated; :data:`FORMATS` has what is.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from os import PathLike
from typing import Any

from torch import Tensor, nn

from ..errors import CheckpointMismatchError
from .states import find_state, load_content, log_loading, misfits, some_names

# may be missing or left over: counters of batches
_COUNTERS = r'.*\.num_batches_tracked'


@dataclass(frozen=True)
class Format:
    """How the authors of a backbone name the tensors of their checkpoints.

    Attributes:
        renamed: Patterns of their names, and what stands for a match in ours.
        spare: Pattern of the names that may be left over: of the class head, and of what only a
            classifier has.
        optional: Pattern of the names that may be missing or left over: of norms that depend on
            the outputs, and counters of batches.
        head: Pattern of the names of the class head, in the file as a whole, as mmpretrain's
            checkpoints have them, too.
        head_part: What stands for it in the head of our configs.
    """

    renamed: tuple[tuple[str, str | Callable[[re.Match], str]], ...] = ()
    spare: str = r'head\..*'
    optional: str = _COUNTERS
    head: str = r'(?:classifier\.)?head\.(?:fc\.)?(weight|bias)'
    head_part: str = r'fc.\1'


@dataclass
class PeerCheckpoint:
    """A checkpoint that fits a backbone.

    Attributes:
        backbone: State dict of the backbone, by our names and in the model's shapes.
        head: State dict of the class head, by the names of the head in our configs.
        source: The file.
        state_key: The entry of the file that the weights were taken from, '' for the file itself.
        resized: Names of the tensors that had another size.
        left: Names of the tensors of the model that are not in the file.
        unused: Names of the tensors of the file that are not in the model.
    """

    backbone: dict[str, Tensor]
    head: dict[str, Tensor]
    source: str
    state_key: str
    resized: list[str]
    left: list[str]
    unused: list[str]


_OUT_NORMS = rf'outnorm_?\d+\..*|{_COUNTERS}'
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
        spare=r'classifier\.head\..*',
        optional=_OUT_NORMS,
    ),
    'LVT': Format(
        renamed=((r'backbone\.(?=\d)', 'stages.'),),
        spare=r'(head|aux_head|norm|post_network|downstream_norms)\..*|cls_token',
        head=r'(?:head\.)?(cls_token|(?:post_network|norm|head|aux_head)\..+)',
        head_part=r'\1',
    ),
    'LocalVim': Format(  # layers of classifiers have RMS norms, those of dense models layer norms
        spare=r'(head|norm_f)\..*', optional=rf'{_OUT_NORMS}|layers\.\d+\.norm\.bias'
    ),
    'PlainMamba': Format(spare=r'(head|ln1)\..*', optional=rf'norm_layer\d+\..*|{_COUNTERS}'),
    'VMamba': Format(
        renamed=(_CLASSIFIER_NORM,), spare=r'classifier\.head\..*', optional=_OUT_NORMS
    ),
    'Vim': Format(spare=r'(head|norm_f|fpn\d)\..*|cls_token'),  # fpn: of their segmentors
}


def fit_peer(
    backbone: nn.Module, checkpoint: str | PathLike, prefix: str | None = None, ema: bool = False
) -> PeerCheckpoint:
    """Read a checkpoint and check that it fits a backbone of :mod:`vminet_mm.peers`.

    Args:
        backbone: One whose type is a key of :data:`FORMATS`.
        checkpoint: A file or an address, of the authors' trainer or of MMEngine's.
        prefix: Where the backbone lies in the state dict. By default ``'backbone.'`` or nothing,
            whichever holds more of it.
        ema: Take averaged weights.

    Raises:
        FileNotFoundError: If there is no such file.
        CheckpointError: If it cannot be read safely.
        CheckpointMismatchError: If it holds no such backbone, a tensor is missing, left over, of
            another shape, or has NaN or infinite values; or there are no averaged weights.
    """
    kind, model = type(backbone).__name__, backbone.state_dict()
    state, key = find_state(load_content(checkpoint), ema, checkpoint)
    head = _head_of(FORMATS[kind], state)
    given, others = _part_of(kind, model, state, prefix, checkpoint)
    given, resized = _fit_shapes(backbone, given, model)
    problems = _problems(FORMATS[kind], given, model)
    if problems:
        raise CheckpointMismatchError(
            f'{checkpoint} does not fit the {kind}: {"; ".join(problems)}. '
            'Give the arch and, for positions, the img_size that it was trained with'
        )
    left = [name for name in model if name not in given]
    unused = [name for name in given if name not in model] + others
    return PeerCheckpoint(given, head, str(checkpoint), key, resized, left, unused)


def load_peer(
    backbone: nn.Module,
    checkpoint: str | PathLike,
    prefix: str | None = None,
    map_location: Any = None,
    ema: bool = False,
) -> None:
    """Load a checkpoint into a backbone of :mod:`vminet_mm.peers`, strictly, and log what was.

    Arguments and errors are those of :func:`fit_peer`. ``map_location``, which MMEngine's
    ``init_cfg`` may have, is not used: the weights go where the backbone is.
    """
    fitting = fit_peer(backbone, checkpoint, prefix, ema)
    backbone.load_state_dict(fitting.backbone, strict=False)
    entry = f' [{fitting.state_key}]' if fitting.state_key else ''
    log_loading(f'{checkpoint}{entry}', backbone, fitting.resized, fitting.left, fitting.unused)


def fit_head(head: nn.Module, checkpoint: PeerCheckpoint) -> None:
    """Check that a checkpoint's class head fits that of a classifier, to the last tensor.

    Raises:
        CheckpointMismatchError: If the checkpoint has none, a tensor is missing, left over, of
            another shape, or has NaN or infinite values.
    """
    if not checkpoint.head:
        raise CheckpointMismatchError(
            f'{checkpoint.source} has no class head; load it with '
            "backbone=dict(init_cfg=dict(type='Pretrained', checkpoint=...)), unconverted"
        )
    problems = _problems(Format(spare='', optional=''), checkpoint.head, head.state_dict())
    if problems:
        raise CheckpointMismatchError(
            f'the class head of {checkpoint.source} does not fit the {type(head).__name__}: '
            f'{"; ".join(problems)}. Give num_classes and in_channels that it was trained with'
        )


def _head_of(form: Format, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The class head's tensors in a state dict, by the names of the head in our configs."""
    found = {name: re.fullmatch(form.head, name) for name in state}
    return {match.expand(form.head_part): state[name] for name, match in found.items() if match}


def _part_of(
    kind: str,
    model: Mapping[str, Tensor],
    state: Mapping[str, Tensor],
    prefix: str | None,
    path: str | PathLike,
) -> tuple[dict[str, Tensor], list[str]]:
    """The backbone's tensors in a state dict, by our names, and the names of the others."""
    prefixes = ('', 'backbone.') if prefix is None else (prefix and prefix.rstrip('.') + '.',)
    parts = {
        start: {
            _translated(name[len(start) :], FORMATS[kind]): value
            for name, value in state.items()
            if name.startswith(start)
        }
        for start in prefixes
    }
    start = max(parts, key=lambda start: len(model.keys() & parts[start].keys()))
    if not model.keys() & parts[start].keys():
        where = f' under prefix={prefix!r}' if prefix else ''
        raise CheckpointMismatchError(
            f'{path} holds no {kind}{where}: none of its {len(state)} tensors '
            f'({some_names(state)}) has a name of one'
        )
    return parts[start], [name for name in state if not name.startswith(start)]


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
    brings tensors of another image size, such as position embeddings, to its own. Those of as many
    patches as the model's are taken for those of its grid.
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


def _problems(form: Format, given: Mapping[str, Tensor], model: Mapping[str, Tensor]) -> list[str]:
    """Sentences on what does not fit."""
    missing = [k for k in model if k not in given and not re.fullmatch(form.optional, k)]
    may_be_left_over = f'{form.spare}|{form.optional}'
    unknown = [k for k in given if k not in model and not re.fullmatch(may_be_left_over, k)]
    other = [k for k in model if k in given and given[k].shape != model[k].shape]
    return misfits(given, model, missing, unknown, other)
