"""Reading VMINet checkpoints: the authors' two releases, mmpretrain's, and bare state dicts.

Whatever its origin, a checkpoint becomes a :class:`Checkpoint` with this package's names, and is
loaded strictly: every tensor of the backbone must be there and fit.
"""

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from os import PathLike
from typing import Any

from torch import Tensor, nn

from ..errors import CheckpointMismatchError
from .formats import (
    BLOCK,
    KERNEL_SIZE,
    OPTION_DEFAULTS,
    STRIDE_DEFAULTS,
    as_arguments,
    matching_config,
    option_problems,
    read_options,
    rename,
)
from .states import find_state, load_content, log_loading, misfits, some_names

RELEASES = ('first', 'second', 'mm')

# by these a VMINet is recognized, in the authors' names and in ours
_MARK = re.compile(r'(.*?)stages\.[0-3]\.[1-9]\d*\.(?:f1\.conv|(?:attn\.)?query)\.weight')


@dataclass
class Checkpoint:
    """The weights of a VMINet, with this package's names.

    Attributes:
        backbone: State dict of the backbone.
        head: ``weight`` and ``bias`` of the linear classifier, or empty.
        release: One of :data:`RELEASES`: the authors' first or second, or ``'mm'``.
        source: The file.
        state_key: The entry of the file that the weights were taken from, '' for the file itself.
        settings: What is known of ``mask``, ``band_halfwidth``, ``recurrent_mask`` and strides.
        others: Names of the tensors beside these, of a neck for example.
    """

    backbone: dict[str, Tensor]
    head: dict[str, Tensor]
    release: str
    source: str
    state_key: str = ''
    settings: dict[str, Any] = field(default_factory=dict)
    others: list[str] = field(default_factory=list)

    def options(self, arch_settings: Mapping[str, dict]) -> dict[str, Any]:
        """The options of the backbone which this fits; without ``mask`` if that is not known.

        ``arch_settings`` are the named archs of :class:`vminet_mm.models.VMINet`.
        """
        names = [name for name, known in arch_settings.items() if known == self.arch]
        attention = 'vmi_sa' if any('.key.' in name for name in self.backbone) else 'none'
        is_recurrent = any(k.endswith('.beta') and v.ndim == 2 for k, v in self.backbone.items())
        settings, kernel = self.settings, _kernel_size(self.backbone)
        if attention == 'none':
            settings = {name: settings[name] for name in STRIDE_DEFAULTS if name in settings}
        return dict(
            arch=names[0] if names else self.arch,
            proj_bn=any('.proj.bn.' in name for name in self.backbone),
            attention=attention,
            **(dict(form='recurrent') if is_recurrent else {}),
            **(dict(kernel_size=kernel) if kernel != KERNEL_SIZE else {}),
            **settings,
        )

    @property
    def arch(self) -> dict:
        """``base_channels``, ``expansion`` and ``depths``, read off the names and shapes."""
        blocks = {m[1] for m in map(BLOCK.fullmatch, self.backbone) if m}
        widths = []
        for block in blocks:
            shape = getattr(self.backbone.get(block + 'attn.query.weight'), 'shape', ())
            scale = 2 ** int(block.split('.')[1])
            if len(shape) == 4 and shape[0] >= shape[1] >= scale:
                widths.append((shape[1] // scale, shape[0] // shape[1]))
        if not widths:
            raise CheckpointMismatchError(
                f'{self.source} holds no VMINet: its shapes are not those of an arch'
            )
        base_channels, expansion = max(set(widths), key=widths.count)  # one may be damaged
        depths = tuple(sum(b.startswith(f'stages.{i}.') for b in blocks) for i in range(4))
        return dict(base_channels=base_channels, expansion=expansion, depths=depths)

    @property
    def img_size(self) -> tuple[int, int] | None:
        """The image size in pixels whose token grids alpha lives on, or None without alpha."""
        for name, value in self.backbone.items():
            block = BLOCK.fullmatch(name)
            if block and block[2] == 'attn.alpha' and value.ndim == 2:
                strides = {**STRIDE_DEFAULTS, **self.settings}
                stages = strides['strides'][: int(name.split('.')[1]) + 1]
                stride = strides['stem_stride'] * math.prod(stages)
                return value.shape[0] * stride, value.shape[1] * stride
        return None


def read_checkpoint(
    path: str | PathLike, ema: bool = False, prefix: str | None = None
) -> Checkpoint:
    """Read a VMINet checkpoint of any kind.

    Args:
        path: A file, or an address that MMEngine can read.
        ema: Take the averaged weights. A checkpoint of MMEngine with averaged weights has them
            where the weights usually are, and they are taken in either case.
        prefix: Where the backbone lies in the state dict, by default found by itself.

    Raises:
        FileNotFoundError: If there is no such file.
        CheckpointError: If it cannot be read safely, see :mod:`vminet_mm.compat.safe_load`.
        CheckpointMismatchError: If it holds no VMINet, or no averaged weights where asked for.
    """
    content = load_content(path)
    state, state_key = find_state(content, ema, path)
    prefix = _find_prefix(state, prefix, path)
    body = {k[len(prefix) :]: v for k, v in state.items() if k.startswith(prefix)}
    body = {k: v for k, v in body.items() if not k.startswith('head.')}
    root = prefix.removesuffix('backbone.')
    head = {
        part: name
        for part in ('weight', 'bias')
        for name in (f'{root}head.{part}', f'{root}head.fc.{part}')
        if name in state
    }
    taken = {prefix + name for name in body} | {*head.values()}
    others = [name for name in state if name not in taken]
    head = {part: state[name] for part, name in head.items()}
    release, settings = 'mm', read_options(content)
    if any('.f1.conv.' in name for name in body):
        release = 'first' if any('.g.bn.' in name for name in body) else 'second'
        settings = dict(mask='none') if release == 'first' else settings
    return Checkpoint(rename(body, path), head, release, str(path), state_key, settings, others)


def check_fit(backbone: nn.Module, checkpoint: Checkpoint) -> tuple[list[str], list[str]]:
    """Check that a checkpoint can be loaded into a VMINet.

    Returns:
        Names of the tensors which loading would resize, and of those it would leave alone.

    Raises:
        CheckpointMismatchError: Naming the tensors and their shapes, if arch, block release or
            mask do not fit, a tensor is missing or left over, or has NaN or infinite values. Only
            the norms of stages which one of the two does not return may be missing or left over,
            and counters of batches may be missing.
    """
    model, given = backbone.state_dict(), checkpoint.backbone
    left = [k for k in model if k not in given]
    other = [k for k in model if k in given and given[k].shape != model[k].shape]
    resized = [
        k
        for k in other
        if k.endswith(('.alpha', '.beta'))
        and given[k].ndim == model[k].ndim == 2
        and given[k].numel() > 0
    ]
    missing = [k for k in left if not re.match(r'norm\d\.|.*\.num_batches_tracked$', k)]
    unknown = [k for k in given if k not in model and not re.match(r'norm\d?\.', k)]
    options = checkpoint.options(backbone.arch_settings)
    wrong = option_problems(options, _options(backbone))
    other = [k for k in other if k not in resized]
    problems = [*wrong, *misfits(given, model, missing, unknown, other)]
    if problems:
        fits = f' The checkpoint fits the options {as_arguments(options)}' if wrong else ''
        config = matching_config(options) if wrong else None
        raise CheckpointMismatchError(
            f'{checkpoint.source} ({checkpoint.release} release) does not fit the backbone: '
            f'{"; ".join(problems)}.{fits}' + (f', as in {config}' if config else '')
        )
    return resized, left


def load_backbone(
    backbone: nn.Module,
    checkpoint: str | PathLike,
    prefix: str | None = None,
    map_location: Any = None,
    ema: bool = False,
) -> None:
    """Load a checkpoint of any kind into a VMINet, strictly, and log what was loaded.

    Arguments are those of :func:`read_checkpoint`. ``map_location``, which MMEngine's ``init_cfg``
    may have, is not used: the weights go where the backbone is.

    Raises:
        CheckpointMismatchError: See :func:`read_checkpoint` and :func:`check_fit`.
    """
    source = read_checkpoint(checkpoint, ema, prefix)
    resized, left = check_fit(backbone, source)
    names = backbone.state_dict().keys()
    unused = [k for k in source.backbone if k not in names] + [f'head.{k}' for k in source.head]
    unused += source.others
    backbone.load_state_dict(source.backbone, strict=False)
    unchecked = backbone.attn_cfg['attention'] == 'vmi_sa' and 'mask' not in source.settings
    note = f'. The file does not name its mask; the model has {backbone.attn_cfg["mask"]!r}'
    note = (note if unchecked else '') + _other_strides(backbone, source)
    entry = f' [{source.state_key}]' if source.state_key else ''
    where = f'{source.source}{entry} ({source.release} release)'
    log_loading(where, backbone, resized, left, unused, note)


def _other_strides(backbone: nn.Module, source: Checkpoint) -> str:
    """A sentence where a file was trained with other strides; loading it is allowed."""
    strides = {**STRIDE_DEFAULTS, **source.settings}
    before = (strides['stem_stride'], *strides['strides'])
    if 'mask' not in source.settings or before == backbone.strides:  # a bare file tells neither
        return ''
    return f'. It was trained with the strides {before}, the model has {backbone.strides}'


def _find_prefix(state: Mapping[str, Tensor], prefix: str | None, path: str | PathLike) -> str:
    """The prefix of the VMINet's names in a state dict."""
    found = dict.fromkeys(m[1] for m in map(_MARK.fullmatch, state) if m)
    if prefix is None:
        prefix = 'backbone.' if 'backbone.' in found else ''
    elif prefix:
        prefix = prefix.rstrip('.') + '.'
    if prefix not in found:
        elsewhere = f'; there is one under prefix={list(found)[0]!r}' if found else ''
        where = f' under prefix={prefix!r}' if prefix else ''
        raise CheckpointMismatchError(
            f'{path} holds no VMINet{where}: none of its {len(state)} tensors '
            f'({some_names(state)}) is named as the first projection of a block is{elsewhere}'
        )
    return prefix


def _kernel_size(state: Mapping[str, Tensor]) -> int:
    """The edge of the depth-wise kernels of a VMINet, read off most of their shapes."""
    shapes = [
        value.shape
        for name, value in state.items()
        if BLOCK.fullmatch(name) and name.endswith('.dwconv.conv.weight')
    ]
    edges = [shape[-1] for shape in shapes if len(shape) == 4 and shape[-1] == shape[-2] > 0]
    return max(set(edges), key=edges.count) if edges else KERNEL_SIZE


def _options(backbone: nn.Module) -> dict[str, Any]:
    """The options of a VMINet, as :meth:`Checkpoint.options` gives them."""
    state = backbone.state_dict()
    arch = dict(backbone.arch, depths=tuple(backbone.arch['depths']))
    names = [name for name, known in backbone.arch_settings.items() if known == arch]
    return dict(
        arch=names[0] if names else arch,
        kernel_size=_kernel_size(state),
        proj_bn=any('.proj.bn.' in name for name in state),
        **{name: backbone.attn_cfg[name] for name in ('attention', *OPTION_DEFAULTS)},
    )
