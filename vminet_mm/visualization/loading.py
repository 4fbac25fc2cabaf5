"""A config's model, and images as its test pipeline makes them."""

import argparse
from collections.abc import Sequence
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from mmengine.config import Config
from mmengine.dataset import Compose, pseudo_collate
from mmengine.registry import MODELS, DefaultScope
from mmengine.structures import BaseDataElement
from torch import Tensor, nn

from ..datasets.config_parts import leaf_datasets
from ..errors import ConfigError
from ..inference import load_model as load_predictor
from ..inference.loading import choose_device, dataset_meta

SCOPES = ('mmdet', 'mmseg', 'mmpretrain')


@dataclass(frozen=True)
class Sample:
    """An image as a model is given it.

    Attributes:
        name: The name of the file.
        picture: What the pipeline makes of it, (H, W, 3) RGB uint8.
        inputs: The same, normalized and perhaps padded at the right and the bottom, (1, 3, H', W').
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
        scope: ``'mmdet'``, ``'mmseg'`` or ``'mmpretrain'``, which says the task.
        model: The model.
        classes: The names of the classes; ``'class 0'`` and so on where they are not told.
        pipeline: From the path of an image to what the model's data preprocessor takes.
    """

    name: str
    scope: str
    model: nn.Module
    classes: tuple[str, ...]
    pipeline: Compose

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
        picture = packed['inputs'].permute(1, 2, 0).flip(2).numpy()  # mmcv reads BGR
        with DefaultScope.overwrite_default_scope(self.scope):
            data = self.model.data_preprocessor(pseudo_collate([packed]), False)
        return Sample(Path(path).name, picture, data['inputs'], data['data_samples'][0])


def typical_aspect(samples: Sequence[Sample]) -> float:
    """Height over width of the cells that show samples; very long pictures get smaller in them."""
    aspects = [sample.picture.shape[0] / sample.picture.shape[1] for sample in samples]
    return float(np.clip(np.median(aspects), 0.5, 1.5))


def add_device(parser: argparse.ArgumentParser) -> None:
    """Add the switch that says where a model runs."""
    parser.add_argument(
        '--device', default='auto', help='cpu, cuda or cuda:N; by default CUDA where there is one'
    )


def load_model(cfg: Config, checkpoint: str | None = None, device: str = 'auto') -> LoadedModel:
    """Build a config's model and load a checkpoint, which must fit it to the last tensor.

    Args:
        cfg: Of a detector, a segmentor or a classifier, from :func:`load_config`.
        checkpoint: The file, read as :func:`vminet_mm.inference.load_model` does; None for random
            weights, the same in every call.
        device: ``'cpu'``, ``'cuda:1'``, ...; ``'auto'`` takes CUDA where it is.

    Raises:
        ConfigError: If there is no such task, file or device, or the checkpoint is of another
            model.
    """
    if checkpoint is not None:
        predictor = load_predictor(cfg, checkpoint, device)
        model, classes = predictor.model, predictor.classes
    else:
        model, classes = _random_model(cfg, device)
    steps = next(leaf_datasets(cfg.test_dataloader.dataset)).pipeline
    with DefaultScope.overwrite_default_scope(cfg.default_scope):
        return LoadedModel(
            name=Path(cfg.filename).stem,
            scope=cfg.default_scope,
            model=model,
            classes=classes,
            pipeline=Compose([s for s in steps if not str(s['type']).endswith('Annotations')]),
        )


def _random_model(cfg: Config, device: str) -> tuple[nn.Module, tuple[str, ...]]:
    """A model that nothing was loaded into, the same in every call, and the classes."""
    scope = cfg.get('default_scope')
    if scope not in SCOPES:
        raise ConfigError(f'the default_scope of the config is none of {", ".join(SCOPES)}')
    model_cfg = deepcopy(cfg.model)
    model_cfg.setdefault('data_preprocessor', cfg.get('data_preprocessor'))
    with DefaultScope.overwrite_default_scope(scope), torch.random.fork_rng([]):
        torch.manual_seed(0)
        model = MODELS.build(model_cfg).to(choose_device(device)).eval()
        told = [getattr(module, 'num_classes', None) for module in model.modules()]
        number = max((n for n in told if isinstance(n, int)), default=1)
        return model, dataset_meta(cfg, scope, {}, number)[0]
