"""What models predict through the Predictor, against the packages' own ways to do it."""

import json
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmengine.registry import DefaultScope
from PIL import Image
from pycocotools import mask as rle
from tiny_configs import CLASSES, tiny_config

from vminet_mm.errors import ConfigError, InputError
from vminet_mm.inference import (
    Classification,
    Detection,
    Frame,
    Predictor,
    Segmentation,
    Video,
    VideoWriter,
    load_model,
)
from vminet_mm.inference.coco_ids import write_results

Files = dict[str, tuple[str, str]]
Models = dict[str, Predictor]
KINDS = dict(detection=Detection, segmentation=Segmentation, classification=Classification)


@pytest.fixture
def photo(tmp_path: Path) -> str:
    """An image of 75 x 93 pixels, which no pipeline leaves as it is."""
    pixels = np.random.default_rng(0).integers(0, 256, (5, 6, 3), dtype=np.uint8)
    cv2.imwrite(str(tmp_path / 'photo.png'), cv2.resize(pixels, (93, 75)))
    return str(tmp_path / 'photo.png')


def assert_same(first: dict, second: dict) -> None:
    """Two predictions in plain values are the same up to rounding."""
    first, second = ({k: v for k, v in one.items() if k != 'file'} for one in (first, second))
    assert first.keys() == second.keys()
    for key in ('objects', 'top', 'classes'):
        for one, other in zip(first.get(key, []), second.get(key, []), strict=True):
            assert (one['class'], one.get('pixels')) == (other['class'], other.get('pixels'))
            for number in ('score', 'box'):
                np.testing.assert_allclose(
                    one.get(number, 0), other.get(number, 0), rtol=1e-3, atol=1e-3
                )


def test_detection_is_mmdets(files: Files, models: Models, photo: str, tmp_path: Path) -> None:
    from mmdet.apis import inference_detector, init_detector

    config, checkpoint = files['detection']
    with DefaultScope.overwrite_default_scope('mmdet'):
        expected = inference_detector(
            init_detector(config, checkpoint, device='cpu'), photo
        ).pred_instances
    (prediction,) = models['detection'](photo)
    assert len(expected) > 3
    order = torch.argsort(expected.scores, descending=True, stable=True)
    write_results(tmp_path / 'r.json', [prediction.coco(7)], [10, 20, 30, 40, 50])
    found = json.loads((tmp_path / 'r.json').read_text())
    assert {path.name for path in tmp_path.iterdir()} == {'photo.png', 'r.json'}
    assert len(found) == len(expected)
    for one, k in zip(found, order, strict=True):
        left, top, right, bottom = expected.bboxes[k].tolist()
        np.testing.assert_allclose(
            one['bbox'], (left, top, right - left, bottom - top), rtol=1e-5, atol=1e-4
        )
        assert one['score'] == pytest.approx(expected.scores[k].item())
        assert (one['image_id'], one['category_id']) == (7, 10 * (int(expected.labels[k]) + 1))
        np.testing.assert_array_equal(
            rle.decode(one['segmentation']).astype(bool), expected.masks[k]
        )


def test_objects_above_a_score(models: Models, photo: str) -> None:
    (prediction,) = models['detection'](photo)
    every = prediction.to_dict(0.0)
    assert (every['file'], every['width'], every['height']) == (photo, 93, 75)
    scores = [one['score'] for one in every['objects']]
    assert scores == sorted(scores, reverse=True)
    threshold = scores[2]
    kept = prediction.to_dict(threshold)['objects']
    assert kept == every['objects'][: len(kept)] and len(kept) >= 3
    assert all(one['class'] == CLASSES['detection'][one['label']] for one in kept)
    assert prediction.to_dict(1.0)['objects'] == []
    np.testing.assert_array_equal(
        prediction.draw(1.0), cv2.resize(prediction.image, (5 * 93, 5 * 75))
    )
    assert (prediction.draw(0.0) != prediction.draw(1.0)).any()


def test_segmentation_is_mmsegs(files: Files, models: Models, photo: str, tmp_path: Path) -> None:
    from mmseg.apis import inference_model, init_model

    config, checkpoint = files['segmentation']
    with DefaultScope.overwrite_default_scope('mmseg'):
        expected = inference_model(init_model(config, checkpoint, 'cpu'), photo)
    expected = expected.pred_sem_seg.data[0].numpy()
    (prediction,) = models['segmentation'](photo)
    np.testing.assert_array_equal(prediction.label_map, expected)
    assert prediction.label_map.dtype == np.uint8
    listed = prediction.to_dict()['classes']
    assert {c['label']: c['pixels'] for c in listed} == {
        int(k): int((expected == k).sum()) for k in np.unique(expected)
    }
    assert sum(c['fraction'] for c in listed) == pytest.approx(1)
    saved = prediction.save_labels(tmp_path / 'deep/labels.png')
    np.testing.assert_array_equal(cv2.imread(str(saved), cv2.IMREAD_UNCHANGED), expected)
    with pytest.raises(InputError, match='must be a PNG file'):
        prediction.save_labels(tmp_path / 'labels.jpg')


def test_classification_is_mmpretrains(files: Files, models: Models, photo: str) -> None:
    from mmpretrain import ImageClassificationInferencer

    config, checkpoint = files['classification']
    with DefaultScope.overwrite_default_scope('mmpretrain'):
        inferencer = ImageClassificationInferencer(
            config, checkpoint, device='cpu', classes=CLASSES['classification']
        )
        (expected,) = inferencer(photo)
    (prediction,) = models['classification'](photo)
    top = prediction.to_dict()['top']
    assert top[0]['class'] == expected['pred_class'] and len(top) == 5
    np.testing.assert_allclose(
        [one['score'] for one in top], np.sort(expected['pred_scores'])[::-1], rtol=1e-5
    )


@pytest.mark.parametrize('task', KINDS)
def test_batches_of_mixed_sizes(task: str, models: Models, images: list[Path], photo: str) -> None:
    model = models[task]
    mixed = [images[0], photo, images[1], images[2], photo]
    together = model(mixed, batch_size=2)
    assert [p.frame.file for p in together] == [str(name) for name in mixed]
    for name, prediction in zip(mixed, together, strict=True):
        assert type(prediction) is KINDS[task]
        assert_same(model(name)[0].to_dict(0.1), prediction.to_dict(0.1))


def test_ways_to_name_images(models: Models, images: list[Path]) -> None:
    model = models['classification']
    pixels = cv2.imread(str(images[0]))
    by_name = model(str(images[0]))
    pillow = Image.fromarray(pixels[..., ::-1])
    alpha = np.dstack([pixels, pixels[..., 0]])
    for given in (images[0], pixels, [pixels], alpha, pillow, [pillow]):
        (prediction,) = model(given)
        assert_same(prediction.to_dict(), by_name[0].to_dict())
    folder = images[0].parent
    assert len(model(folder)) == len(model(f'{folder}/*.jpg', batch_size=4)) == len(images)
    assert model([]) == []
    with pytest.raises(InputError, match='there is no file or folder none.jpg'):
        model('none.jpg')
    with pytest.raises(ConfigError, match='batch_size must be at least 1'):
        model(pixels, batch_size=0)


@pytest.mark.parametrize('task', KINDS)
@pytest.mark.parametrize('size', [(1, 1), (1, 200), (130, 1)])
def test_tiny_images(task: str, size: tuple, models: Models) -> None:
    (prediction,) = models[task](np.full((*size, 3), 200, np.uint8))
    content = prediction.to_dict(0.0)
    assert (content['height'], content['width']) == size
    assert content.get('classes', [{}])[0].get('pixels', size[0] * size[1]) <= size[0] * size[1]
    assert prediction.draw(0.0).size > 0


def test_what_the_pipeline_cannot_take(models: Models, images: list[Path]) -> None:
    """2 x 30000 pixels become no pixel high at 128 x 160."""
    frames = [Frame('wide', image=np.zeros((2, 30000, 3), np.uint8)), Frame(str(images[0]))]
    told = []
    found = list(models['detection'].stream(frames, 1, lambda *reason: told.append(reason)))
    assert len(found) == 1
    assert [reason for _, reason in told] == ['the test pipeline cannot take 30000 x 2 pixels']
    with pytest.raises(InputError, match='an array: the test pipeline cannot take'):
        models['detection'](frames[0].image)


def test_video(models: Models, images: list[Path], tmp_path: Path) -> None:
    path = tmp_path / 'clip.avi'
    writer = VideoWriter(path, 5)
    for image in images[:5]:
        writer.write(cv2.imread(str(image)))
    writer.close()
    model = models['classification']
    found = list(model.stream(Video(path), batch_size=2))
    assert [p.to_dict()['frame'] for p in found] == [0, 1, 2, 3, 4]
    alone = model(found[3].image)[0]
    assert alone.contents(0)['top'][0] == pytest.approx(found[3].contents(0)['top'][0])
    with pytest.raises(InputError, match=r'clip\.avi is a video'):
        model(path)


@pytest.mark.parametrize('task', KINDS)
def test_pictures(task: str, models: Models, images: list[Path], tmp_path: Path) -> None:
    (prediction,) = models[task](images[0])
    saved = prediction.save(tmp_path / 'deep/a.png', 0.1)
    picture = cv2.imread(str(saved))
    np.testing.assert_array_equal(picture, prediction.draw(0.1))
    plain = cv2.resize(prediction.image, (480, 384))
    assert picture.shape[1] == 480 and picture.shape[0] >= 384
    assert (picture[:384] != plain).any() == (task != 'classification')
    with pytest.raises(InputError, match=r'OpenCV cannot write \.xyz'):
        prediction.save(tmp_path / 'a.xyz')


def test_folding_changes_nothing(files: Files, models: Models, images: list[Path]) -> None:
    for task, paths in files.items():
        folded = load_model(*paths, device='cpu', deploy=True)
        assert len(folded.model.state_dict()) < len(models[task].model.state_dict())
        for image in images[:2]:
            assert_same(folded(image)[0].to_dict(0.1), models[task](image)[0].to_dict(0.1))


def test_large_tensors_are_not_kept(models: Models, images: list[Path]) -> None:
    sample = models['segmentation'](images[0])[0].sample
    assert 'pred_sem_seg' in sample and 'seg_logits' not in sample


def test_float_images_and_other_loading(files: Files, models: Models, photo: str) -> None:
    cfg = tiny_config('classification')
    pipeline = cfg.test_dataloader.dataset.pipeline
    pipeline[0] = dict(type='LoadImageFromFile', to_float32=True, imdecode_backend='pillow')
    model = load_model(cfg, files['classification'][1], device='cpu')
    (prediction,) = model(photo)
    assert prediction.image.dtype == np.uint8
    found, usual = prediction.to_dict()['top'], models['classification'](photo)[0].to_dict()['top']
    assert found[0]['class'] == usual[0]['class']
    cfg.test_dataloader.dataset.pipeline = Config(dict(a=pipeline[1:])).a
    with pytest.raises(ConfigError, match='must begin with LoadImageFromFile'):
        load_model(cfg, files['classification'][1], device='cpu')
