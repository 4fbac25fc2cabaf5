"""Table of the pieces: what each one fixes, and the modules whose import triggers it."""

from dataclasses import dataclass
from importlib import import_module
from types import ModuleType


@dataclass(frozen=True)
class Piece:
    """One fix of the upstream stack, in a file of its own that is imported when it is needed.

    Attributes:
        path: The file, from this folder, as a dotted name.
        fixes: What it fixes, in one line.
        modules: Once one of them is imported, the file's ``fix`` is called with it.
    """

    path: str
    fixes: str
    modules: tuple[str, ...]

    @property
    def name(self) -> str:
        """The last part of the path, by which the piece can be switched off."""
        return self.path.rpartition('.')[2]

    def fix(self, module: ModuleType) -> None:
        """Fix a module that has just been imported, where it needs it."""
        import_module(f'{__package__}.{self.path}').fix(module)


PIECES = (
    Piece(
        'mmcv_ops',
        'mmcv is installed without its compiled operators',
        ('mmcv', 'mmcv.ops'),
    ),
    Piece(
        'safe_globals',
        'torch refuses the harmless names in checkpoints of the mm and timm trainers',
        ('torch', 'mmengine.logging.history_buffer'),
    ),
    Piece(
        'safe_load',
        'checkpoints from a URL are loaded with code execution; unclear errors',
        ('mmengine.runner.checkpoint',),
    ),
    Piece(
        'resume_config',
        'resuming runs configuration text of the checkpoint as Python',
        ('mmengine.runner.runner', 'mmengine._strategy.single_device'),
    ),
    Piece(
        'package_utils',
        '`mmdet::` bases are not found without pkg_resources, or of editable installations',
        ('mmengine.utils.package_utils',),
    ),
    Piece(
        'own_configs',
        '`vminet_mm::` configs are refused, and others looked up in all metafiles',
        (
            *('mmengine.config.utils', 'mmengine.config.config', 'mmengine.hub.hub'),
            'mim.utils.utils',
        ),
    ),
    Piece(
        'data_errors',
        'errors in a data pipeline do not name the image',
        ('mmengine.dataset.base_dataset', 'mmcv.transforms.loading'),
    ),
    Piece(
        'deep_images',
        'images of 16 bits become white when Pillow reads them',
        ('mmcv.image.io',),
    ),
    Piece(
        'hue',
        'mmcv shifts a hue by a negative number, an OverflowError on numpy 2',
        ('mmcv.image.photometric',),
    ),
    Piece(
        'picture_colors',
        "mmpretrain's drawings of predictions swap red and blue",
        ('mmpretrain.engine.hooks.visualization_hook',),
    ),
    Piece(
        'amp_cpu',
        'mixed precision asserts an accelerator',
        ('mmengine.optim.optimizer.amp_optimizer_wrapper',),
    ),
    Piece(
        'activation_checkpointing',
        'activation checkpointing drops all gradients, silently',
        ('mmengine.runner.activation_checkpointing',),
    ),
    Piece(
        'distributed_cpu',
        'distributed runs need CUDA',
        ('mmengine.dist.utils', 'mmengine.model.wrappers.distributed'),
    ),
    Piece(
        'class_weights',
        "mmseg's class weights crash on ignored pixels",
        ('mmseg.models.losses.cross_entropy_loss',),
    ),
    Piece(
        'noise',
        'warnings of upstream code that no user can act on',
        ('torch', 'mmengine.fileio.file_client'),
    ),
    # Nothing of VMINet needs the rest. They let the models of other configs run.
    Piece(
        'other_models.multimodal',
        'mmpretrain cannot be imported beside a newer transformers',
        ('mmpretrain.utils.dependency',),
    ),
    Piece(
        'other_models.numpy_names',
        'np.in1d and np.float are gone from numpy',
        (
            'mmpretrain.evaluation.metrics.retrieval',
            'mmdet.evaluation.functional.ytviseval',
            'mmcv.ops.pixel_group',
        ),
    ),
    Piece(
        'other_models.interp2d',
        'interp2d is gone from SciPy (BEiT position tables)',
        ('mmpretrain.models.utils.embed', 'mmseg.models.backbones.beit'),
    ),
    Piece(
        'other_models.ssd_head',
        'SSD cannot predict in mmdet 3.3',
        ('mmdet.models.dense_heads.ssd_head',),
    ),
    Piece(
        'other_models.assignment',
        "mmdet's trackers want the packages lap and motmetrics for one function each",
        tuple(
            f'mmdet.models.trackers.{name}'
            for name in ('byte_tracker', 'ocsort_tracker', 'sort_tracker', 'strongsort_tracker')
        ),
    ),
    Piece(
        'other_models.lab_colors',
        'BoxInst wants scikit-image for one function',
        ('mmdet.models.data_preprocessors.data_preprocessor',),
    ),
    Piece(
        'other_models.paste_masks',
        'pasting the mask of a box outside of the image crashes on the CPU',
        ('mmdet.models.roi_heads.mask_heads.fcn_mask_head',),
    ),
)
