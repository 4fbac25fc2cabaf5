"""The rules by which VMINet takes the place of the backbone in a config of mmdet or mmseg.

1. The backbone's dict is replaced as a whole. ``out_indices`` names the stages whose strides are
   nearest to those of the original's maps. Maps that do not get coarser from one to the next, of
   dilated convolutions or a plain ViT, count by stage instead: the last four, three, two or one.
2. What reads the maps is told their channels: the first neck, or else each head by its
   ``in_index``, which is counted anew where VMINet hands on fewer maps. The ``channels`` of a head
   that is but a classifier (``num_convs=0``) are these, too.
3. A neck that hands some of the maps on as they are has them in its ``out_channels``, and the heads
   in their ``in_channels``: :data:`PASSING_NECKS`.
4. A neck that only makes a pyramid of a plain ViT's maps is left out: :data:`VIT_PYRAMIDS`.
5. Of stacked hourglasses, whose maps all have one size, one map remains.

What the original hands on is measured and not looked up, so that an ``in_channels`` which is not
the original's is noticed.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from mmengine.registry import MODELS
from mmengine.utils import to_2tuple
from torch import Tensor

from vminet_mm.models import VMINet

from .errors import NotApplicableError, SwapError

STRIDES = (4, 8, 16, 32)  # of VMINet's stages
# necks that make a pyramid of maps of one stride, for heads which want one
VIT_PYRAMIDS = ('Feature2Pyramid', 'MultiLevelNeck')
# backbones that take images of their ``img_size`` only
FIXED_SIZE = ('BEiT', 'MAE')
# necks whose first outputs are their inputs: how many of n inputs they are
PASSING_NECKS = {'SSDNeck': lambda n: n, 'JPU': lambda n: n - 1}
# type of a backbone or model: why VMINet cannot take the backbone's place
TIED = {
    'DDRNet': 'head and backbone are one design: two maps in training, one in testing',
    'PIDNet': 'head and backbone are one design: three maps in training, one in testing',
    'TridentResNet': 'one map for each of three branches that share weights, which the heads know',
    'VPD': "the backbone is Stable Diffusion's denoiser, which also reads text",
    'MultimodalEncoderDecoder': 'the head reads tokens of a CLIP image encoder',
    'Detectron2Wrapper': 'the model is one of detectron2, which builds its own backbone',
}


@dataclass(frozen=True)
class Maps:
    """The maps that a backbone hands on: channels and strides of each."""

    channels: tuple[int, ...]
    strides: tuple[int, ...]


@dataclass(frozen=True)
class Swap:
    """How the maps change.

    Attributes:
        old: Channels of the original's maps.
        new: Channels of VMINet's map in place of each.
        index: Where in VMINet's outputs each of them is.
    """

    old: tuple[int, ...]
    new: tuple[int, ...]
    index: tuple[int, ...]


def measure_maps(backbone: dict) -> Maps:
    """Build a backbone at random weights and look at what it makes of an image of zeros.

    Args:
        backbone: Its config, without anything to download.

    Raises:
        NotApplicableError: If it hands on anything but maps (B, C, H, W).
    """
    size = to_2tuple(backbone['img_size'])[0] if backbone['type'] in FIXED_SIZE else 128
    model = MODELS.build(backbone)
    model.eval()  # that of some returns nothing
    with torch.no_grad():
        outputs = model(torch.zeros(1, backbone.get('in_channels', 3), size, size))
    outputs = [outputs] if isinstance(outputs, Tensor) else list(outputs)
    if not all(isinstance(output, Tensor) and output.ndim == 4 for output in outputs):
        raise NotApplicableError(f'{backbone["type"]} hands on more than maps: class tokens')
    return Maps(
        channels=tuple(output.shape[1] for output in outputs),
        strides=tuple(round(size / output.shape[-1]) for output in outputs),
    )


def stages_for(strides: Sequence[int]) -> list[int]:
    """The stage of VMINet, from 0, that stands for each of an original's maps (rule 1)."""
    pairs = list(zip(strides, strides[1:], strict=False))
    by_stage = all(a <= b for a, b in pairs) and any(a == b for a, b in pairs)
    if by_stage and len(strides) <= len(STRIDES):
        return list(range(len(STRIDES) - len(strides), len(STRIDES)))
    distances = [[abs(math.log2(stride / s)) for s in STRIDES] for stride in strides]
    return [row.index(min(row)) for row in distances]


def swap_backbones(model: dict, arch: str = 'ti') -> list[str]:
    """Put VMINet in place of every backbone of a model, by the rules above.

    Args:
        model: The config of a model, changed in place.
        arch: A name of :attr:`VMINet.arch_settings`.

    Returns:
        list[str]: What was replaced, one line a backbone.

    Raises:
        NotApplicableError: If there is nothing to replace.
        SwapError: If no rule covers what reads the maps.
    """
    types = [node['type'] for node in nested_dicts(model) if isinstance(node.get('type'), str)]
    tied = [TIED[name] for name in types if name in TIED]
    if tied:
        raise NotApplicableError(tied[0])
    sites = [
        (owner, key[: -len('backbone')])
        for owner in list(nested_dicts(model))
        for key, value in list(owner.items())
        if key.endswith('backbone') and isinstance(value, dict) and 'type' in value
    ]
    if not sites:
        raise NotApplicableError('the config has no backbone')
    return [_swap_at(owner, prefix, arch) for owner, prefix in sites]


def _swap_at(owner: dict, prefix: str, arch: str) -> str:
    """Replace ``owner[prefix + 'backbone']`` and adapt its readers, whose keys have the prefix."""
    original = owner[f'{prefix}backbone']
    maps = measure_maps(original)
    heads = [
        head
        for key, value in owner.items()
        if key.startswith(prefix) and key.endswith('head')
        for head in (value if isinstance(value, list) else [value])
        if isinstance(head, dict)
    ]
    if len(set(zip(maps.channels, maps.strides, strict=True))) == 1:
        maps = _without_copies(maps, heads)
    stages = stages_for(maps.strides)
    settings = dict(type='VMINet', arch=arch, out_indices=tuple(sorted(set(stages))))
    if original.get('in_channels', 3) != 3:
        settings['in_channels'] = original['in_channels']
    owner[f'{prefix}backbone'] = settings
    width = VMINet.arch_settings[arch]['base_channels']
    swap = Swap(
        old=maps.channels,
        new=tuple(width * 2**stage for stage in stages),
        index=tuple(sorted(set(stages)).index(stage) for stage in stages),
    )
    _adapt_readers(owner, f'{prefix}neck', heads, swap)
    return f'{original["type"]} {maps.channels} -> VMINet {swap.new}'


def _without_copies(maps: Maps, heads: list[dict]) -> Maps:
    """Rule 5: one map, where a head has a copy of itself for each of several equal ones."""
    copies = [head for head in heads if head.get('type') in ('CornerHead', 'CentripetalHead')]
    for head in copies:
        head['num_feat_levels'] = 1
    return Maps(maps.channels[:1], maps.strides[:1]) if copies else maps


def _adapt_readers(owner: dict, neck_key: str, heads: list[dict], swap: Swap) -> None:
    """Rules 2 to 4."""
    neck = owner.get(neck_key)
    neck = neck[0] if isinstance(neck, list) else neck
    if neck and neck['type'] in VIT_PYRAMIDS:
        owner[neck_key] = neck = None
    passed = len(swap.old)
    if neck and 'in_channels' in neck:
        if swap.index != tuple(range(len(swap.index))):
            raise SwapError(f'{neck["type"]} wants maps of different strides, and gets {swap.new}')
        _adapt_neck(neck, swap)
        passed = PASSING_NECKS.get(neck['type'], lambda n: 0)(passed)
    for head in heads:
        for reader in _readers(head):
            _adapt_head(reader, swap, passed, keep_index=bool(neck))


def _adapt_neck(neck: dict, swap: Swap) -> None:
    given = neck['in_channels']
    if isinstance(given, int):
        if given != swap.old[-1]:
            raise SwapError(f'{neck["type"]}: in_channels {given} is not of {swap.old}')
        neck['in_channels'] = swap.new[-1]
    elif tuple(given) in (swap.old, swap.old[::-1]):  # YOLOv3's neck counts from the coarsest
        is_reversed = tuple(given) != swap.old
        new = swap.new[::-1] if is_reversed else swap.new
        neck['in_channels'] = type(given)(new)  # some insist on a tuple
    else:
        raise SwapError(f'{neck["type"]}: in_channels {tuple(given)} are not {swap.old}')
    if neck['type'] == 'SSDNeck':
        neck['out_channels'] = (*swap.new, *neck['out_channels'][len(swap.new) :])


def _readers(head: dict) -> Iterator[dict]:
    """The dicts of a head that read the maps: itself, or one inside that says which it reads."""
    if 'in_channels' in head:
        yield head
    else:
        for part in nested_dicts(head):
            if 'in_channels' in part and 'in_index' in part:
                yield part


def _adapt_head(head: dict, swap: Swap, passed: int, keep_index: bool) -> None:
    """Tell a head the channels of those of its maps which are among the first ``passed``."""
    given, count = head['in_channels'], len(swap.old)
    if passed == 0:
        return
    is_list = not isinstance(given, int)
    index = head.get('in_index', range(len(given)) if is_list else count - 1)
    positions = [i if i >= 0 else i + count for i in (index if is_list else [index])]
    channels = list(given) if is_list else [given]
    for n, position in enumerate(positions):
        if position < passed:
            if channels[n] != swap.old[position]:
                raise SwapError(
                    f'{head["type"]}: in_channels {given} of maps {positions} are not {swap.old}'
                )
            channels[n] = swap.new[position]
    head['in_channels'] = type(given)(channels) if is_list else channels[0]
    if 'in_index' in head and not keep_index:
        indices = [swap.index[position] for position in positions]
        head['in_index'] = indices if is_list else indices[0]
    if head.get('num_convs') == 0 and head.get('channels') == given:
        head['channels'] = head['in_channels']  # nothing but a classifier
    if 'c1_in_channels' in head:  # DeepLabV3+ reads the first map besides
        head['c1_in_channels'] = swap.new[0]


def nested_dicts(node: object) -> Iterator[dict]:
    """Every dict in nested dicts and lists, outermost first."""
    if isinstance(node, dict):
        yield node
    for child in node.values() if isinstance(node, dict) else node:
        if isinstance(child, (dict, list, tuple)):
            yield from nested_dicts(child)
