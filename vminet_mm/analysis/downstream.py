"""Whole models of the three tasks against each other: images a second, at random weights.

What is timed with ``infer`` is what a test does with a batch that is read from disk: the data
preprocessor (normalizing, padding), the network, and the post-processing, so of a detector also NMS
and the pasting of masks. How many objects a detector finds at random weights is arbitrary, and
often none; then its mask head has nothing to do.
``model.test_cfg.rcnn.score_thr=0`` makes it find as many as ``max_per_img`` allows, with more boxes
in its NMS than a trained model has.

With ``train`` it is a training step: the data preprocessor, forward pass, losses of made-up ground
truth (eight objects an image), backward pass and AdamW, with a loss scaler in fp16.
"""

from collections.abc import Mapping
from dataclasses import asdict

import torch
from mmengine.config import Config
from mmengine.model.utils import revert_sync_batchnorm
from mmengine.optim import AmpOptimWrapper, OptimWrapper
from mmengine.registry import MODELS, DefaultScope
from mmengine.structures import BaseDataElement
from torch import Tensor
from tqdm import tqdm

from ..models.channels import input_channels
from ..tasks import model_config, task_of
from .benchmark import Settings, machine, time_with_progress
from .benchmark_report import Measurement, Report, make_report
from .complexity import quiet
from .made_targets import add_target
from .memory import peak_bytes

_AMP_NAMES = dict(fp16='float16', bf16='bfloat16')


class Predictor:
    """A config's model that is ready to predict on a random batch.

    Args:
        cfg (Config): A config of mmdet, mmseg or mmpretrain, left unchanged.
        settings (Settings): Device, batch, size (none: that of the task) and autocast.
    """

    def __init__(self, cfg: Config, settings: Settings) -> None:
        self.task = task = task_of(cfg)
        self.scope, self.settings = task.scope, settings
        self.size = settings.sizes[0] if settings.sizes else task.image_size
        with DefaultScope.overwrite_default_scope(self.scope), quiet():
            model = revert_sync_batchnorm(MODELS.build(model_config(cfg)))
        self.model = model.eval().to(settings.device)
        shape = (settings.batch, input_channels(model), *self.size)
        images = torch.randint(256, shape, dtype=torch.uint8)
        # what a pipeline says of an image that it has not resized
        pixels = dict(img_shape=self.size, ori_shape=self.size, scale_factor=(1.0, 1.0))
        samples = [task.make_sample(**pixels) for _ in images]
        self.data = dict(inputs=list(images.to(settings.device)), data_samples=samples)

    @property
    def can_fold(self) -> bool:
        """Whether the backbone can be folded for inference."""
        return hasattr(getattr(self.model, 'backbone', None), 'switch_to_deploy')

    def __call__(self) -> list[BaseDataElement]:
        """Predict; returns a sample for each image."""
        with (
            torch.no_grad(),
            self.settings.autocast(),
            DefaultScope.overwrite_default_scope(self.scope),
        ):
            return self.model.test_step(self.data)


class Trainer(Predictor):
    """A config's model that is ready to be trained on a random batch.

    Args:
        cfg (Config): See :class:`Predictor`.
        settings (Settings): See :class:`Predictor`.
    """

    def __init__(self, cfg: Config, settings: Settings) -> None:
        super().__init__(cfg, settings)
        self.model.train()
        for number, sample in enumerate(self.data['data_samples']):
            add_target(self.task, sample, self.size, number)
        optimizer = torch.optim.AdamW(self.model.parameters(), lr=1e-6)
        self.optim_wrapper = (
            AmpOptimWrapper(optimizer=optimizer, dtype=_AMP_NAMES[settings.dtype])
            if settings.amp
            else OptimWrapper(optimizer)
        )

    def __call__(self) -> dict[str, Tensor]:
        """Do a training step; returns the losses."""
        with DefaultScope.overwrite_default_scope(self.scope):
            return self.model.train_step(self.data, self.optim_wrapper)


def run_downstream(
    configs: Mapping[str, Config],
    settings: Settings,
    deploy: bool = False,
    baseline: str | None = None,
) -> Report:
    """Measure whole models against each other, timed in turn.

    Args:
        configs: By name.
        settings: How to measure; ``sizes`` is one size or empty, ``modes`` is one mode, and
            ``memory_format`` has no effect.
        deploy: In inference, measure each model whose backbone can be folded a second time, folded,
            under its name with ``:deploy``.
        baseline: The name that ratios refer to, by default the first.

    Raises:
        ValueError: If the baseline is none of the names, or pure half precision is asked for.
    """
    if settings.dtype != 'fp32' and not settings.amp:
        raise ValueError(f'{settings.dtype} of a whole model needs amp')
    with machine(settings):
        (mode,) = settings.modes
        kind = Trainer if mode == 'train' else Predictor
        models: dict[str, Predictor] = {}
        for name, cfg in tqdm(configs.items(), 'preparing', leave=False, disable=None):
            models[name] = kind(cfg, settings)
            if deploy and mode == 'infer' and models[name].can_fold:
                folded = models[f'{name}:deploy'] = Predictor(cfg, settings)
                folded.model.backbone.switch_to_deploy()
        baseline = baseline or next(iter(models))
        if baseline not in models:
            raise ValueError(f'the baseline {baseline!r} is none of {", ".join(models)}')
        found = [model() for model in models.values()]
        memory = [peak_bytes(model, settings.device) for model in models.values()]
        times = time_with_progress(list(models.values()), settings)
    rows = [
        Measurement(
            model=name,
            mode=mode,
            size=model.size,
            batch=settings.batch,
            memory_format='contiguous',
            seconds=seconds,
            memory_bytes=memory_bytes,
            params=sum(parameter.numel() for parameter in model.model.parameters()),
            detections=_count_objects(samples) if mode == 'infer' else None,
        )
        for (name, model), samples, memory_bytes, seconds in zip(
            models.items(), found, memory, times, strict=True
        )
    ]
    return make_report(asdict(settings), rows, baseline)


def _count_objects(samples: list[BaseDataElement]) -> int | None:
    """Objects in all predictions; None if the model is not a detector."""
    if 'pred_instances' not in samples[0]:
        return None
    return sum(len(sample.pred_instances) for sample in samples)
