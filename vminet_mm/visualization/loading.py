"""Images preprocessed by the test pipeline of a model, for visualization."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from mmengine.dataset import Compose, pseudo_collate
from mmengine.registry import DefaultScope
from mmengine.structures import BaseDataElement
from torch import Tensor, nn

from ..datasets.pictures import to_picture
from ..errors import ConfigError
from ..inference import Predictor
from ..inference.predictor import prediction_steps


@dataclass(frozen=True)
class Sample:
    """An image as a model is given it.

    Attributes:
        name: The name of the file.
        picture: What the pipeline makes of it, (H, W, 3) RGB uint8.
        inputs: The same with all channels, normalized and perhaps padded at the right and the
            bottom, (1, C, H', W').
        data_sample: What the pipeline says of it, of the type of the task.
    """

    name: str
    picture: np.ndarray
    inputs: Tensor
    data_sample: BaseDataElement


@dataclass(frozen=True)
class LoadedModel:
    """A model in evaluation mode.

    Attributes:
        name: The config's.
        scope: Its ``default_scope``, which says the task.
        model: The model.
        classes: The names of the classes; ``'class 0'`` and so on where they are unknown.
        pipeline: From the path of an image to what the model's data preprocessor takes.
    """

    name: str
    scope: str
    model: nn.Module
    classes: tuple[str, ...]
    pipeline: Compose

    @classmethod
    def of(cls, predictor: Predictor) -> 'LoadedModel':
        """The model that :func:`vminet_mm.load_model` gives."""
        cfg = predictor.cfg
        with DefaultScope.overwrite_default_scope(cfg.default_scope):
            pipeline = Compose(prediction_steps(cfg))
        name = Path(cfg.filename).stem
        return cls(name, cfg.default_scope, predictor.model, predictor.classes, pipeline)

    def read(self, path: str | Path) -> Sample:
        """Read an image.

        Raises:
            ConfigError: If there is no such file, or it is no image.
        """
        if not Path(path).is_file():
            raise ConfigError(f'there is no image {path}')
        try:
            packed = self.pipeline(dict(img_path=str(path), img_id=0))
        except (AssertionError, AttributeError, OSError, ValueError) as error:
            raise ConfigError(f'{path} cannot be read as an image: {error}') from error
        # mmcv reads BGR
        picture = to_picture(packed['inputs'].permute(1, 2, 0).numpy())[..., ::-1]
        with DefaultScope.overwrite_default_scope(self.scope):
            data = self.model.data_preprocessor(pseudo_collate([packed]), False)
        return Sample(Path(path).name, picture, data['inputs'], data['data_samples'][0])


def typical_aspect(samples: Sequence[Sample]) -> float:
    """Height over width of the cells that show samples; very long images get smaller in them."""
    aspects = [sample.picture.shape[0] / sample.picture.shape[1] for sample in samples]
    return float(np.clip(np.median(aspects), 0.5, 1.5))
