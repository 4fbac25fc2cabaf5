"""Top-1 accuracies on ImageNet-1K, in percent, that were published for the models of the zoo."""

from typing import NamedTuple

from .authors_model import RELEASES


class Peer(NamedTuple):
    """A model of timm, its published top-1 accuracy at 224 x 224, and where that stands."""

    name: str
    top1: float
    source: str


PEERS = {
    'starnet_s4': Peer('starnet_s4', 78.4, 'arXiv 2403.19967'),
    'swiftformer_s': Peer('swiftformer_s', 78.5, 'arXiv 2303.15446'),
    'mobilevitv2_100': Peer('mobilevitv2_100', 78.1, 'arXiv 2206.02680, at 256 x 256'),
    'fasternet_t1': Peer('fasternet_t1', 76.2, 'arXiv 2303.03667'),
    'swin_tiny': Peer('swin_tiny_patch4_window7_224', 81.3, 'arXiv 2103.14030'),
    'convnext_tiny': Peer('convnext_tiny', 82.1, 'arXiv 2201.03545'),
    'deit_small': Peer('deit_small_patch16_224', 79.8, 'arXiv 2012.12877'),
    'resnet50': Peer('resnet50', 76.55, 'metafile of mmpretrain 1.2.0'),
}
PAPER = 'arXiv 2501.02040'
# the paper's Tables 2 to 4, by arch, form and mask
VMINET = {
    ('ti', 'matrix', 'tril'): 70.7,
    ('xs', 'matrix', 'tril'): 78.6,
    ('s', 'matrix', 'tril'): 80.5,
    ('b', 'matrix', 'tril'): 82.4,
    ('xs', 'matrix', 'none'): 76.5,
    ('xs', 'matrix', 'block'): 77.4,
    ('xs', 'matrix', 'band'): 78.6,
    ('xs', 'matrix', 'hybrid'): 78.9,
    ('xs', 'recurrent', 'tril'): 78.8,
}
FIRST_RELEASE = {'xs': 76.5, 's': 79.0, 'b': 80.9}
# options of VMINet which leave its results as they are
NEUTRAL = {'impl', 'channels_last', 'with_cp'}

Published = tuple[float, str]


def published_top1(family: str, name: str, options: dict) -> Published | None:
    """The accuracy in percent and its source, or None where none is known.

    Args:
        family: ``'vminet'``, ``'reference'``, ``'timm'`` or ``'mmpretrain'``.
        name: The arch, or the model's name in the package.
        options: The options that it is built with.
    """
    if family == 'vminet':
        return _of_vminet(name, options)
    if family == 'reference':
        first = options.get('release', RELEASES[-1]) == 'first'
        top1 = FIRST_RELEASE.get(name) if first else VMINET[name, 'matrix', 'tril']
        return top1 and (top1, "the authors' checkpoint" if first else PAPER)
    if family == 'timm':
        return PEERS[name][1:] if name in PEERS and not options else None
    return _of_mmpretrain(name)


def _of_vminet(arch: str, options: dict) -> Published | None:
    changed = {key: value for key, value in options.items() if key not in NEUTRAL}
    key = arch, changed.pop('form', 'matrix'), changed.pop('mask', 'tril')
    return (VMINET[key], PAPER) if key in VMINET and not changed else None


def _of_mmpretrain(name: str) -> Published | None:
    from mmpretrain.apis import ModelHub

    if not ModelHub.has(name):  # a backbone type
        return None
    for result in ModelHub.get(name).results or []:
        top1 = result.metrics.get('Top 1 Accuracy')
        if result.dataset == 'ImageNet-1k' and top1 is not None:
            return top1, 'metafile of mmpretrain'
    return None
