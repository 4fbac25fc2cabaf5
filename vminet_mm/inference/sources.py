"""Inputs of inference: image files, folders, patterns, videos and cameras."""

import glob
import logging
import os
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import cv2
import mmcv
import numpy as np
from mmengine.logging import print_log
from PIL import Image, ImageOps

from ..compat.data_errors import read_whole
from ..datasets.pictures import IMAGE_NAME
from ..errors import ConfigError, InputError, error_text

# a file that was named itself may be called anything
VIDEO_NAME = re.compile(r'.*\.(avi|flv|m4v|mkv|mov|mp4|mpeg|mpg|ogv|webm|wmv)', re.IGNORECASE)
DARK = 16  # of 255; an image of 16 bits whose upper 8 are below uses 12 bits or fewer
FRAME_RATE = 25.0  # frames per second of a source without a rate of its own


@dataclass
class Frame:
    """One image to be predicted.

    Attributes:
        file: Where it comes from, as the user named it; '' for an array.
        index: Which frame of a video, from 0; None for an image.
        image: (H, W, 3) BGR uint8, or None as long as the file has not been read. A model of
            another number of channels is given images of that number.
    """

    file: str = ''
    index: int | None = None
    image: np.ndarray | None = None

    def __str__(self) -> str:
        name = self.file or 'an array'
        return name if self.index is None else f'{name} frame {self.index}'


@dataclass
class Inputs:
    """The files behind what a user named.

    Attributes:
        images: Image files, without repetition.
        videos: Video files, and numbers of cameras.
        left_alone: Files of folders that are neither.
        deeper: Images in sub-folders of the folders, which are not taken.
    """

    images: list[Path] = field(default_factory=list)
    videos: list[Path | int] = field(default_factory=list)
    left_alone: list[Path] = field(default_factory=list)
    deeper: list[Path] = field(default_factory=list)


def find_inputs(names: str | os.PathLike | Iterable[str | os.PathLike]) -> Inputs:
    """Find the files for names.

    Args:
        names: One or several of: a file, which is a video if its suffix says so and an image
            otherwise; a folder, for the images and videos directly in it; a pattern such as
            ``'photos/**/*.jpg'``; the number of a camera.

    Raises:
        InputError: If a name stands for nothing.
    """
    found = Inputs()
    for name in [names] if isinstance(names, (str, os.PathLike)) else names:
        path = Path(name).expanduser()
        if path.is_dir():
            _add_folder(found, path)
        elif path.exists():
            _add_file(found, path)
        elif str(name).isdecimal():
            found.videos.append(int(name))
        elif glob.has_magic(str(name)):
            matches = sorted(glob.glob(str(path), recursive=True))
            files = [Path(match) for match in matches if os.path.isfile(match)]
            if not files:
                raise InputError(f'no file matches {name}')
            for file in files:
                _add_file(found, file)
        else:
            raise InputError(f'there is no file or folder {name}')
    found.images = list(dict.fromkeys(found.images))
    found.videos = list(dict.fromkeys(found.videos))
    return found


def _add_folder(found: Inputs, folder: Path) -> None:
    """Sort the files of a folder; hidden ones are passed over."""
    files = sorted(p for p in folder.iterdir() if p.is_file() and not p.name.startswith('.'))
    known = [p for p in files if IMAGE_NAME.fullmatch(p.name) or VIDEO_NAME.fullmatch(p.name)]
    deeper = _find_deeper_images(folder)
    if not known:
        hint = f'; {sub_folder_hint(deeper)}' if deeper else ''
        raise InputError(f'there is no image or video in the folder {folder}{hint}')
    for file in known:
        _add_file(found, file)
    found.left_alone += [p for p in files if p not in known]
    found.deeper += deeper


def sub_folder_hint(deeper: Sequence[Path]) -> str:
    """Say how many images of sub-folders were not taken, and how to take them."""
    suffixes = ', '.join(sorted({f"'**/*{path.suffix}'" for path in deeper}))
    return f'{len(deeper)} image(s) in sub-folders, which a pattern such as {suffixes} takes'


def _find_deeper_images(folder: Path) -> list[Path]:
    """The images in the sub-folders of a folder, hidden ones passed over."""
    names = glob.iglob('*/**', root_dir=folder, recursive=True)
    return [folder / name for name in names if IMAGE_NAME.fullmatch(os.path.basename(name))]


def _add_file(found: Inputs, path: Path) -> None:
    (found.videos if VIDEO_NAME.fullmatch(path.name) else found.images).append(path)


def read_image(
    path: str | os.PathLike, color_type: str = 'color', backend: str | None = 'cv2'
) -> np.ndarray:
    """Read an image file as the pipelines of OpenMMLab do, but whole or not at all.

    Pillow decodes the file first, see :func:`.read_whole`; OpenCV may know kinds that Pillow does
    not.

    Args:
        path: The file. Of several frames the first is taken.
        color_type: See :func:`mmcv.imfrombytes`. The usual ``'color'`` makes three channels of 8
            bits of any image: gray is repeated, transparency dropped, and of 16 bits the upper 8
            are taken. ``'grayscale'`` makes one, ``'unchanged'`` keeps what the file has.
        backend: See :func:`mmcv.imfrombytes`.

    Returns:
        np.ndarray: (H, W, 3) BGR uint8; (H, W) of one channel; or what the file has.

    Raises:
        InputError: With the reason, if the file cannot be read, or not to its end.
    """
    content = read_whole(path, any_kind=True)
    try:
        image = mmcv.imfrombytes(content, flag=color_type, backend=backend)
    except cv2.error as error:
        raise InputError(f'OpenCV cannot decode it ({error_text(error, 120)})') from None
    if image is None:
        raise InputError('not an image, or of a kind that OpenCV does not read')
    _warn_if_dark(path, content, image)
    return as_bgr(image) if color_type == 'color' else image


def _warn_if_dark(path: str | os.PathLike, content: bytes, image: np.ndarray) -> None:
    """Warn of an image of 16 bits that uses 12 of them or fewer, as cameras of microscopes do."""
    if image.dtype != np.uint8 or not 0 < image.max(initial=0) < DARK:
        return
    values = mmcv.imfrombytes(content, flag='unchanged', backend='cv2')
    if values is not None and values.dtype == np.uint16:
        print_log(
            f'{path} has 16 bits a channel, and no value above {values.max()}: its upper 8 bits '
            'are nearly black. Scale its values to 65535 before',
            'current',
            logging.WARNING,
        )


def as_bgr(image: np.ndarray) -> np.ndarray:
    """Three channels of 8 bits, (H, W, 3).

    Args:
        image: (H, W), (H, W, 1), (H, W, 3) BGR or (H, W, 4) BGRA, of uint8.

    Raises:
        InputError: If it is of another shape or type.
    """
    channels = 1 if image.ndim == 2 else image.shape[-1]
    if image.dtype != np.uint8 or image.ndim not in (2, 3) or channels not in (1, 3, 4):
        raise InputError(
            f'an image must be (H, W, 3) BGR of uint8, not {image.shape} of {image.dtype}'
        )
    if image.size == 0:
        raise InputError(f'an image of {image.shape} has no pixels')
    if channels == 1:
        return cv2.cvtColor(image, cv2.COLOR_GRAY2BGR)
    return np.ascontiguousarray(image[..., :3])


def fit_channels(image: np.ndarray, channels: int) -> np.ndarray:
    """An image of the user's as a pipeline would have read it for a model.

    Args:
        image: (H, W) or (H, W, C). For 3 channels see :func:`as_bgr`; for 1 it may have colors,
            which become gray; of any other number it must have the channels already.
        channels: What the model takes.

    Returns:
        np.ndarray: (H, W) of one channel, else (H, W, channels).

    Raises:
        InputError: If the image does not have the channels.
    """
    if channels == 3:
        return as_bgr(image)
    given = 1 if image.ndim == 2 else image.shape[-1]
    if image.ndim in (2, 3) and image.size and given == channels:
        return image if channels > 1 else image.reshape(image.shape[:2])
    if channels == 1:
        return cv2.cvtColor(as_bgr(image), cv2.COLOR_BGR2GRAY)
    raise InputError(f'the model takes images of {channels} channels, not {image.shape}')


def from_pillow(image: Image.Image, channels: int = 3) -> np.ndarray:
    """An image of Pillow of any mode as the pipelines read its file, turned as its EXIF data says.

    (H, W, 3) BGR uint8: transparency is dropped, and of 16 bits the upper 8 are taken. With 4
    channels an RGBA image stays BGRA.
    """
    image = ImageOps.exif_transpose(image)
    if channels == 4 and image.mode == 'RGBA':
        return np.ascontiguousarray(np.asarray(image)[..., [2, 1, 0, 3]])
    if image.mode.startswith('I'):
        return as_bgr((np.clip(np.asarray(image), 0, 65535) // 256).astype(np.uint8))
    return as_bgr(np.asarray(image.convert('RGB'))[..., ::-1])


class Video:
    """The frames of a video file or a camera, to be read once.

    Args:
        source (Path | int): The file, or the number of the camera.

    Attributes:
        name: The file's path, or such as ``'camera0'``.
        is_camera: Whether it never ends.
        frame_rate: Frames a second.
        length: The number of frames that the file promises, or None.

    Raises:
        InputError: If it cannot be opened.
    """

    def __init__(self, source: Path | int) -> None:
        self.is_camera = isinstance(source, int)
        self.name = f'camera{source}' if self.is_camera else str(source)
        self._capture = cv2.VideoCapture(source if self.is_camera else str(source))
        if not self._capture.isOpened():
            what = 'there is no such camera' if self.is_camera else 'it cannot be opened as a video'
            raise InputError(what)
        self.frame_rate = self._capture.get(cv2.CAP_PROP_FPS)
        if not 0 < self.frame_rate <= 1000:  # unknown, or a time base in place of a rate
            self.frame_rate = FRAME_RATE
        length = int(self._capture.get(cv2.CAP_PROP_FRAME_COUNT))
        self.length = length if length > 0 and not self.is_camera else None

    def __iter__(self) -> Iterator[Frame]:
        """Read frame by frame to the end, or of a camera until it is interrupted."""
        index = 0
        while True:
            is_read, image = self._capture.read()
            if not is_read:
                return
            yield Frame(self.name, index, as_bgr(image))
            index += 1

    def close(self) -> None:
        """Let go of the file or camera."""
        self._capture.release()


class VideoWriter:
    """Writes pictures of one size as a video: Motion JPEG for ``.avi``, else MPEG-4.

    Args:
        path (Path): The file; its folder is made.
        frame_rate (float): Frames a second.
    """

    def __init__(self, path: Path, frame_rate: float) -> None:
        self.path, self.frame_rate = path, frame_rate
        self._writer = None

    def write(self, picture: np.ndarray) -> None:
        """Add a picture, (H, W, 3) BGR uint8.

        Raises:
            InputError: If the file cannot be written.
        """
        if self._writer is None:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            codec = 'MJPG' if self.path.suffix.lower() == '.avi' else 'mp4v'
            size = picture.shape[1::-1]
            self._writer = cv2.VideoWriter(
                str(self.path), cv2.VideoWriter.fourcc(*codec), self.frame_rate, size
            )
            if not self._writer.isOpened():
                raise InputError(f'{self.path} cannot be written as a video of {size} pixels')
        self._writer.write(picture)

    def close(self) -> None:
        """Finish the file."""
        if self._writer is not None:
            self._writer.release()


def common_folder(paths: Sequence[Path]) -> Path:
    """The deepest folder that contains all files; the working directory if there are none."""
    folders = [os.path.dirname(os.path.abspath(path)) for path in paths]
    return Path(os.path.commonpath(folders or [Path.cwd()]))


def image_root(dataset: Any) -> Path:
    """The deepest folder that contains all images of a data set, wrapped or joined ones included.

    Raises:
        ConfigError: If the data set keeps its images in memory, as mmpretrain's CIFAR does.
    """
    infos = [dataset.get_data_info(index) for index in range(len(dataset))]
    if not all(info.get('img_path') for info in infos):
        raise ConfigError('drawings of predictions need image files, and the data set has none')
    return common_folder([Path(info['img_path']) for info in infos])


def relative_location(root: Path, file: str | os.PathLike) -> Path:
    """The path of a file relative to a folder; the name of a file outside of it."""
    path = Path(os.path.abspath(file))
    return path.relative_to(root) if path.is_relative_to(root) else Path(path.name)
