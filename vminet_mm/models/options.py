"""Argument validation of the models."""

import math
import numbers
from collections.abc import Collection, Iterable, Mapping
from difflib import get_close_matches
from typing import Any

from mmengine.registry import MODELS

from ..checkpoints.formats import OPTION_DEFAULTS, STRIDE_DEFAULTS
from ..ops import CONTEXT_RESIZES, FORMS, IMPLS, MASKS

ARCH_KEYS = ('base_channels', 'expansion', 'depths')
ATTN_DEFAULTS = dict(
    **OPTION_DEFAULTS,
    attention='vmi_sa',
    context_resize='pool',
    impl='auto',
    proj_bn=False,
    mask_padding=False,
)
ATTENTIONS = ('vmi_sa', 'none')
RECURRENT_MASKS = ('readout', 'inside')


def parse_attn(attn_cfg: Any = None, short_forms: Mapping[str, Any] | None = None) -> dict:
    """All options of the attention, from ``attn_cfg`` and from arguments of the same names.

    See :class:`vminet_mm.models.VMINet` for the options, their types and their defaults.

    Args:
        attn_cfg: A dict of these options, or None.
        short_forms: The same options given outside of ``attn_cfg``, by known names.

    Returns:
        dict: Every option, with its default where it was not given.

    Raises:
        TypeError: If a name in ``attn_cfg`` is not that of an option.
        ValueError: If a value is out of range, or an option is given twice with different values.
    """
    attn_cfg, short_forms = {} if attn_cfg is None else attn_cfg, short_forms or {}
    if not isinstance(attn_cfg, Mapping):
        raise ValueError(f"attn_cfg must be a dict, as dict(mask='tril'), not {attn_cfg!r}")
    check_arguments(attn_cfg, ATTN_DEFAULTS)
    for name in short_forms:
        if name in attn_cfg and attn_cfg[name] != short_forms[name]:
            raise ValueError(
                f'{name} is {short_forms[name]!r} and attn_cfg.{name} is {attn_cfg[name]!r}: '
                'give one of the two'
            )
    options = {**ATTN_DEFAULTS, **attn_cfg, **short_forms}
    check_choice('attention', options['attention'], ATTENTIONS)
    check_choice('form', options['form'], FORMS)
    check_choice('mask', options['mask'], (*MASKS, 'hybrid'))
    check_choice('context_resize', options['context_resize'], CONTEXT_RESIZES)
    check_choice('recurrent_mask', options['recurrent_mask'], RECURRENT_MASKS)
    check_choice('impl', options['impl'], IMPLS)
    check_fraction('band_halfwidth', options['band_halfwidth'])
    for name in ('proj_bn', 'mask_padding'):
        check_choice(name, options[name], (True, False))
    return options


def check_arguments(given: Iterable[str], known: Collection[str]) -> None:
    """Raise TypeError for an unknown argument; the message lists all, and the closest one."""
    for name in given:
        if name not in known:
            close = get_close_matches(str(name), known, 1)
            hint = f' (did you mean {close[0]!r}?)' if close else ''
            raise TypeError(
                f'unexpected argument {name!r}{hint}; the arguments are {", ".join(known)}'
            )


def parse_arch(arch: Any, known: Mapping[str, dict]) -> dict:
    """The settings of an arch given by name or as a dict.

    Args:
        arch: A name among ``known``, or a dict of :data:`ARCH_KEYS`.
        known: Settings by name.

    Raises:
        ValueError: If the name is unknown or the dict is invalid.
    """
    if not isinstance(arch, Mapping):
        if not isinstance(arch, str) or arch not in known:
            raise ValueError(
                f'unknown arch {arch!r}; choose one of {", ".join(known)}, '
                'or give a dict of base_channels, expansion and depths'
            )
        return known[arch]
    if set(arch) != set(ARCH_KEYS):
        raise ValueError(f'an arch dict must have the keys {sorted(ARCH_KEYS)}, not {sorted(arch)}')
    for name in ARCH_KEYS[:2]:
        check_count(f'{name} of the arch', arch[name])
    depths = _items(arch['depths'])
    if depths is None or len(depths) != 4 or not all(_is_whole(d, 0) for d in depths):
        raise ValueError(f'depths must be four numbers of blocks, not {arch["depths"]!r}')
    return {name: arch[name] for name in ARCH_KEYS} | dict(depths=tuple(map(int, depths)))


def parse_strides(options: Mapping[str, Any]) -> tuple[int, ...]:
    """The strides of the stem and of the four stages.

    Args:
        options: ``stem_stride`` and ``strides``, four numbers; 2 each where they are not given.
            An edge of n pixels becomes one of ceil(n / stride).

    Raises:
        ValueError: If a stride is not 1, 2 or 3: a convolution of 3 x 3 skips pixels at more.
    """
    options = {**STRIDE_DEFAULTS, **options}
    stem, stages = options['stem_stride'], _items(options['strides'])
    if stages is None or len(stages) != 4:
        raise ValueError(f'strides must be four numbers, not {options["strides"]!r}')
    for name, stride in (('stem_stride', stem), *(('strides', stride) for stride in stages)):
        if not _is_whole(stride, 1) or stride > 3:
            raise ValueError(f'{name} must be 1, 2 or 3, not {stride!r}')
    return tuple(map(int, (stem, *stages)))


def parse_out_indices(out_indices: Any, num_stages: int) -> tuple[int, ...]:
    """The output stages, one number or several, as sorted, distinct numbers from 0.

    Negative ones count from the end.

    Raises:
        ValueError: If ``out_indices`` is empty, or a number is not the index of a stage.
    """
    items = _items(out_indices)
    given = (out_indices,) if items is None else items
    if not given or not all(_is_whole(i, -num_stages) and i < num_stages for i in given):
        raise ValueError(
            f'out_indices must name stages 0..{num_stages - 1} (or negative), not {out_indices!r}'
        )
    return tuple(sorted({int(i) % num_stages for i in given}))


def parse_size(name: str, size: Any) -> tuple[int, int]:
    """A size in pixels, one number or (height, width), as a pair.

    Raises:
        ValueError: If ``size`` is neither, or not positive.
    """
    items = _items(size)
    pair = (size, size) if items is None else items
    if len(pair) != 2 or not all(_is_whole(edge, 1) for edge in pair):
        raise ValueError(f'{name} must be a number of pixels or (height, width), not {size!r}')
    return int(pair[0]), int(pair[1])


def check_choice(name: str, value: Any, choices: Collection[Any]) -> None:
    """Raise ValueError unless a value is one of the choices."""
    if not any(value is choice or value == choice for choice in choices):
        *others, last = map(repr, choices)
        raise ValueError(f'{name} must be {", ".join(others)} or {last}, not {value!r}')


def check_count(name: str, value: Any, minimum: int = 1) -> None:
    """Raise ValueError unless a value is a whole number >= ``minimum``."""
    if not _is_whole(value, minimum):
        raise ValueError(f'{name} must be a whole number from {minimum}, not {value!r}')


def check_kernel(size: Any) -> None:
    """Raise ValueError unless the edge of a kernel is an odd number, which has a middle."""
    if not _is_whole(size, 1) or size % 2 == 0:
        raise ValueError(f'kernel_size must be 1, 3, 5, 7 or another odd number, not {size!r}')


def check_fraction(name: str, value: Any, below: float = math.inf) -> None:
    """Raise ValueError unless a value is a number from 0 to below a limit."""
    if isinstance(value, bool) or not isinstance(value, numbers.Real) or not 0 <= value < below:
        limit = f' to below {below:g}' if below < math.inf else ''
        raise ValueError(f'{name} must be a number from 0{limit}, not {value!r}')


def check_norm(norm_cfg: Any) -> None:
    """Raise ValueError unless the config of a norm names a registered norm layer."""
    kind = norm_cfg.get('type') if isinstance(norm_cfg, Mapping) else None
    if kind is None:
        raise ValueError(f"norm_cfg must be a dict with a type, as dict(type='BN'); not {norm_cfg}")
    with MODELS.switch_scope_and_registry(None) as registry:
        if isinstance(kind, str) and registry.get(kind) is None:
            raise ValueError(f'norm_cfg: unknown type {kind!r}; such as BN, SyncBN, GN and LN')


def check_init_cfg(init_cfg: Any) -> None:
    """Raise ValueError unless ``init_cfg`` is one or several dicts; ``Pretrained`` needs a path."""
    usual = "init_cfg=dict(type='Pretrained', checkpoint=FILE)"
    for entry in init_cfg if isinstance(init_cfg, (list, tuple)) else [init_cfg or {}]:
        if not isinstance(entry, Mapping):
            raise ValueError(f'init_cfg holds {entry!r} and not a dict; write {usual}')
        if entry.get('type') == 'Pretrained' and not entry.get('checkpoint'):
            raise ValueError(f'init_cfg of type Pretrained names no checkpoint; write {usual}')


def _items(value: Any) -> tuple | None:
    """The items of a list, an array or the like; None for a single value, a string or a dict."""
    if isinstance(value, (str, Mapping)):
        return None
    try:
        return tuple(value)
    except TypeError:  # of an array without dimensions, too
        return None


def _is_whole(value: Any, minimum: int) -> bool:
    return isinstance(value, numbers.Integral) and not isinstance(value, bool) and value >= minimum
