"""Implementation of tools/deployment/test_onnx.py: metrics of a file by a config's evaluators."""

from collections.abc import Mapping
from os import PathLike
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from mmengine.config import Config
from mmengine.registry import MODELS, DefaultScope
from mmengine.runner import Runner
from mmengine.structures import InstanceData, PixelData
from torch import Tensor, nn

from ..errors import ConfigError
from ..tasks import CLASSIFICATION, DETECTION, SEGMENTATION, model_config, task_of
from .detectors import paste
from .session import open_session, read_metadata, read_pixels


class OnnxModel(nn.Module):
    """An exported file in place of the model in a test loop of MMEngine.

    Images go through the file one at a time, so that none is padded to the size of another.

    Args:
        path (str | PathLike): The file.
        cfg (Config): The config it was made with.
        provider (str): Name of onnxruntime's execution provider. Defaults to
            ``'CPUExecutionProvider'``.

    Raises:
        ConfigError: If the file is of another task, or lacks an output that the metrics need.
    """

    def __init__(
        self, path: str | PathLike, cfg: Config, provider: str = 'CPUExecutionProvider'
    ) -> None:
        super().__init__()
        self.session = open_session(path, provider)
        self.about = read_metadata(self.session, path)
        self.task = task = task_of(cfg, str(cfg.filename))
        if self.about['task'] != task.name:
            raise ConfigError(
                f'{path} is for {self.about["task"]}, and {cfg.filename} for {task.name}; give the '
                'config that it was exported with'
            )
        self.names = [output.name for output in self.session.get_outputs()]
        self._require_outputs(path)
        preprocessor = model_config(cfg).get('data_preprocessor') or {}
        kind = dict(type=task.preprocessor) | dict(preprocessor)
        with DefaultScope.overwrite_default_scope(task.scope):
            self.data_preprocessor = MODELS.build(kind)

    def _require_outputs(self, path: str | PathLike) -> None:
        needed = self.task.exported
        if self.task is SEGMENTATION and self.about['input'] == 'uint8':
            needed = ('classes',)
        absent = [name for name in needed if name not in self.names]
        if absent:
            raise ConfigError(
                f'{path} has no output {absent[0]!r}, which the metrics need; export it with '
                f'--outputs {" ".join(needed)}, or without --outputs'
            )
        shapes = {output.name: output.shape for output in self.session.get_outputs()}
        is_pasted = shapes.get('masks', [0, 28])[1] not in range(1, 1000)
        if is_pasted and self.about['input'] != 'uint8':
            raise ConfigError(
                f'{path} has masks of its input, which are not those of the images; export it '
                'without --paste, or with --simplify-input uint8'
            )

    @torch.no_grad()
    def test_step(self, data: Mapping[str, Any]) -> list[Any]:
        """The samples of a batch with what the file predicts for them."""
        complete = {
            CLASSIFICATION: self._classify,
            DETECTION: self._detect,
            SEGMENTATION: self._segment,
        }[self.task]
        samples = []
        for image, sample in zip(data['inputs'], data['data_samples'], strict=True):
            found = self.session.run(None, {'image': self._prepared(image, sample)})
            outputs = dict(zip(self.names, map(torch.from_numpy, found), strict=True))
            samples.append(complete(outputs, sample))
        return samples

    def _prepared(self, image: Tensor, sample: Any) -> np.ndarray:
        """The inputs of the file for an image."""
        if self.about['input'] == 'uint8':  # all that the pipeline did is done by the file
            return read_pixels(sample.img_path, self.about)
        batch = self.data_preprocessor(dict(inputs=[image], data_samples=[sample]), False)
        inputs = batch['inputs']
        if self.task is DETECTION:  # the file pads, and must know where the image ends
            height, width = sample.img_shape[:2]
            inputs = inputs[..., :height, :width]
        return inputs.numpy()

    def _classify(self, outputs: dict[str, Tensor], sample: Any) -> Any:
        scores = outputs['probabilities'][0]
        if self.about.get('multi_label'):
            labels = (scores >= 0.5).nonzero().flatten()
        else:
            labels = scores.argmax()
        return sample.set_pred_score(scores).set_pred_label(labels)

    def _segment(self, outputs: dict[str, Tensor], sample: Any) -> Any:
        if 'logits' in outputs and self.about['input'] != 'uint8':
            height, width = sample.img_shape[:2]
            logits = outputs['logits'][..., :height, :width]
            logits = F.interpolate(logits, sample.ori_shape[:2], mode='bilinear')
            labels = logits.argmax(1)
        else:
            labels = outputs['classes']
        sample.pred_sem_seg = PixelData(data=labels)
        return sample

    def _detect(self, outputs: dict[str, Tensor], sample: Any) -> Any:
        boxes = outputs['boxes']
        height, width = sample.ori_shape[:2]
        if self.about['input'] != 'uint8':
            boxes = boxes / torch.tensor(sample.scale_factor).repeat(2)
        found = dict(bboxes=boxes, scores=outputs['scores'], labels=outputs['labels'])
        masks = outputs.get('masks')
        if masks is not None and masks.dtype != torch.bool:
            threshold = self.about['mask_threshold']
            # one at a time: a hundred masks of a large picture would not fit into memory at once
            whole = [
                paste(m[None], b[None], height, width, threshold)
                for m, b in zip(masks, boxes, strict=True)
            ]
            masks = torch.cat([torch.zeros(0, height, width, dtype=torch.bool), *whole])
        if masks is not None:
            found['masks'] = masks
        sample.pred_instances = InstanceData(**found)
        return sample


def score(
    cfg: Config, path: str | PathLike, provider: str = 'CPUExecutionProvider'
) -> dict[str, float]:
    """The metrics of an exported file on the test set of a config.

    Raises:
        ConfigError: If the file does not fit the config, or cannot be run.
    """
    model = OnnxModel(path, cfg, provider)
    runner = Runner(
        model=model,
        work_dir=cfg.work_dir,
        test_dataloader=cfg.test_dataloader,
        test_evaluator=cfg.test_evaluator,
        test_cfg=cfg.get('test_cfg') or dict(),
        default_scope=cfg.default_scope,
        default_hooks=dict(checkpoint=None),
        cfg=cfg,
    )
    return {name: float(value) for name, value in runner.test().items()}  # not numpy's, for JSON
