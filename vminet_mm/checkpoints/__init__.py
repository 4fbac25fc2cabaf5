"""VMINet checkpoints: the formats in use, and reading and loading them strictly."""

from .reading import Checkpoint, check_fit, load_backbone, not_finite, read_checkpoint

__all__ = ['Checkpoint', 'check_fit', 'load_backbone', 'not_finite', 'read_checkpoint']
