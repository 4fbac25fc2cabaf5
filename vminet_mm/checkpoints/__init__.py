"""Checkpoints of VMINet and its peers: the formats in use, and loading them strictly."""

from .peers import fit_head, fit_peer, load_peer
from .reading import Checkpoint, check_fit, load_backbone, read_checkpoint
from .states import not_finite

__all__ = [
    'Checkpoint',
    'check_fit',
    'fit_head',
    'fit_peer',
    'load_backbone',
    'load_peer',
    'not_finite',
    'read_checkpoint',
]
