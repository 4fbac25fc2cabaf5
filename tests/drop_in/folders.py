"""The algorithm folders of mmdet and mmseg, and which of a folder's configs stands for it.

The first, in this order, of the configs that have a model: the name begins with the folder's name;
it is of COCO, ADE20K or Cityscapes; it is short; the alphabet. :data:`REPRESENTATIVES` has the
folders where this would miss what the folder is about.
"""

import importlib.util
from pathlib import Path

from mmengine.config import Config

from vminet_mm.tasks import DETECTION, SEGMENTATION

from .errors import NotApplicableError

LIBRARIES = (DETECTION.scope, SEGMENTATION.scope)
REPRESENTATIVES = {
    # the config of the RPN alone lacks an argument that its head wants
    'cascade_rpn': 'cascade-rpn_faster-rcnn_r50-caffe_fpn_1x_coco.py',
    # deformable convolutions, as in nearly all configs of these; one of each pools RoIs deformably
    'dcn': 'faster-rcnn_r50-dconv-c3-c5_fpn_1x_coco.py',
    'dcnv2': 'faster-rcnn_r50-mdconv-c3-c5_fpn_1x_coco.py',
    # the other ones feed the pyramid back into a ResNet that is made for it
    'detectors': 'cascade-rcnn_r50-sac_1x_coco.py',
    'nas_fpn': 'retinanet_r50_nasfpn_crop640-50e_coco.py',
    # the other neck adds maps up without resizing
    'setr': 'setr_vit-l_naive_8xb2-160k_ade20k-512x512.py',
}


def config_root(library: str) -> Path:
    """Where an installed library keeps its configs."""
    origin = importlib.util.find_spec(library).origin
    return Path(origin).parent / '.mim' / 'configs'


def list_folders(library: str) -> list[Path]:
    """The algorithm folders of a library, by name."""
    folders = (path for path in config_root(library).iterdir() if path.is_dir())
    return sorted(path for path in folders if not path.name.startswith('_'))


def candidates(folder: Path) -> list[Path]:
    """The configs of a folder, the one that stands for it first."""
    chosen = REPRESENTATIVES.get(folder.name)

    def rank(path: Path) -> tuple:
        plain = path.name.replace('-', '').replace('_', '')
        is_named = plain.startswith(folder.name.replace('_', ''))
        is_common = any(name in path.name for name in ('coco', 'ade20k', 'cityscapes'))
        return path.name != chosen, not is_named, not is_common, len(path.name), path.name

    return sorted(folder.glob('*.py'), key=rank)


def find_config(folder: Path) -> tuple[Path, Config]:
    """The config that stands for a folder.

    Raises:
        NotApplicableError: If none of its configs has a model.
    """
    for path in candidates(folder):
        try:
            cfg = Config.fromfile(path)
        except FileNotFoundError:  # a base that the release does not have
            continue
        if 'type' in (cfg.get('model') or {}):
            return path, cfg
    raise NotApplicableError('no config of the folder has a model')
