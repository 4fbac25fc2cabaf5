"""A model with everything for inference: pipeline, batches and classes."""

from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from os import PathLike
from typing import Any

import cv2
import numpy as np
import torch
from mmengine.config import Config
from mmengine.dataset import Compose, pseudo_collate
from PIL import Image
from torch import nn

from ..datasets.config_parts import leaf_datasets
from ..datasets.pictures import to_picture
from ..errors import ConfigError, DataError, InputError
from ..models.channels import input_channels
from .predictions import Prediction
from .sources import Frame, find_inputs, fit_channels, from_pillow, read_image

LOOK_AHEAD = 4  # batches within which images of the same size are sought

ImageType = str | PathLike | np.ndarray | Image.Image


class Predictor:
    """Predicts for images with a model of mmdet, mmseg or mmpretrain.

    Made by :func:`vminet_mm.load_model`. Images go through the config's test pipeline, less the
    loading of annotations. A batch has images of one size only: padded to the size of its company,
    an image would be predicted otherwise than alone.

    Args:
        kind (type[Prediction]): What is predicted, one of
            :data:`vminet_mm.inference.predictions.KINDS`.
        model (nn.Module): The model, in evaluation mode on its device.
        cfg (Config): Its config. The default scope must be that of the config.
        classes (tuple[str, ...]): The names of the classes.
        colors (np.ndarray): (C, 3) RGB from 0 to 255.

    Raises:
        ConfigError: If the test pipeline does not begin with ``LoadImageFromFile``.
    """

    def __init__(
        self,
        kind: type[Prediction],
        model: nn.Module,
        cfg: Config,
        classes: tuple[str, ...],
        colors: np.ndarray,
    ) -> None:
        self.kind, self.model, self.cfg = kind, model, cfg
        self.classes, self.colors = classes, colors
        steps = prediction_steps(cfg)
        if not steps or steps[0]['type'] not in ('LoadImageFromFile', 'mmdet.LoadImageFromFile'):
            raise ConfigError('the test pipeline of the config must begin with LoadImageFromFile')
        self.loading = steps[0]
        self.channels = input_channels(model)
        self._pipeline = Compose(steps[1:])

    @property
    def task(self) -> str:
        """The name of the task, see :mod:`vminet_mm.tasks`."""
        return self.kind.task

    def __call__(
        self, images: ImageType | Iterable[ImageType], batch_size: int = 1
    ) -> list[Prediction]:
        """Predict for images; a prediction for each, in order.

        Images and masks are all kept in memory; for many, see :meth:`stream`.

        Args:
            images: A file, a folder or a pattern such as ``'photos/*.jpg'``; or an image, (H, W, 3)
                BGR uint8 as OpenCV reads it (for a model of another number of channels with these,
                see :func:`.sources.fit_channels`); or an image of Pillow; or several of these.
            batch_size: How many images go through the model at a time.

        Raises:
            InputError: If one cannot be read, or stands for nothing.
        """
        is_one = isinstance(images, ImageType)
        return list(self.stream(self._frames([images] if is_one else images), batch_size))

    def stream(
        self,
        frames: Iterable[Frame],
        batch_size: int = 1,
        on_bad: Callable[[Frame, str], object] | None = None,
    ) -> Iterator[Prediction]:
        """Predict for images as they come, with few of them in memory at a time.

        Args:
            frames: Files or images, such as those of a :class:`vminet_mm.inference.Video`.
            batch_size: How many images go through the model at a time.
            on_bad: Called with a frame that cannot be read and the reason; it is then skipped.

        Yields:
            A prediction for each frame that can be read, in order.

        Raises:
            InputError: If a frame cannot be read and there is no ``on_bad``.
        """
        if batch_size < 1:
            raise ConfigError(f'batch_size must be at least 1, not {batch_size}')
        frames = iter(frames)
        while window := list(islice(frames, batch_size * (LOOK_AHEAD if batch_size > 1 else 1))):
            ready = []
            for frame in window:
                try:
                    ready.append(self._prepare(frame))
                except InputError as error:
                    if on_bad is None:
                        raise InputError(f'{frame}: {error}') from None
                    on_bad(frame, str(error))
            samples = self._forward([data for _, data in ready], batch_size)
            for (frame, _), sample in zip(ready, samples, strict=True):
                yield self.kind(frame, sample, self.classes, self.colors)

    def _prepare(self, frame: Frame) -> tuple[Frame, dict[str, Any]]:
        """The frame with its image, and what the pipeline makes of it."""
        if frame.image is None:
            image = self.read(frame.file)
        else:
            image = fit_channels(frame.image, self.channels)
        size = image.shape[:2]
        content = image.astype(np.float32) if self.loading.get('to_float32') else image
        try:
            data = self._pipeline(
                dict(img=content, img_path=frame.file, img_id=0, img_shape=size, ori_shape=size)
            )
        except DataError as error:
            if not isinstance(error.__cause__, (cv2.error, ValueError, ZeroDivisionError)):
                raise
            raise InputError(
                f'the test pipeline cannot take {size[1]} x {size[0]} pixels'
            ) from error
        number = len(data['inputs'])
        if number != self.channels:
            raise InputError(
                f'it has {number} channels, the model takes {self.channels}: see color_type of '
                'LoadImageFromFile'
            )
        return Frame(frame.file, frame.index, to_picture(image)), data

    def read(self, path: str | PathLike) -> np.ndarray:
        """Read an image file as the config's pipeline does, see :func:`.sources.read_image`.

        Raises:
            InputError: With the reason, if it cannot be read.
        """
        kind, backend = (
            self.loading.get('color_type', 'color'),
            self.loading.get('imdecode_backend', 'cv2'),
        )
        return read_image(path, kind, backend)

    def _frames(self, images: Iterable[ImageType]) -> Iterator[Frame]:
        """Frames of arrays and Pillow images, and of the files behind names."""
        for one in images:
            if isinstance(one, np.ndarray):
                yield Frame(image=one)
                continue
            if isinstance(one, Image.Image):
                yield Frame(image=from_pillow(one, self.channels))
                continue
            found = find_inputs(one)
            if found.videos:
                raise InputError(f'{found.videos[0]} is a video: give a Video of it to stream()')
            yield from (Frame(str(path)) for path in found.images)

    @torch.no_grad()
    def _forward(self, items: list[dict[str, Any]], batch_size: int) -> list[Any]:
        """The samples with predictions, on the CPU, in the order of the items."""
        groups: dict[torch.Size, list[int]] = {}
        for k, item in enumerate(items):
            groups.setdefault(item['inputs'].shape, []).append(k)
        samples: dict[int, Any] = {}
        for members in groups.values():
            for start in range(0, len(members), batch_size):
                batch = members[start : start + batch_size]
                try:
                    found = self.model.test_step(pseudo_collate([items[k] for k in batch]))
                except torch.cuda.OutOfMemoryError:
                    raise ConfigError(
                        f'{len(batch)} image(s) of {tuple(items[batch[0]]["inputs"].shape)} do not '
                        'fit into the memory of the device; lower the batch size'
                    ) from None
                for k, sample in zip(batch, found, strict=True):
                    sample.pop('seg_logits', None)  # some 200 MB of 150 classes at 480 x 640
                    samples[k] = sample.cpu()
        return [samples[k] for k in range(len(items))]


def prediction_steps(cfg: Config) -> list[dict]:
    """The test pipeline of a config, less the loading of annotations."""
    steps = next(leaf_datasets(cfg.test_dataloader.dataset)).pipeline
    return [step for step in steps if not str(step['type']).endswith('Annotations')]
