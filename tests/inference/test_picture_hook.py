"""--show-dir: ground truth beside the prediction, one picture an image, wherever it lies."""

from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace

import cv2
import numpy as np
import pytest
import torch
from mmdet.structures import DetDataSample
from mmengine.config import Config
from mmengine.structures import InstanceData, PixelData
from mmpretrain.structures import DataSample
from mmseg.structures import SegDataSample

from vminet_mm.errors import ConfigError
from vminet_mm.inference.drawing import TRUE_COLOR
from vminet_mm.inference.picture_hook import GAP, PredictionPictureHook, picture_name
from vminet_mm.inference.predictions import write_image
from vminet_mm.inference.sources import read_image
from vminet_mm.tasks import CLASSIFICATION, DETECTION, SEGMENTATION, Task

SIZE = (500, 600)


def box(score: float | None = None) -> InstanceData:
    instances = InstanceData(
        bboxes=torch.tensor([[100.0, 100, 300, 300]]), labels=torch.tensor([1])
    )
    if score is not None:
        instances.scores = torch.tensor([score])
    return instances


def label_map() -> PixelData:
    return PixelData(data=torch.ones(1, *SIZE, dtype=torch.long))


def predicted(task: Task, labeled: bool) -> object:
    """A sample as a model hands it on."""
    if task is DETECTION:
        sample = DetDataSample(pred_instances=box(0.9))
        sample.gt_instances = box() if labeled else InstanceData()
    elif task is SEGMENTATION:
        sample = SegDataSample(pred_sem_seg=label_map())
        if labeled:
            sample.gt_sem_seg = label_map()
    else:
        sample = DataSample().set_pred_score(torch.tensor([0.9, 0.1]))
        if labeled:
            sample.set_gt_label(1)
    return sample


class Images:
    """A data set of image files."""

    metainfo = dict(classes=('a', 'b'), palette=[(255, 0, 0), (0, 255, 0)])

    def __init__(self, files: Sequence[Path]) -> None:
        self.files = files

    def __len__(self) -> int:
        return len(self.files)

    def get_data_info(self, index: int) -> dict:
        return dict(img_path=str(self.files[index]))


def draw(task: Task, sample: object, folder: Path, *names: str, **options: object) -> np.ndarray:
    """The picture of a sample, made as in a test of the runner."""
    images = [folder / 'images' / name for name in names or ('one.png',)]
    for image in images:
        image.parent.mkdir(parents=True, exist_ok=True)
        write_image(image, np.full((*SIZE, 3), 100, np.uint8))
    runner = SimpleNamespace(
        test_dataloader=SimpleNamespace(dataset=Images(images)),
        cfg=Config(dict(default_scope=task.scope)),
        model=torch.nn.Identity(),
        visualizer=None,
    )
    hook = PredictionPictureHook(str(folder / 'out'), **options)
    hook.before_test(runner)
    for image in images:
        sample.set_metainfo(dict(img_path=str(image)))
        hook.after_test_iter(runner, 0, outputs=[sample])
    return read_image(next((folder / 'out').rglob('*.png')))


@pytest.mark.parametrize('task', [DETECTION, SEGMENTATION], ids=lambda task: task.name)
def test_ground_truth_is_on_the_left(task: Task, tmp_path: Path) -> None:
    both = draw(task, predicted(task, True), tmp_path / 'both')
    alone = draw(task, predicted(task, False), tmp_path / 'alone')
    assert alone.shape == (*SIZE, 3) and both.shape == (SIZE[0], 2 * SIZE[1] + GAP, 3)
    np.testing.assert_array_equal(both[:, SIZE[1] + GAP :], alone)
    assert both[300 - 1, 200].tolist() == both[300 - 1, SIZE[1] + GAP + 200].tolist()


def test_the_class_of_an_image_is_marked(tmp_path: Path) -> None:
    """Also where it is none of the five best."""
    both = draw(CLASSIFICATION, predicted(CLASSIFICATION, True), tmp_path / 'both')
    alone = draw(CLASSIFICATION, predicted(CLASSIFICATION, False), tmp_path / 'alone')
    assert both.shape == alone.shape
    counts = [(p[SIZE[0] :] == TRUE_COLOR).all(2).sum() for p in (both, alone)]
    assert counts[0] > 100 and counts[1] == 0


def test_objects_below_the_score_are_left_out(tmp_path: Path) -> None:
    drawn = draw(DETECTION, predicted(DETECTION, False), tmp_path, score_thr=0.95)
    assert (drawn == 100).all()


def test_a_window_shows_it_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shown = []
    visualizer = SimpleNamespace(show=lambda *args: shown.append(args))
    hook = PredictionPictureHook(show=True, wait_time=1.5)
    monkeypatch.setattr(hook, '_draw', lambda *_: np.zeros((2, 3, 3), np.uint8))
    hook.root = tmp_path
    sample = predicted(SEGMENTATION, False)
    sample.set_metainfo(dict(img_path='b/c.jpg'))
    hook.after_test_iter(SimpleNamespace(visualizer=visualizer), 0, outputs=[sample])
    ((picture, name, seconds),) = shown
    assert picture.shape == (2, 3, 3) and (name, seconds) == ('c.jpg', 1.5)


def test_other_predictions_are_left_to_the_library(tmp_path: Path) -> None:
    calls = []
    visualizer = SimpleNamespace(add_datasample=lambda *args, **rest: calls.append((args, rest)))
    image = tmp_path / 'x.png'
    cv2.imwrite(str(image), np.full((4, 5, 3), (1, 2, 3), np.uint8))
    hook = PredictionPictureHook(str(tmp_path / 'out'))
    hook.root = tmp_path
    sample = DetDataSample(pred_panoptic_seg=label_map(), metainfo=dict(img_path=str(image)))
    hook.after_test_iter(SimpleNamespace(visualizer=visualizer), 0, outputs=[sample])
    (((name, picture, _), rest),) = calls
    assert name == 'x.png' and picture[0, 0].tolist() == [3, 2, 1]
    assert rest['out_file'] == str(tmp_path / 'out/x.png')


@pytest.mark.parametrize(
    ('name', 'expected'),
    [
        ('a/x.jpg', 'a/x.jpg'),
        ('a/x.png', 'a/x.png'),
        ('\u732b$/x.gif.GIFX', '\u732b$/x.gif.GIFX.jpg'),
    ],
)
def test_names_of_pictures(name: str, expected: str) -> None:
    assert picture_name(Path(name)) == Path(expected)


@pytest.mark.parametrize('task', [DETECTION, SEGMENTATION, CLASSIFICATION], ids=lambda t: t.name)
def test_images_of_one_name_in_several_folders(task: Task, tmp_path: Path) -> None:
    """Without labels, of joined data sets, in Chinese folders."""
    names = ['\u4e00 val/a/x.png', '\u4e00 val/b/x.png', '\u4e8c$/a/x.png', '\u4e8c$/b/x.png']
    draw(task, predicted(task, False), tmp_path, *names)
    found = sorted(str(p.relative_to(tmp_path / 'out')) for p in (tmp_path / 'out').rglob('*.png'))
    assert found == names


def test_images_that_are_no_files(tmp_path: Path) -> None:
    images = Images([tmp_path])
    images.get_data_info = lambda index: dict(img=np.zeros((2, 3, 3), np.uint8))
    runner = SimpleNamespace(
        test_dataloader=SimpleNamespace(dataset=images),
        cfg=Config(dict(default_scope='mmpretrain')),
        model=torch.nn.Identity(),
    )
    with pytest.raises(ConfigError, match='image files'):
        PredictionPictureHook(str(tmp_path)).before_test(runner)
