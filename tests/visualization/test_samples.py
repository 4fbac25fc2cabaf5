"""The page of samples: each kind of label is where it belongs, in its color."""

from pathlib import Path
from types import SimpleNamespace

import cv2
import numpy as np
import pytest
import torch
from mmdet.structures import DetDataSample
from mmdet.structures.mask import BitmapMasks
from mmengine.structures import InstanceData, PixelData
from mmpretrain.structures import DataSample
from mmseg.structures import SegDataSample

from vminet_mm.inference.colors import class_colors
from vminet_mm.visualization.samples import save_page

GROUND = (40, 120, 160)  # nothing else on a page is like it, or like its blends
RED, GREEN = (255, 0, 0), (0, 255, 0)
HALF_RED, HALF_GREEN = (148, 60, 80), (20, 188, 80)
PICTURE = np.full((60, 80, 3), GROUND, dtype=np.uint8)


def sample(data_sample: object, image: np.ndarray = PICTURE, label_size: tuple = (60, 80)):
    return SimpleNamespace(
        name='picture.jpg', image=image, data_sample=data_sample, label_size=label_size
    )


def detection(boxes: list, labels: list, masks: np.ndarray | None = None) -> DetDataSample:
    instances = InstanceData(
        bboxes=torch.tensor(boxes, dtype=torch.float32).reshape(-1, 4),
        labels=torch.tensor(labels, dtype=torch.long),
    )
    if masks is not None:
        instances.masks = BitmapMasks(masks, *masks.shape[1:])
    return DetDataSample(gt_instances=instances)


def pixels_near(path: Path, color: tuple, tolerance: int = 12) -> np.ndarray:
    """(N, 2) rows and columns of a page's pixels of about an RGB color."""
    image = cv2.imread(str(path))[..., ::-1].astype(int)
    return np.argwhere((np.abs(image - color) <= tolerance).all(axis=2))


def picture_frame(path: Path) -> tuple[np.ndarray, np.ndarray]:
    """First and last row and column that the only picture of a page covers."""
    found = pixels_near(path, GROUND, 2)
    return found.min(axis=0), found.max(axis=0)


def box_of(path: Path, color: tuple) -> np.ndarray:
    """Left, top, right, bottom of a color in fractions of the picture of a page."""
    first, last = picture_frame(path)
    found = pixels_near(path, color)
    low, high = (found.min(0) - first) / (last - first), (found.max(0) - first) / (last - first)
    return np.array([low[1], low[0], high[1], high[0]])


@pytest.mark.parametrize('label_size', [(60, 80), (30, 40)], ids=['as image', 'as file'])
def test_mask_and_box_lie_where_the_object_is(tmp_path: Path, label_size: tuple) -> None:
    """Label sizes other than the image's are those of a test pipeline."""
    fraction = label_size[0] / 60
    mask = np.zeros((1, *label_size), dtype=np.uint8)
    mask[:, int(20 * fraction) : int(50 * fraction), int(16 * fraction) : int(64 * fraction)] = 1
    box = [[fraction * side for side in (16, 20, 64, 50)]]
    ground_truth = sample(detection(box, [0], mask), label_size=label_size)
    path = save_page(tmp_path / 'page.png', [ground_truth], ['thing'], [RED], 'title')
    assert box_of(path, HALF_RED) == pytest.approx([16 / 80, 20 / 60, 64 / 80, 50 / 60], abs=0.03)
    outline = box_of(path, RED)
    assert outline == pytest.approx([16 / 80, 20 / 60, 64 / 80, 50 / 60], abs=0.03)


def test_image_without_objects_and_crowds(tmp_path: Path) -> None:
    empty, crowd = detection([], []), detection([], [])
    crowd.ignored_instances = detection([[10, 20, 60, 50]], [0]).gt_instances
    plain = save_page(tmp_path / 'plain.png', [sample(empty)], ['thing'], [RED])
    marked = save_page(tmp_path / 'marked.png', [sample(crowd)], ['thing'], [RED])
    first, last = picture_frame(plain)
    region = np.s_[first[0] : last[0], first[1] : last[1]]
    assert (cv2.imread(str(plain))[region] == GROUND[::-1]).all()
    assert (cv2.imread(str(marked))[region] == 255).all(axis=2).any()
    assert len(pixels_near(marked, RED)) == 0


def test_label_map_is_painted_and_named(tmp_path: Path) -> None:
    labels = torch.full((1, 60, 80), 255)
    labels[:, :, :40] = 1
    ground_truth = SegDataSample(gt_sem_seg=PixelData(data=labels))
    names, palette = ['sky', 'road', 'car'], [RED, GREEN, (0, 0, 255)]
    path = save_page(tmp_path / 'page.png', [sample(ground_truth)], names, palette)
    # the unpainted right half is what the fractions refer to
    assert box_of(path, HALF_GREEN) == pytest.approx([-1, 0, 0, 1], abs=0.03)
    left, top, right, bottom = box_of(path, GREEN)  # the name
    assert -1 <= left < right < 0 <= top < bottom <= 1
    assert len(pixels_near(path, RED)) == len(pixels_near(path, (0, 0, 255))) == 0


def test_label_map_in_the_size_of_the_file(tmp_path: Path) -> None:
    labels = torch.zeros(1, 30, 40, dtype=torch.long)
    labels[:, :15] = 1
    ground_truth = SegDataSample(gt_sem_seg=PixelData(data=labels))
    path = save_page(tmp_path / 'page.png', [sample(ground_truth)], ['a', 'b'], [RED, GREEN])
    upper, lower = pixels_near(path, HALF_GREEN), pixels_near(path, HALF_RED)
    assert upper[:, 0].max() < lower[:, 0].min() and abs(len(upper) - len(lower)) < 0.1 * len(upper)


def test_classes_and_the_grid(tmp_path: Path) -> None:
    samples = [sample(DataSample().set_gt_label(k % 2)) for k in range(5)]
    path = save_page(tmp_path / 'new/page.png', samples, ['tench, Tinca tinca', 'b'])
    assert path.read_bytes().startswith(b'\x89PNG')
    # two rows of pictures, of three and of two
    for row, pictures in ((0.3, 3), (0.8, 2)):
        line = cv2.imread(str(path))[int(row * cv2.imread(str(path)).shape[0]), :, ::-1]
        inside = (np.abs(line.astype(int) - GROUND) < 3).all(axis=1)
        assert (np.diff(inside.astype(int)) == 1).sum() + inside[0] == pictures
    one = save_page(tmp_path / 'one.png', samples[:1], ['tench', 'b'])
    other = save_page(tmp_path / 'other.png', samples[:1], ['shark', 'b'])
    assert not np.array_equal(cv2.imread(str(one)), cv2.imread(str(other)))  # the title


def test_large_images_are_shrunk(tmp_path: Path) -> None:
    large = np.full((1200, 1600, 3), GROUND, dtype=np.uint8)
    ground_truth = detection([[0, 600, 800, 1200]], [0])
    path = save_page(
        tmp_path / 'page.png', [sample(ground_truth, large, (1200, 1600))], ['a'], [RED]
    )
    assert box_of(path, RED)[[0, 2, 3]] == pytest.approx([0, 0.5, 1], abs=0.03)
    assert cv2.imread(str(path)).shape[1] < 600


def test_no_samples() -> None:
    with pytest.raises(ValueError, match='no sample'):
        save_page('unused.png', [], ['a'])


def test_colors() -> None:
    assert class_colors(2, [RED, GREEN]).tolist() == [list(RED), list(GREEN)]
    own = class_colors(20, [RED, GREEN])
    assert own.shape == (20, 3) and len({tuple(color) for color in own.round()}) == 20
    assert np.linalg.norm(own[1:] - own[:-1], axis=1).min() > 80
    assert class_colors(0).shape == (0, 3)
