"""Finding and reading images and videos."""

from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from vminet_mm.errors import InputError
from vminet_mm.inference import Video, VideoWriter
from vminet_mm.inference.sources import (
    as_bgr,
    common_folder,
    find_inputs,
    from_pillow,
    relative_location,
)

SIZE = (5, 7)
PIXELS = np.random.default_rng(0).integers(0, 256, (*SIZE, 3), dtype=np.uint8)  # BGR


def png(pixels: np.ndarray) -> bytes:
    return cv2.imencode('.png', pixels)[1].tobytes()


GRAY = PIXELS[..., 0]
ALPHA = np.dstack([PIXELS, np.full(SIZE, 9, np.uint8)])


def test_arrays() -> None:
    np.testing.assert_array_equal(as_bgr(GRAY), np.dstack([GRAY] * 3))
    np.testing.assert_array_equal(as_bgr(GRAY[..., None]), np.dstack([GRAY] * 3))
    np.testing.assert_array_equal(as_bgr(ALPHA), PIXELS)
    for wrong in (PIXELS / 255, PIXELS[..., :2], PIXELS[None], PIXELS.astype(np.uint16)):
        with pytest.raises(InputError, match=r'must be \(H, W, 3\) BGR of uint8'):
            as_bgr(wrong)
    with pytest.raises(InputError, match='no pixels'):
        as_bgr(PIXELS[:0])


def test_pillow() -> None:
    image = Image.fromarray(PIXELS[..., ::-1])
    np.testing.assert_array_equal(from_pillow(image), PIXELS)
    np.testing.assert_array_equal(from_pillow(Image.fromarray(GRAY)), np.dstack([GRAY] * 3))
    rgba = Image.fromarray(np.dstack([PIXELS[..., ::-1], ALPHA[..., 3]]))
    np.testing.assert_array_equal(from_pillow(rgba), PIXELS)
    deep = Image.fromarray(GRAY.astype(np.uint16) * 257)
    np.testing.assert_array_equal(from_pillow(deep), np.dstack([GRAY] * 3))
    image.getexif()[0x0112] = 3  # upside down
    np.testing.assert_array_equal(from_pillow(image), PIXELS[::-1, ::-1])


def test_images_in_sub_folders_are_hinted_at(tmp_path: Path) -> None:
    for name in ('a/b.jpg', 'a/c/d.PNG', 'a/e.txt'):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    with pytest.raises(InputError, match=r"2 image.* in sub-folders.*'\*\*/\*\.PNG'"):
        find_inputs(tmp_path)
    assert len(find_inputs(f'{tmp_path}/**/*.jpg').images) == 1
    (tmp_path / 'f.jpg').touch()
    assert sorted(path.name for path in find_inputs(tmp_path).deeper) == ['b.jpg', 'd.PNG']


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
    assert common_folder([Path('a/../b/c.jpg'), Path('b/d.jpg')]) == tmp_path / 'b'
    assert relative_location(tmp_path, 'a/../b/c.jpg') == Path('b/c.jpg')
    assert relative_location(tmp_path / 'a', 'b/c.jpg') == Path('c.jpg')


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
