"""Finding and reading images and videos."""

import io
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from vminet_mm.inference import InputError, Video, VideoWriter
from vminet_mm.inference.sources import as_bgr, common_folder, find_inputs, read_image

SIZE = (5, 7)
PIXELS = np.random.default_rng(0).integers(0, 256, (*SIZE, 3), dtype=np.uint8)  # BGR


def png(pixels: np.ndarray) -> bytes:
    return cv2.imencode('.png', pixels)[1].tobytes()


def pillow(image: Image.Image, kind: str, **options) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


RGB = Image.fromarray(np.ascontiguousarray(PIXELS[..., ::-1]))
GREY = PIXELS[..., 0]
ALPHA = np.dstack([PIXELS, np.full(SIZE, 9, np.uint8)])
WIDE = (PIXELS.astype(np.uint16) << 8) + 77
READABLE = {
    'colour.png': (png(PIXELS), PIXELS),
    'colour.bmp': (pillow(RGB, 'BMP'), PIXELS),
    'colour.tif': (pillow(RGB, 'TIFF'), PIXELS),
    'colour.webp': (pillow(RGB, 'WEBP', lossless=True), PIXELS),
    'grey.png': (png(GREY), np.dstack([GREY] * 3)),
    'alpha.png': (png(ALPHA), PIXELS),
    'of 16 bits.png': (png(WIDE), PIXELS),
    'grey of 16 bits.png': (png(WIDE[..., 0]), np.dstack([GREY] * 3)),
    'one pixel.png': (png(PIXELS[:1, :1]), PIXELS[:1, :1]),
    'without a suffix': (png(PIXELS), PIXELS),
}
JPEG = cv2.imencode('.jpg', cv2.resize(PIXELS, (90, 70)))[1].tobytes()
UNREADABLE = {
    'empty.jpg': (b'', 'the file is empty'),
    'text.jpg': (b'hello', 'not an image'),
    'truncated.jpg': (JPEG[: len(JPEG) // 2], 'truncated'),
    'truncated.png': (png(PIXELS)[:60], 'truncated'),
    'header.png': (png(PIXELS)[:8], 'not an image'),
    'damaged.png': (png(PIXELS)[:45] + bytes(30) + png(PIXELS)[75:], 'damaged'),
}


@pytest.mark.parametrize('name', READABLE)
def test_images_of_many_kinds(name: str, tmp_path: Path) -> None:
    content, pixels = READABLE[name]
    (tmp_path / name).write_bytes(content)
    read = read_image(tmp_path / name)
    assert read.dtype == np.uint8
    np.testing.assert_array_equal(read, pixels)


def test_cmyk_and_rotated_photos(tmp_path: Path) -> None:
    red = Image.new('RGB', (8, 16), (250, 20, 10))
    red.convert('CMYK').save(tmp_path / 'cmyk.jpg', quality=100)
    np.testing.assert_allclose(read_image(tmp_path / 'cmyk.jpg')[8, 4], (10, 20, 250), atol=4)
    exif = Image.Exif()
    exif[0x0112] = 6  # the camera was held upright
    red.save(tmp_path / 'rotated.jpg', exif=exif)
    assert read_image(tmp_path / 'rotated.jpg').shape == (8, 16, 3)


@pytest.mark.parametrize('name', UNREADABLE)
def test_bad_images(name: str, tmp_path: Path) -> None:
    content, reason = UNREADABLE[name]
    (tmp_path / name).write_bytes(content)
    with pytest.raises(InputError, match=reason) as caught:
        read_image(tmp_path / name)
    assert '\n' not in str(caught.value)


def test_too_large(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / 'a.png').write_bytes(png(PIXELS))
    monkeypatch.setattr(Image, 'MAX_IMAGE_PIXELS', 10)  # 35 pixels are more than twice that
    with pytest.raises(InputError, match='too large .*35 pixels'):
        read_image(tmp_path / 'a.png')


def test_no_file(tmp_path: Path) -> None:
    with pytest.raises(InputError, match='cannot be opened .No such file'):
        read_image(tmp_path / 'a.png')


def test_arrays() -> None:
    np.testing.assert_array_equal(as_bgr(GREY), np.dstack([GREY] * 3))
    np.testing.assert_array_equal(as_bgr(GREY[..., None]), np.dstack([GREY] * 3))
    np.testing.assert_array_equal(as_bgr(ALPHA), PIXELS)
    for wrong in (PIXELS / 255, PIXELS[..., :2], PIXELS[None], PIXELS.astype(np.uint16)):
        with pytest.raises(InputError, match=r'must be \(H, W, 3\) BGR of uint8'):
            as_bgr(wrong)
    with pytest.raises(InputError, match='no pixels'):
        as_bgr(PIXELS[:0])


def test_names(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ('a.jpg', 'b.PNG', 'c.mp4', 'd.txt', '.hidden.jpg', 'deep/e.jpg', 'f[1].jpg', '7'):
        Path(name).parent.mkdir(exist_ok=True)
        Path(name).touch()
    found = find_inputs('.')
    assert found.images == [Path('a.jpg'), Path('b.PNG'), Path('f[1].jpg')]
    assert found.videos == [Path('c.mp4')] and found.left_alone == [Path('7'), Path('d.txt')]
    assert find_inputs('**/*.jpg').images == [Path(p) for p in ('a.jpg', 'deep/e.jpg', 'f[1].jpg')]
    assert find_inputs(Path('d.txt')).images == [Path('d.txt')]  # it was asked for
    assert find_inputs('f[1].jpg').images == [Path('f[1].jpg')]  # a file before a pattern
    assert find_inputs('7').images == [Path('7')] and find_inputs('8').videos == [8]
    both = find_inputs(['a.jpg', '*.jpg', '0', '0'])
    assert both.images == [Path('a.jpg'), Path('f[1].jpg')] and both.videos == [0]
    Path('none').mkdir()
    for name, reason in (
        ('*.webp', 'no file matches'),
        ('x.jpg', 'there is no file or folder x.jpg'),
        ('none', 'there is no image or video in the folder none'),
    ):
        with pytest.raises(InputError, match=reason):
            find_inputs(name)


def test_common_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert common_folder([Path('a/b/c.jpg'), tmp_path / 'a/d.jpg']) == tmp_path / 'a'
    assert common_folder([Path('c.jpg')]) == common_folder([]) == tmp_path


@pytest.mark.parametrize('name', ['clip.mp4', 'clip.avi'])
def test_video_there_and_back(name: str, tmp_path: Path) -> None:
    path = tmp_path / 'made' / name
    writer = VideoWriter(path, 12.5)
    for k in range(5):
        writer.write(np.full((32, 48, 3), 50 * k, np.uint8))
    writer.close()
    video = Video(path)
    assert (video.length, video.frame_rate, video.is_camera) == (5, 12.5, False)
    frames = list(video)
    video.close()
    assert [(frame.file, frame.index) for frame in frames] == [(str(path), k) for k in range(5)]
    assert str(frames[3]) == f'{path} frame 3'
    for k, frame in enumerate(frames):
        assert frame.image.shape == (32, 48, 3)
        np.testing.assert_allclose(frame.image.mean(), 50 * k, atol=4)


def test_bad_videos(tmp_path: Path) -> None:
    (tmp_path / 'a.mp4').write_bytes(b'no video')
    with pytest.raises(InputError, match='cannot be opened as a video'):
        Video(tmp_path / 'a.mp4')
    with pytest.raises(InputError, match='no such camera'):
        Video(99)
    with pytest.raises(InputError, match='cannot be written as a video of'):
        VideoWriter(tmp_path / 'a.unknown', 5).write(np.zeros((32, 48, 3), np.uint8))
    VideoWriter(tmp_path / 'b.mp4', 5).close()  # nothing was written
    assert not (tmp_path / 'b.mp4').exists()
