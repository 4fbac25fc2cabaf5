"""What makes the published OpenMMLab packages usable on current PyTorch, NumPy and Python.

Each piece fixes one thing in its own file, is off where upstream already works, and waits for the
module it concerns (:mod:`.import_hook`): nothing of mmdet, mmseg or mmpretrain is imported here.
"""

import importlib

from . import patching

# Name of the piece's file: what it fixes. Applied in this order.
PIECES = {
    'mmcv_ops': 'mmcv is installed without its compiled operators',
    'safe_globals': 'torch refuses the harmless names in checkpoints of the mm and timm trainers',
    'safe_load': 'checkpoints from a URL are loaded with code execution; unclear errors',
    'resume_config': 'resuming runs configuration text of the checkpoint as Python',
    'package_utils': 'setuptools has no pkg_resources: `mmdet::` bases are not found',
    'multimodal': 'mmpretrain cannot be imported beside a newer transformers',
    'data_errors': 'errors in a data pipeline do not name the image',
    'deep_images': 'images of 16 bits become white when Pillow reads them',
    'hue': 'mmcv shifts a hue by a negative number, an OverflowError on numpy 2',
    'picture_colors': "mmpretrain's pictures of predictions swap red and blue",
    'numpy_names': 'np.in1d and np.float are gone from numpy',
    'interp2d': 'interp2d is gone from SciPy (BEiT position tables)',
    'amp_cpu': 'mixed precision asserts an accelerator',
    'activation_checkpointing': 'activation checkpointing drops all gradients, silently',
    'distributed_cpu': 'distributed runs need CUDA',
    'ssd_head': 'SSD cannot predict in mmdet 3.3',
    'assignment': "mmdet's trackers want the packages lap and motmetrics for one function each",
    'lab_colors': 'BoxInst wants scikit-image for one function',
    'paste_masks': 'pasting the mask of a box outside of the image dies on the CPU',
    'class_weights': "mmseg's class weights die of pixels to be ignored",
    'noise': 'warnings of upstream code that no user can act on',
}


def activate() -> None:
    """Apply every piece; a second call changes nothing."""
    for name in PIECES:
        importlib.import_module(f'{__name__}.{name}').apply()


def describe() -> list[tuple[str, str, bool]]:
    """List the pieces as ``(name, what it fixes, active)``.

    A piece is active when the module it concerns has been imported and needed the fix, so import
    the mm packages first to get the whole picture.
    """
    return [(name, fixes, patching.is_active(name)) for name, fixes in PIECES.items()]
