"""Kinds of checkpoint: the names of their tensors, and where they store the options that no
shape of a tensor shows."""

import ast
import math
import re
from collections.abc import Mapping
from os import PathLike
from typing import Any

from torch import Tensor

from ..errors import CheckpointMismatchError

# parts of a block in the authors' state dicts -> ours
_BLOCK_PARTS = {
    'dwconv.': 'dwconv.',
    'conv.': 'dwconv.',
    'f1.conv.': 'attn.query.',
    'f2.conv.': 'attn.key.',
    'g.': 'proj.',
}
BLOCK = re.compile(r'(stages\.[0-3]\.[1-9]\d*\.)(.+)')
# parts of a block that were its own before the attention was a module
_OLD_ATTN_PARTS = re.compile(r'(alpha|beta|scale)|(query|key|query_key)\.(weight|bias)')

# options that change no tensor's shape, and their values where a config does not give them
OPTION_DEFAULTS = dict(mask='tril', band_halfwidth=0.5, form='matrix', recurrent_mask='readout')
STRIDE_DEFAULTS = dict(stem_stride=2, strides=(2, 2, 2, 2))  # of the stem; of the four stages
KERNEL_SIZE = 7  # of the depth-wise kernels, where a config does not give it
_MAX_CONFIG = 1_000_000  # characters; a longer text is no config, and slow to parse

# the configs of configs/cls: arch and variant
_CONFIGS = (
    *('ti', 'xs', 's', 'b', 'xs-v1', 's-v1', 'b-v1', 'xs-r', 's_attn-none'),
    *('xs_mask-none', 'xs_mask-block', 'xs_mask-band', 'xs_mask-band-quarter', 'xs_mask-hybrid'),
)


def rename(published: Mapping[str, Tensor], path: str | PathLike) -> dict[str, Tensor]:
    """Translate the authors' names, and those of our earlier versions, into today's."""
    renamed: dict[str, Tensor] = {}
    for name, value in published.items():
        for new_name, new_value in _translate(name, value, path).items():
            if new_name in renamed:
                raise CheckpointMismatchError(f'{path} holds {new_name} under two names')
            renamed[new_name] = new_value
    return renamed


def current_name(part: str) -> str:
    """Today's name of a part of a block in our own checkpoints, whatever version wrote it."""
    return f'attn.{part}' if _OLD_ATTN_PARTS.fullmatch(part) else part


def has_old_names(state: Mapping[str, Any]) -> bool:
    """Whether a state dict holds blocks from before the attention was a module of its own."""
    found = (match for match in map(BLOCK.search, state) if match)
    return any(
        current_name(match[2]) != match[2]
        and f'{match.string[: match.end(1)]}dwconv.conv.weight' in state  # or not a VMINet's
        for match in found
    )


def _translate(name: str, value: Tensor, path: str | PathLike) -> dict[str, Tensor]:
    """One tensor of the authors with our name, or two."""
    match = BLOCK.fullmatch(name)
    if match is None:
        return {name: value}
    block, part = match.groups()
    if part == 'stack':
        value = value.flatten()
        return {
            block + 'attn.scale': value[:1].clone(),
            block + 'attn.beta': value[1:].clone(),
        }
    if part == 'sum.weight':  # token weights (1, L) of a square image
        edge = math.isqrt(value.numel())
        if edge**2 != value.numel():
            raise CheckpointMismatchError(
                f'{path}: {name} {tuple(value.shape)} is not of a square grid'
            )
        return {block + 'attn.alpha': value.reshape(edge, edge)}
    old = next((p for p in _BLOCK_PARTS if part.startswith(p)), '')
    return {block + _BLOCK_PARTS.get(old, '') + current_name(part[len(old) :]): value}


def read_options(content: Mapping) -> dict[str, Any]:
    """The mask and strides in a checkpoint's ``meta``; an empty dict if it has neither.

    That is ``mask``, ``band_halfwidth`` if it matters, in the recurrent form ``recurrent_mask``,
    and ``stem_stride`` and ``strides`` where they were given.

    Args:
        content: The whole checkpoint: of MMEngine, which keeps the text of the config in
            ``meta['cfg']``, or converted, with the options in ``meta['vminet']``.
    """
    meta = content.get('meta')
    if not isinstance(meta, Mapping):
        return {}
    options = meta.get('vminet')
    if not isinstance(options, Mapping):
        options = _backbone_of(meta.get('cfg'))
    if not isinstance(options.get('mask'), str):
        return {}
    known = dict(mask=options['mask'])
    if known['mask'] in ('band', 'hybrid'):
        halfwidth = options.get('band_halfwidth')
        is_number = isinstance(halfwidth, (int, float))
        known['band_halfwidth'] = halfwidth if is_number else OPTION_DEFAULTS['band_halfwidth']
    if options.get('form') == 'recurrent':
        given, default = options.get('recurrent_mask'), OPTION_DEFAULTS['recurrent_mask']
        known['recurrent_mask'] = given if isinstance(given, str) else default
    return known | _strides(options)


def _strides(options: Mapping) -> dict[str, Any]:
    """The strides in the metadata, if they are numbers."""
    given = {name: options[name] for name in STRIDE_DEFAULTS if name in options}
    numbers = [given.get('stem_stride', 1), *_row(given.get('strides', (1, 1, 1, 1)))]
    is_sound = len(numbers) == 5 and all(type(n) is int and n > 0 for n in numbers)
    return given if is_sound else {}


def _row(value: Any) -> tuple:
    return tuple(value) if isinstance(value, (list, tuple)) else ()


def started_from_checkpoint(content: Any) -> bool:
    """Whether a run of MMEngine, by the config in its checkpoint, began with given weights."""
    meta = content.get('meta') if isinstance(content, Mapping) else None
    node = _backbone_node(meta.get('cfg')) if isinstance(meta, Mapping) else None
    init_cfg = _items(node).get('init_cfg') if node else None
    found = ast.walk(init_cfg) if init_cfg else ()
    return any(_plain_items(part).get('type') == 'Pretrained' for part in found)


def option_problems(given: Mapping, wanted: Mapping) -> list[str]:
    """Sentences on the options of a checkpoint that are not those of the model."""
    names = ['arch', 'kernel_size', 'proj_bn', 'attention']
    if given['attention'] == wanted['attention'] != 'none':
        names += [name for name in OPTION_DEFAULTS if name in given or name == 'form']
    defaults = dict(OPTION_DEFAULTS, kernel_size=KERNEL_SIZE)
    given, wanted = {**defaults, **given}, {**defaults, **wanted}
    return [
        f'{name} is {given[name]!r} in the checkpoint and {wanted[name]!r} in the model'
        for name in names
        if given[name] != wanted[name]
    ]


def as_arguments(options: Mapping) -> str:
    """The options as a config's text, with a remark if the mask is not known."""
    text = ', '.join(f'{name}={value!r}' for name, value in options.items())
    if options['attention'] == 'none' or 'mask' in options:
        return text
    return f"{text} and the mask of its training, which it does not name (the paper's is 'tril')"


def matching_config(options: Mapping) -> str | None:
    """The classification config of these options, or None. Of an unknown mask, the paper's."""
    options = {**OPTION_DEFAULTS, **options}
    mask, proj_bn = options['mask'], options['proj_bn']
    if options['recurrent_mask'] != OPTION_DEFAULTS['recurrent_mask']:
        return None
    fixed = dict(STRIDE_DEFAULTS, kernel_size=KERNEL_SIZE)
    if any(options.get(name, default) != default for name, default in fixed.items()):
        return None
    if mask == 'band' and options['band_halfwidth'] == 0.25:
        mask = 'band-quarter'
    elif options['band_halfwidth'] != OPTION_DEFAULTS['band_halfwidth']:
        return None
    if options['form'] == 'recurrent':
        variant = '-r' if mask == 'tril' and not proj_bn else None
    elif options['attention'] == 'none':
        variant = None if proj_bn else '_attn-none'
    elif proj_bn:
        variant = '-v1' if mask == 'none' else None
    else:
        variant = '' if mask == 'tril' else f'_mask-{mask}'
    name = f'{options["arch"]}{variant}'
    return f'configs/cls/vminet-{name}_3xb128-300e_in1k.py' if name in _CONFIGS else None


def _backbone_of(config: Any) -> dict[str, Any]:
    """The plain options of the VMINet in the text of a config, defaults included."""
    node = _backbone_node(config)
    if not node:
        return {}
    attn_cfg = _items(node).get('attn_cfg')
    return {**OPTION_DEFAULTS, **(_plain_items(attn_cfg) if attn_cfg else {}), **_plain_items(node)}


def _backbone_node(config: Any) -> ast.AST | None:
    """The code of the VMINet's dict in the text of a config."""
    if not isinstance(config, str) or len(config) > _MAX_CONFIG:
        return None
    # parsed and never run: a config is a program, and the file may come from anywhere
    try:
        tree = ast.parse(config)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return None
    models = [
        node.value
        for node in tree.body
        if isinstance(node, ast.Assign) and getattr(node.targets[0], 'id', None) == 'model'
    ]
    for model in models[-1:]:
        for node in ast.walk(model):
            # 'VMINet', 'mmdet.VMINet' or the path of the class
            if str(_plain_items(node).get('type')).rpartition('.')[2] == 'VMINet':
                return node
    return None


def _plain_items(node: ast.AST) -> dict[str, Any]:
    """The constants in the code of a dict, and rows of constants as tuples."""
    plain = {}
    for key, value in _items(node).items():
        if isinstance(value, ast.Constant):
            plain[key] = value.value
        elif isinstance(value, (ast.Tuple, ast.List)):
            row = [item.value for item in value.elts if isinstance(item, ast.Constant)]
            if len(row) == len(value.elts):
                plain[key] = tuple(row)
    return plain


def _items(node: ast.AST) -> dict[str, ast.AST]:
    """The code of a dict's values, written as a call or with braces."""
    if isinstance(node, ast.Call) and getattr(node.func, 'id', None) == 'dict':
        items = [(keyword.arg, keyword.value) for keyword in node.keywords]
    elif isinstance(node, ast.Dict):
        keys = [getattr(key, 'value', None) for key in node.keys]
        items = list(zip(keys, node.values, strict=True))
    else:
        return {}
    return {key: value for key, value in items if isinstance(key, str)}
