"""Label maps that a segmentor predicts while it is tested, for ``--out DIR``."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from mmengine.hooks import Hook
from mmengine.registry import HOOKS
from mmengine.runner import Runner
from mmengine.structures import BaseDataElement

from .predictions import write_image
from .sources import image_root, relative_location


@HOOKS.register_module()
class LabelMapHook(Hook):
    """Write every image's predicted label map as a PNG file during a test.

    A file has the name of its image, in the same sub-folder below the folder that all images are
    in; ``output_dir`` of mmseg's metrics lets images of the same name overwrite each other. Like
    there, classes count from 1 where the data set's labels do (``reduce_zero_label``).

    Args:
        out_dir (str): Folder of the label maps.
    """

    def __init__(self, out_dir: str) -> None:
        self.out_dir = out_dir

    def before_test(self, runner: Runner) -> None:
        """Look up where the images are, and how many classes there are."""
        dataset = runner.test_dataloader.dataset
        self.root = image_root(dataset)
        is_large = len(dataset.metainfo.get('classes') or ()) > 255
        self.kind = np.uint16 if is_large else np.uint8

    def after_test_iter(
        self,
        runner: Runner,
        batch_idx: int,
        data_batch: Any = None,
        outputs: Sequence[BaseDataElement] = (),
    ) -> None:
        """Write the label maps of a batch."""
        for sample in outputs:
            labels = sample.pred_sem_seg.data[0].cpu().numpy()
            labels = labels + int(bool(sample.get('reduce_zero_label')))
            name = relative_location(self.root, sample.img_path).with_suffix('.png')
            write_image(Path(self.out_dir, name), labels.astype(self.kind))
