from pathlib import Path

import cv2
import numpy as np
import torch
from mmpretrain.engine.hooks import VisualizationHook
from mmpretrain.structures import DataSample
from mmpretrain.visualization import UniversalVisualizer


def drawn(tmp_path: Path, batch: dict, **options: bool) -> list[Path]:
    """The pictures of a batch of one image."""
    UniversalVisualizer.get_instance('colors')
    hook = VisualizationHook(out_dir=str(tmp_path), interval=1, **options)
    sample = DataSample(metainfo=dict(img_path='a.jpg')).set_gt_label(0).set_pred_label(0)
    hook.after_test_iter(None, 0, batch, [sample])
    return list(tmp_path.iterdir())


def test_a_picture_has_the_colors_of_its_image(tmp_path: Path) -> None:
    image = torch.tensor([200, 40, 90], dtype=torch.uint8)[:, None, None].expand(3, 96, 128)
    batch = dict(inputs=image[None])  # as mmcv reads it, BGR
    (path,) = drawn(tmp_path, batch, enable=True)
    picture = cv2.imread(str(path))
    assert np.abs(picture[-1, -1].astype(int) - [200, 40, 90]).max() <= 2
    assert torch.equal(batch['inputs'][0], image)  # what the model is given is left alone


def test_nothing_is_drawn_unless_asked_for(tmp_path: Path) -> None:
    assert drawn(tmp_path, dict(inputs=None), enable=False) == []
