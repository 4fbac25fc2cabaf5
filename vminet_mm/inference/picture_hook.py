"""Drawings of what a model predicts during a test, for ``--show-dir`` and ``--show``."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from mmengine.hooks import Hook
from mmengine.registry import HOOKS
from mmengine.runner import Runner
from mmengine.structures import BaseDataElement

from ..datasets.pictures import IMAGE_NAME
from ..tasks import task_of
from .colors import class_colors
from .ground_truth import draw_ground_truth
from .loading import number_of_classes
from .predictions import KINDS, SCORE_THR, write_image
from .sources import Frame, image_root, read_image, relative_location

GAP = 4  # pixels between ground truth and prediction
FIELDS = ('pred_instances', 'pred_sem_seg', 'pred_score')  # what can be drawn


@HOOKS.register_module()
class PredictionPictureHook(Hook):
    """Draw every image's ground truth beside its prediction during a test.

    A picture has the name of its image, in the same sub-folder below the folder that all images are
    in. Where there are no labels, the prediction stands alone; a classifier's table marks the
    image's own class.

    Args:
        out_dir (str | None): Folder of the pictures; None writes none. Defaults to None.
        show (bool): Show each picture in a window. Defaults to False.
        wait_time (float): Seconds a window stays, 0 until a key is pressed. Defaults to 0.
        score_thr (float): The minimum score of an object to be drawn. Defaults to 0.3.
    """

    def __init__(
        self,
        out_dir: str | None = None,
        show: bool = False,
        wait_time: float = 0.0,
        score_thr: float = SCORE_THR,
    ) -> None:
        self.out_dir, self.show = out_dir, show
        self.wait_time, self.score_thr = wait_time, score_thr

    def before_test(self, runner: Runner) -> None:
        """Look up the task, the classes and where the images lie."""
        dataset = runner.test_dataloader.dataset
        self.kind = KINDS[task_of(runner.cfg).scope]
        meta = dataset.metainfo
        count = number_of_classes(runner.model)
        self.classes = tuple(meta.get('classes') or map(str, range(count)))
        self.colors = class_colors(len(self.classes), meta.get('palette'))
        self.root = image_root(dataset)

    def after_test_iter(
        self,
        runner: Runner,
        batch_idx: int,
        data_batch: Any = None,
        outputs: Sequence[BaseDataElement] = (),
    ) -> None:
        """Draw a batch."""
        for sample in outputs:
            path = Path(sample.img_path)
            name = picture_name(relative_location(self.root, path))
            file = self.out_dir and Path(self.out_dir, name)
            if any(field in sample for field in FIELDS):
                picture = self._draw(path, sample.cpu())
                if file:
                    write_image(file, picture)
                if self.show:
                    runner.visualizer.show(picture[..., ::-1], path.name, self.wait_time)
            else:  # of a task of its own, such as panoptic segmentation
                image = read_image(path)[..., ::-1]
                options = dict(show=self.show, wait_time=self.wait_time)
                runner.visualizer.add_datasample(
                    path.name, image, sample.cpu(), out_file=file and str(file), **options
                )

    def _draw(self, path: Path, sample: BaseDataElement) -> np.ndarray:
        """Ground truth and prediction of an image side by side, BGR uint8."""
        image = read_image(path)
        prediction = self.kind(Frame(str(path), image=image), sample, self.classes, self.colors)
        picture = prediction.draw(self.score_thr)
        labels = draw_ground_truth(image, sample, self.classes, self.colors)
        if labels is None:
            return picture
        labels = cv2.copyMakeBorder(labels, 0, 0, 0, GAP, cv2.BORDER_CONSTANT, value=(255,) * 3)
        return np.hstack((labels, picture))


def picture_name(path: Path) -> Path:
    """The file for an image's picture: of the same name if OpenCV writes its format."""
    is_writable = IMAGE_NAME.fullmatch(path.name) and cv2.haveImageWriter(path.name)
    return path if is_writable else path.with_name(f'{path.name}.jpg')
