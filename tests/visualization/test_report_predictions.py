"""Predictions are scored as by hand, and of a data set those images that were asked for."""

import base64
import json
import runpy
from pathlib import Path
from types import SimpleNamespace

import cv2
import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmengine.registry import MODELS, DefaultScope
from mmengine.structures import InstanceData, PixelData
from mmseg.evaluation import IoUMetric
from report_inputs import Page, training_line
from torch import nn

from vminet_mm.engine import load_config
from vminet_mm.errors import ConfigError
from vminet_mm.inference import Classification, Detection, Predictor, Segmentation
from vminet_mm.visualization.report import predict, predictions
from vminet_mm.visualization.report.examples import label_map_iou, match_objects, to_jpeg

ROOT = Path(__file__).resolve().parents[2]
TASKS = {
    'detection': ('configs/mask_rcnn/mask-rcnn_vminet-ti_fpn_mini.py', 'coco', Detection),
    'segmentation': ('configs/upernet/upernet_vminet-ti_mini.py', 'ade', Segmentation),
    'classification': ('configs/cls/vminet-ti_mini.py', 'imagenet', Classification),
}


def mini_config(task: str, root: Path) -> Config:
    config, folder, _ = TASKS[task]
    return load_config(ROOT / config, data_root=str(root / folder))


def decode(address: str) -> np.ndarray:
    head, content = address.split(',')
    assert head == 'data:image/jpeg;base64'
    return cv2.imdecode(np.frombuffer(base64.b64decode(content), np.uint8), cv2.IMREAD_COLOR)


def test_label_maps_by_hand() -> None:
    ground_truth = torch.tensor([[0, 0, 1], [1, 255, 255]])
    predicted = torch.tensor([[0, 1, 1], [1, 3, 0]])
    # class 0: 1 of 2, class 1: 2 of 3; class 3 is where nothing is known
    assert label_map_iou(predicted, ground_truth) == pytest.approx((1 / 2 + 2 / 3) / 2)
    assert label_map_iou(ground_truth, ground_truth) == 1.0
    assert label_map_iou(predicted, torch.full((2, 3), 255)) == 1.0


def test_label_maps_as_mmseg_has_it() -> None:
    ground_truth, predicted = torch.randint(5, (7, 11)), torch.randint(6, (7, 11))
    ground_truth[0] = 255
    both, union, _, _ = IoUMetric.intersect_and_union(predicted, ground_truth.clone(), 6, 255)
    expected = (both / union)[union > 0].mean()
    assert label_map_iou(predicted, ground_truth) == pytest.approx(float(expected))


def match(boxes: list, labels: list, scores: list, objects: list[tuple]) -> object:
    """Objects are (box, label, whether it is a crowd)."""
    found = InstanceData(
        bboxes=torch.tensor(boxes, dtype=torch.float32).reshape(-1, 4),
        labels=torch.tensor(labels, dtype=torch.long),
        scores=torch.tensor(scores, dtype=torch.float32),
    )
    instances = [
        dict(bbox=box, bbox_label=label, ignore_flag=int(crowd)) for box, label, crowd in objects
    ]
    return match_objects(SimpleNamespace(pred_instances=found), dict(instances=instances))


def test_objects_by_hand() -> None:
    objects = [([0, 0, 10, 10], 0, False), ([20, 0, 30, 10], 1, False), ([50, 0, 90, 40], 0, True)]
    boxes = [
        [0, 0, 10, 8],  # IoU 0.8 with the first
        [0, 0, 10, 10],  # the first again, and surer
        [20, 0, 30, 10],  # of another class than the second
        [55, 0, 65, 10],  # in the crowd
        [45, 0, 55, 10],  # half in the crowd
        [70, 60, 80, 70],  # not sure
    ]
    found = match(boxes, [0, 0, 0, 0, 1, 0], [0.8, 0.9, 0.7, 0.6, 0.5, 0.2], objects)
    assert (found.ious, found.false, found.missed) == ([1.0], 2, 1)
    assert found.score == pytest.approx(1 / (1 + 1 / 2 + 2 / 2))
    (iou,) = match(boxes[:1], [0], [0.8], objects[:1]).ious
    assert iou == pytest.approx(0.8)
    assert match([[0, 0, 10, 4]], [0], [0.8], objects[:1]).false == 1  # IoU 0.4


def test_images_without_objects() -> None:
    assert match([], [], [], []).score == 1.0
    assert match([], [], [], [([0, 0, 1, 1], 0, False)]).score == 0.0
    assert match([[0, 0, 1, 1]], [0], [0.9], []).score == 0.0


def test_jpeg_is_small() -> None:
    assert decode(to_jpeg(np.zeros((900, 1200, 3), np.uint8))).shape == (420, 560, 3)
    assert decode(to_jpeg(np.zeros((9, 1200, 3), np.uint8))).shape == (4, 560, 3)
    assert decode(to_jpeg(np.zeros((31, 20, 3), np.uint8))).shape == (31, 20, 3)


class Oracle(nn.Module):
    """Knows the ground truth; of classes, it believes all images to be of class 0."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(3))

    def test_step(self, batch: dict) -> list:
        (sample,) = batch['data_samples']
        if 'gt_sem_seg' in sample:
            sample.pred_sem_seg = PixelData(data=sample.gt_sem_seg.data.clone())
        elif 'gt_instances' in sample:
            ground_truth = sample.gt_instances
            masks = torch.from_numpy(ground_truth.masks.to_ndarray()).bool()
            sample.pred_instances = InstanceData(
                bboxes=getattr(ground_truth.bboxes, 'tensor', ground_truth.bboxes),
                labels=ground_truth.labels,
                masks=masks,
                scores=torch.full((len(masks),), 0.9),
            )
        else:
            fraction = 0.9 - 0.1 * int(sample.gt_label)
            sample.set_pred_score(
                torch.tensor([fraction, *[(1 - fraction) / 4] * 4])
            ).set_pred_label(0)
        return [sample]


def judge(task: str, root: Path, number: int, monkeypatch: pytest.MonkeyPatch) -> object:
    """What is told of the oracle."""
    cfg = mini_config(task, root)
    classes = ('circle', 'cross', 'ring', 'square', 'triangle')
    if task == 'segmentation':
        classes = ('background', *classes)

    def load_model(cfg: Config, checkpoint: str, device: str) -> Predictor:
        colors = np.array([[10 * k, 200, 100] for k in range(len(classes))], dtype=np.float32)
        with DefaultScope.overwrite_default_scope(cfg.default_scope):
            return Predictor(TASKS[task][2], Oracle(), cfg, classes, colors)

    monkeypatch.setattr(predictions, 'load_model', load_model)
    return predict(cfg, 'none.pth', number)


@pytest.mark.parametrize('number', [1, 3, 100])
def test_ground_truth_is_perfect_detection(
    number: int, mini_root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = judge('detection', mini_root, number, monkeypatch)
    assert (found.images, found.available, found.parameters) == (min(number, 6), 6, 3)
    # images that were not asked for do not count as missed
    assert found.metrics['coco/bbox_mAP'] == found.metrics['coco/segm_mAP'] == 1.0
    boxes, masks = found.tables
    assert (boxes.title, masks.title) == ('boxes', 'masks') and boxes.columns[0] == 'mAP'
    assert {values[0] for _, values in boxes.rows} <= {100.0, None}
    shown = [*found.best, *found.worst]
    assert len(found.best) == (found.images + 1) // 2 and len(found.worst) == found.images // 2
    assert len({one.name for one in shown}) == len(shown) == found.images
    for one in shown:
        assert one.score == pytest.approx(1.0)
        number_found, number_true = one.remark.split()[0], one.remark.split()[2]
        assert number_found == number_true and '0 false' in one.remark
        ground_truth, prediction = (decode(address) for _, address in one.pictures)
        assert ground_truth.shape == prediction.shape == (384, 480, 3)


def test_ground_truth_is_perfect_segmentation(
    mini_root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = judge('segmentation', mini_root, 4, monkeypatch)
    assert found.metrics['mIoU'] == found.metrics['aAcc'] == 100.0
    (table,) = found.tables
    assert table.columns == ['IoU', 'Acc'] and table.rows[0] == ('background', [100.0, 100.0])
    assert [name for name, _ in found.best[0].pictures] == ['ground truth', 'prediction', 'image']
    ground_truth, prediction, image = (decode(address) for _, address in found.best[0].pictures)
    assert np.array_equal(ground_truth, prediction) and not np.array_equal(ground_truth, image)
    assert ('background', 'rgb(0 200 100)') in found.best[0].classes
    assert '100.0% of the pixels right' in found.best[0].remark


def test_classes_are_counted_and_ranked(mini_root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = judge('classification', mini_root, 1000, monkeypatch)
    folders = sorted((mini_root / 'imagenet/val').iterdir())
    counts = [len(list(folder.iterdir())) for folder in folders]
    fraction = 100 * counts[0] / sum(counts)
    assert found.images == sum(counts)
    assert found.metrics['accuracy/top1'] == pytest.approx(fraction, abs=1e-3)
    (table,) = found.tables
    values = [values for _, values in table.rows]
    assert table.columns == ['accuracy', 'precision']
    assert values[0] == pytest.approx([100.0, fraction])
    for k in range(1, 5):
        assert values[k] == [0.0 if counts[k] else None, None]
    assert found.best[0].score == pytest.approx(0.9) and found.best[0].bars[0].is_true
    worst = found.worst[0]
    assert worst.score == pytest.approx((1 - 0.9 + 0.1) / 4)  # of class 1
    assert worst.remark == 'true: cross' and [bar.is_true for bar in worst.bars].count(True) == 1
    ordered = [one.score for one in [*found.worst, *found.best[::-1]]]
    assert ordered == sorted(ordered)


def save_random_weights(cfg: Config, path: Path) -> None:
    with DefaultScope.overwrite_default_scope(cfg.default_scope):
        cfg.model.setdefault('data_preprocessor', cfg.get('data_preprocessor'))
        torch.save(dict(state_dict=MODELS.build(cfg.model).state_dict(), meta={}), path)


@pytest.mark.parametrize('task', ['detection', 'segmentation'])
def test_a_model_and_its_checkpoint(task: str, mini_root: Path, tmp_path: Path) -> None:
    cfg = mini_config(task, mini_root)
    save_random_weights(mini_config(task, mini_root), tmp_path / 'a.pth')
    found = predict(cfg, tmp_path / 'a.pth', 3, 'cpu')
    assert found.images == 3 and found.parameters > 1e6 and found.tables
    assert 0 <= found.worst[0].score <= found.best[0].score <= 1
    assert set(found.metrics) > ({'mIoU'} if task == 'segmentation' else {'coco/bbox_mAP'})


def test_data_and_weights_must_be_there(mini_root: Path, tmp_path: Path) -> None:
    cfg = mini_config('classification', mini_root)
    with pytest.raises(ConfigError, match='there is no checkpoint'):
        predict(cfg, tmp_path / 'none.pth', 3, 'cpu')
    cfg.val_dataloader.dataset.data_root = str(tmp_path / 'none')
    with pytest.raises(ConfigError, match='val: .* is missing'):
        predict(cfg, tmp_path / 'none.pth', 3, 'cpu')
    cfg.val_dataloader = None
    with pytest.raises(ConfigError, match='no val_dataloader'):
        predict(cfg, tmp_path / 'none.pth', 3, 'cpu')


def report(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> None:
    monkeypatch.setattr('sys.argv', ['report.py', *arguments])
    runpy.run_path(str(ROOT / 'tools/report.py'), run_name='__main__')


def test_the_tool(
    mini_root: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture,
) -> None:
    cfg = mini_config('classification', mini_root)
    vis_data = tmp_path / 'w/20250101_100000/vis_data'
    vis_data.mkdir(parents=True)
    for path in (vis_data / 'config.py', tmp_path / 'w/vminet-ti_mini.py'):
        cfg.dump(path)
    epochs = cfg.train_cfg.max_epochs
    lines = [training_line(1), {'accuracy/top1': 20.0, 'step': epochs}]
    (vis_data / 'scalars.json').write_text('\n'.join(map(json.dumps, lines)))
    checkpoint = tmp_path / f'w/epoch_{epochs}.pth'
    save_random_weights(cfg, checkpoint)
    report(monkeypatch, str(tmp_path / 'w'), '--num-images', '4', '--device', 'cpu')
    assert f'written: {tmp_path}/w/report.html' in capsys.readouterr().out
    page = Page(tmp_path / 'w/report.html')
    assert len(page.values('img', 'src')) == 4 and page.rows['classes'][1][0] == 'circle'
    assert f'epoch {epochs} of {epochs}' in page.text['']
    # the checkpoint is gone: a page without predictions, unless it was asked for
    checkpoint.unlink()
    report(monkeypatch, str(tmp_path / 'w'), '--out', str(tmp_path / 'other.html'))
    assert 'no checkpoint' in capsys.readouterr().err
    assert 'there is no checkpoint in' in Page(tmp_path / 'other.html').text['predictions']
    with pytest.raises(SystemExit, match=r'gone\.pth'):
        report(monkeypatch, str(tmp_path / 'w'), '--checkpoint', str(tmp_path / 'gone.pth'))
    with pytest.raises(SystemExit, match=f'error: --out {tmp_path} is a folder'):
        report(monkeypatch, str(tmp_path / 'w'), '--out', str(tmp_path))
    report(monkeypatch, str(tmp_path / 'w'), '--num-images', '0')
    assert '--num-images 0 was given' in Page(tmp_path / 'w/report.html').text['predictions']


def test_wrong_calls_end_with_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    with pytest.raises(SystemExit, match='^error: there is no folder nowhere$'):
        report(monkeypatch, 'nowhere')
    with pytest.raises(SystemExit, match='^error: .* is not a work dir'):
        report(monkeypatch, str(tmp_path))
    with pytest.raises(SystemExit):
        report(monkeypatch, str(tmp_path), '--num-images', '-1')
    assert '--num-images' in capsys.readouterr().err
