"""Images of odd kinds: each is read rightly, or refused with the reason, in training and after."""

import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch
from checking import CONFIGS, ROOT
from mmengine.config import Config
from mmengine.dataset import Compose
from mmengine.registry import DATASETS, TRANSFORMS, DefaultScope
from PIL import Image
from tiny_configs import SETTINGS, tiny_config
from tool_errors import refusal

from vminet_mm.engine import load_config, set_data_root, train
from vminet_mm.errors import DataError, InputError
from vminet_mm.inference import Frame, Predictor, load_model
from vminet_mm.inference.sources import read_image

SIZE = (35, 45)
PIXELS = cv2.resize(np.random.default_rng(0).integers(0, 256, (5, 6, 3), np.uint8), SIZE[::-1])
RGB = Image.fromarray(np.ascontiguousarray(PIXELS[..., ::-1]))
GRAY = PIXELS[..., 0]
WIDE = (PIXELS.astype(np.uint16) << 8) + 77
ALPHA = np.dstack([PIXELS, np.full(SIZE, 9, np.uint8)])
LONG = np.full((10, 20000, 3), (7, 8, 9), np.uint8)


def by_opencv(suffix: str, pixels: np.ndarray) -> bytes:
    return cv2.imencode(suffix, pixels)[1].tobytes()


def by_pillow(image: Image.Image, kind: str, **options: Any) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def bgr(image: Image.Image) -> np.ndarray:
    """What Pillow makes of an image."""
    return np.asarray(image.convert('RGB'))[..., ::-1]


def held_upright(image: Image.Image) -> bytes:
    exif = Image.Exif()
    exif[0x0112] = 6
    return by_pillow(image, 'TIFF', exif=exif)


PNG, JPEG = by_opencv('.png', PIXELS), by_opencv('.jpg', PIXELS)
FLOAT = Image.fromarray(GRAY.astype(np.float32) / 255)
# what it is: name of the file, its content, (H, W, 3) BGR that it must be read as, and how much a
# value may be off
READABLE = {
    'color image': ('a.png', PNG, PIXELS, 0),
    'image without a suffix': ('a', PNG, PIXELS, 0),
    'image of another kind than its suffix': ('a.jpg', PNG, PIXELS, 0),
    'BMP': ('a.bmp', by_pillow(RGB, 'BMP'), PIXELS, 0),
    'TIFF': ('a.tif', by_pillow(RGB, 'TIFF'), PIXELS, 0),
    'WebP': ('a.webp', by_pillow(RGB, 'WEBP', lossless=True), PIXELS, 0),
    'animated GIF': (
        'a.gif',
        by_pillow(RGB.convert('P'), 'GIF', save_all=True, append_images=[RGB.rotate(180)]),
        bgr(RGB.convert('P')),
        0,
    ),
    'grayscale image': ('a.png', by_opencv('.png', GRAY), np.dstack([GRAY] * 3), 0),
    'grayscale image with transparency': (
        'a.png',
        by_pillow(RGB.convert('LA'), 'PNG'),
        bgr(RGB.convert('L')),
        0,
    ),
    'RGBA image': ('a.png', by_opencv('.png', ALPHA), PIXELS, 0),
    'image with a palette': (
        'a.png',
        by_pillow(RGB.quantize(16), 'PNG'),
        bgr(RGB.quantize(16)),
        0,
    ),
    'image of 1 bit': ('a.png', by_pillow(RGB.convert('1'), 'PNG'), bgr(RGB.convert('1')), 0),
    '16-bit image': ('a.png', by_opencv('.png', WIDE), PIXELS, 0),
    '16-bit grayscale image': (
        'a.png',
        by_opencv('.png', WIDE[..., 0]),
        np.dstack([GRAY] * 3),
        0,
    ),
    '16-bit TIFF': ('a.tif', by_opencv('.tif', WIDE), PIXELS, 1),
    'CMYK image': ('a.tif', by_pillow(RGB.convert('CMYK'), 'TIFF'), PIXELS, 1),
    'CMYK JPEG': (
        'a.jpg',
        by_pillow(Image.new('RGB', (32, 16), (250, 20, 10)).convert('CMYK'), 'JPEG', quality=100),
        np.full((16, 32, 3), (10, 20, 250)),
        4,
    ),
    'image of 1 x 1': ('a.png', by_opencv('.png', PIXELS[:1, :1]), PIXELS[:1, :1], 0),
    'image of 20000 x 10': ('a.png', by_opencv('.png', LONG), LONG, 0),
    'photo held upright': ('a.tif', held_upright(RGB), np.rot90(PIXELS, -1), 0),
}
# what it is: name of the file, its content, and what is said of it
REFUSED = {
    'empty image': ('a.jpg', b'', 'the file is empty'),
    'truncated JPEG': ('a.jpg', JPEG[: len(JPEG) // 2], 'truncated'),
    'truncated PNG': ('a.png', PNG[: len(PNG) // 2], 'truncated'),
    'header of a PNG': ('a.png', PNG[:8], 'no'),
    'damaged PNG': ('a.png', PNG[:45] + bytes(30) + PNG[75:], 'damaged'),
    'text instead of an image': ('a.jpg', b'hello', 'no'),
    'HTML instead of an image': ('a.jpg', b'<html>Sign in</html>', 'no'),
    'image of 32-bit floats': ('a.tif', by_pillow(FLOAT, 'TIFF'), 'OpenCV'),
}
# (H, W): the tasks whose small configs refuse it, and what is said
FLAT = 'a.png: Resize fails, error: OpenCV'  # of an image which gets no pixel high or wide
SIZES = {
    (1, 1): dict(segmentation='b.png: LoadAnnotations fails, '),
    (2, 2): {},
    (10, 20000): dict(detection=FLAT),
    (20000, 10): dict(detection=FLAT),
}
CASES = [
    *READABLE,
    *REFUSED,
    'image that is missing',
    'folder instead of an image',
    'image of too many pixels',
    '16-bit image read by Pillow',
    'bad image in a worker of a training',
]


def write(folder: Path, name: str, content: bytes) -> Path:
    (folder / name).write_bytes(content)
    return folder / name


def load(path: Path, **options: Any) -> np.ndarray:
    """Read as the pipelines of all configs do."""
    step = TRANSFORMS.build(dict(type='LoadImageFromFile', **options))
    return step(dict(img_path=str(path)))['img']


@pytest.mark.parametrize('config', [*CONFIGS.values(), *(path for path, _ in SETTINGS.values())])
def test_how_the_configs_read_images(config: str) -> None:
    """All with what :func:`load` takes, so what holds there holds for them."""
    cfg = load_config(ROOT / config)
    for split in ('train', 'val', 'test'):
        first = dict(cfg[f'{split}_dataloader'].dataset.pipeline[0])
        assert first.pop('backend_args', None) is None
        assert first == dict(type='LoadImageFromFile')
        with DefaultScope.overwrite_default_scope(cfg.default_scope):
            step = Compose([first]).transforms[0]
        assert type(step).__module__ == 'mmcv.transforms.loading'


@pytest.mark.parametrize('kind', READABLE)
def test_readable(kind: str, tmp_path: Path) -> None:
    name, content, expected, off = READABLE[kind]
    path = write(tmp_path, name, content)
    for image in (load(path), read_image(path)):
        assert image.dtype == np.uint8
        np.testing.assert_allclose(image.astype(int), expected, rtol=0, atol=off)


@pytest.mark.parametrize('kind', REFUSED)
def test_refused(kind: str, tmp_path: Path) -> None:
    name, content, text = REFUSED[kind]
    path = write(tmp_path, name, content)
    with pytest.raises(DataError) as caught:
        load(path)
    said = str(caught.value)
    assert said.startswith(f'{path}: ') and text in said and '\n' not in said
    assert said.endswith('; fix or remove it; vminet_mm check-data CONFIG finds all such')
    with pytest.raises(InputError) as caught:
        read_image(path)
    assert text in str(caught.value) and '\n' not in str(caught.value)


def test_missing_image_and_folder(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r'none\.jpg: there is no such file; fix'):
        load(tmp_path / 'none.jpg')
    with pytest.raises(DataError, match='it is a folder; fix'):
        load(tmp_path)
    with pytest.raises(InputError, match='no such file'):
        read_image(tmp_path / 'none.jpg')
    with pytest.raises(InputError, match='it is a folder'):
        read_image(tmp_path)


def test_too_many_pixels(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write(tmp_path, 'a.png', PNG)
    monkeypatch.setattr(Image, 'MAX_IMAGE_PIXELS', 10)  # more than twice that are too many
    with pytest.raises(InputError, match='too large .*1575 pixels'):
        read_image(path)


def test_deep_images_and_pillow(tmp_path: Path) -> None:
    """Which would make them white."""
    path = write(tmp_path, 'a.png', READABLE['16-bit grayscale image'][1])
    with pytest.raises(DataError, match='write it with 8 bits a channel'):
        load(path, imdecode_backend='pillow')
    np.testing.assert_array_equal(
        load(path, imdecode_backend='pillow', color_type='unchanged'), WIDE[..., 0]
    )
    np.testing.assert_array_equal(
        load(write(tmp_path, 'b.png', PNG), imdecode_backend='pillow'), PIXELS
    )


def sample(task: str, folder: Path, size: tuple[int, int]) -> dict[str, Any]:
    """An image of a size with a label for a pipeline."""
    height, width = size
    path = write(folder, 'a.png', by_opencv('.png', np.full((*size, 3), 7, np.uint8)))
    data = dict(img_path=str(path), img_id=1, sample_idx=0, height=height, width=width)
    if task == 'detection':
        mask = dict(size=[height, width], counts=[0, height * width])
        box = dict(bbox=[0, 0, width, height], bbox_label=0, ignore_flag=0, mask=mask)
        return data | dict(instances=[box])
    if task == 'segmentation':
        labels = write(folder, 'b.png', by_opencv('.png', np.ones(size, np.uint8)))
        return data | dict(
            seg_map_path=str(labels), reduce_zero_label=True, seg_fields=[], label_map=None
        )
    return data | dict(gt_label=0)


@pytest.mark.parametrize('size', SIZES, ids=str)
@pytest.mark.parametrize('task', SETTINGS)
def test_sizes(task: str, size: tuple[int, int], tmp_path: Path) -> None:
    cfg, data = tiny_config(task), sample(task, tmp_path, size)
    for split in ('train', 'test'):
        with DefaultScope.overwrite_default_scope(cfg.default_scope):
            pipeline = Compose(cfg[f'{split}_dataloader'].dataset.pipeline)
        if task in SIZES[size]:
            with pytest.raises(DataError) as caught:
                pipeline(dict(data))
            assert str(caught.value).startswith(f'{tmp_path}/{SIZES[size][task]}')
            assert '\n' not in str(caught.value)
        else:
            inputs = pipeline(dict(data))['inputs']
            assert inputs.dtype == torch.uint8 and inputs.shape[0] == 3
            assert set(inputs.unique().tolist()) == {7}


@pytest.fixture(scope='module')
def predictor(files: dict[str, tuple[str, str]]) -> Predictor:
    return load_model(*files['classification'], device='cpu')


@pytest.mark.parametrize('kind', REFUSED)
def test_inference_skips_bad_images(kind: str, predictor: Predictor, tmp_path: Path) -> None:
    name, content, text = REFUSED[kind]
    bad, good = write(tmp_path, name, content), write(tmp_path, 'good.png', PNG)
    told: list[tuple[str, str]] = []
    frames = [Frame(str(path)) for path in (bad, good)]
    found = list(predictor.stream(frames, 2, lambda f, reason: told.append((f.file, reason))))
    assert [p.frame.file for p in found] == [str(good)]
    assert [file for file, _ in told] == [str(bad)] and text in told[0][1]


@pytest.mark.parametrize('kind', READABLE)
def test_inference_takes_odd_images(kind: str, predictor: Predictor, tmp_path: Path) -> None:
    name, content, expected, _ = READABLE[kind]
    (prediction,) = predictor(write(tmp_path, name, content))
    assert prediction.image.shape == expected.shape
    assert all(np.isfinite(entry['score']) for entry in prediction.to_dict()['top'])


@pytest.fixture
def saved(copy_of: Callable, tmp_path: Path) -> tuple[Config, Path]:
    """Config of a tiny classifier with one worker, and the folder of its data."""
    root = copy_of('imagenet')
    cfg = tiny_config('classification')
    set_data_root(cfg, str(root))
    cfg.train_dataloader.update(num_workers=1, batch_size=4)
    cfg.dump(tmp_path / 'config.py')
    return cfg, root


def test_bad_image_in_a_training(saved: tuple, tmp_path: Path) -> None:
    """One line with the image, out of the stack of a worker."""
    kind, (cfg, root) = 'truncated JPEG', saved
    path = sorted((root / 'train/ring').iterdir())[0]
    path.write_bytes(REFUSED[kind][1])
    said = refusal(train, tmp_path / 'config.py', tmp_path / 'run')
    assert said.startswith(f'{path}: ') and REFUSED[kind][2] in said
    with DefaultScope.overwrite_default_scope('mmpretrain'):
        data = DATASETS.build(cfg.train_dataloader.dataset)
    index = [data.get_data_info(i)['img_path'] for i in range(len(data))].index(str(path))
    with pytest.raises(DataError, match=REFUSED[kind][2]):
        data[index]
