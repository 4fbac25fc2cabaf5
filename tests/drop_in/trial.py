"""One config with VMINet in place of its backbone: does it learn, and does it predict?"""

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import torch
from mmengine.config import Config
from mmengine.logging import MessageHub
from mmengine.model import BaseModel
from mmengine.registry import MODELS, DefaultScope
from torch import Tensor

from vminet_mm.analysis.complexity import quiet
from vminet_mm.models import VMINet
from vminet_mm.peers.backbone import PeerBackbone
from vminet_mm.tasks import SEGMENTATION, model_config

from . import batches
from .errors import NotApplicableError, TrialError
from .folders import find_config
from .preparation import prepare
from .rules import nested_dicts, swap_backbones

WORKS, NOT_APPLICABLE, FAILS = 'works', 'not applicable', 'fails'


@dataclass
class Outcome:
    """What became of a folder.

    Attributes:
        library: One of :data:`.folders.LIBRARIES`.
        folder: Name of the algorithm's folder.
        config: Name of the config that was tried, empty if there is none.
        status: ``'works'``, ``'not applicable'`` or ``'fails'``.
        reason: Why it is not ``'works'``; else empty.
        swaps: What was replaced by what.
        seconds: How long it took.
    """

    library: str
    folder: str
    config: str = ''
    status: str = FAILS
    reason: str = ''
    swaps: list[str] = field(default_factory=list)
    seconds: float = 0.0


def try_folder(folder: str | Path, library: str, arch: str = 'ti') -> Outcome:
    """Swap, build, learn from and predict a random batch; errors become the outcome.

    Args:
        folder: An algorithm's folder of configs.
        library: One of :data:`.folders.LIBRARIES`.
        arch: Of VMINet.
    """
    folder = Path(folder)
    outcome, start, step = Outcome(library, folder.name), time.perf_counter(), 'config'
    torch.manual_seed(0)
    try:
        path, cfg = find_config(folder)
        outcome.config = path.name
        with DefaultScope.overwrite_default_scope(cfg.default_scope), quiet():
            step = 'swap'
            prepare(cfg.model, folder.parents[1])
            outcome.swaps = swap_backbones(cfg.model, arch)
            step = 'build'
            trial = Trial(cfg, library)
            step = 'loss and gradients'
            trial.learn()
            step = 'predict'
            trial.predict()
        outcome.status = WORKS
    except NotApplicableError as error:
        outcome.status, outcome.reason = NOT_APPLICABLE, str(error)
    except Exception as error:  # whatever upstream raises is what the table is to say
        message = (str(error).strip() or repr(error)).splitlines()[0]
        outcome.reason = f'{step}: {type(error).__name__}: {message[:200]}'
    outcome.seconds = round(time.perf_counter() - start, 1)
    return outcome


class Trial:
    """A model with the batches that fit it.

    Args:
        cfg: A config with VMINet in it.
        library: One of :data:`.folders.LIBRARIES`.
    """

    def __init__(self, cfg: Config, library: str) -> None:
        model_cfg = model_config(cfg)
        self.cfg, self.library = model_cfg, library
        self.pipelines = cfg.get('train_dataloader') or {}
        # trackers that learn as a detector are fed as one
        self.is_video = 'tracker' in model_cfg or 'track_head' in model_cfg
        self.learns_as_detector = 'detector' in model_cfg and 'track_head' not in model_cfg
        self.is_reid = model_cfg.type == 'BaseReID'
        self.is_semi = 'semi_train_cfg' in model_cfg
        if self.is_video and self.learns_as_detector:
            model_cfg.data_preprocessor.use_det_processor = True
        self.sizes = _sizes_for(model_cfg)
        preprocessor = model_cfg.data_preprocessor
        if library == SEGMENTATION.scope:
            preprocessor.size = tuple(map(max, zip(*self.sizes, strict=True)))
            preprocessor.pop('size_divisor', None)
        elif preprocessor.type == 'DetDataPreprocessor':
            preprocessor.setdefault('pad_size_divisor', 32)  # or the pipeline had to
        self.model: BaseModel = MODELS.build(model_cfg)
        self.model.init_weights()

    def learn(self) -> None:
        """Loss and gradients must be finite, and the gradients reach every stage."""
        model = self.model
        model.train()  # that of some returns nothing
        progress = dict(epoch=0, iter=0, max_epochs=1, max_iters=1)  # as the Runner says
        MessageHub.get_current_instance().update_info_dict(progress)
        data = model.data_preprocessor(self._training_batch(), training=True)
        if self.is_video and self.learns_as_detector:
            losses = model.detector.loss(data['inputs'], data['data_samples'])
        else:
            losses = model(**data, mode='loss')
        loss, terms = model.parse_losses(losses)
        _require_finite(terms)
        loss.backward()
        for name, parameter in model.named_parameters():
            if parameter.grad is not None and not torch.isfinite(parameter.grad).all():
                raise TrialError(f'the gradient of {name} is not finite')
        backbones = [m for m in model.modules() if isinstance(m, (VMINet, PeerBackbone))]
        if not any(_is_reached(backbone) for backbone in backbones):
            raise TrialError('no gradient reaches the backbone')

    def predict(self) -> None:
        """There must be a prediction for each image, of finite numbers."""
        self.model.eval()
        batch = self._test_batch()
        with torch.no_grad():
            predictions = self.model.test_step(batch)
        if len(predictions) != len(batch['inputs']):
            raise TrialError(f'{len(predictions)} predictions of {len(batch["inputs"])} inputs')
        for prediction in predictions:
            if not any(key.startswith('pred') for key in _keys(prediction)):
                raise TrialError('a sample without a prediction')
            _require_finite(prediction)

    def _training_batch(self) -> dict:
        if self.library == SEGMENTATION.scope:
            return batches.segmentation_batch(self.sizes, self._num_classes(), self._channels())
        if self.is_reid:
            return batches.person_batch(self._num_classes())
        if self.is_semi:
            return batches.semi_supervised_batch(self.sizes, self._num_classes())
        if self.is_video and not self.learns_as_detector:
            return batches.video_batch(self.sizes[0], videos=2, num_frames=2, with_reference=True)
        return self._detection_batch(self.sizes)

    def _test_batch(self) -> dict:
        if self.library == SEGMENTATION.scope:  # a test has images of one size
            sizes = (self.sizes[1],) * 2
            return batches.segmentation_batch(sizes, self._num_classes(), self._channels())
        if self.is_reid:
            return batches.person_batch(self._num_classes())
        if self.is_video:
            return batches.video_batch(self.sizes[0], videos=1, num_frames=2)
        types = {str(node.get('type')) for node in nested_dicts(self.cfg)}
        takes_one = any(name.startswith('GA') for name in types)  # guided anchors, in testing
        return self._detection_batch(self.sizes[:1] if takes_one else self.sizes)

    def _detection_batch(self, sizes: tuple[batches.Size, ...]) -> dict:
        loads_masks = any(
            node.get('with_mask', node.get('type') == 'LoadPanopticAnnotations')
            for node in nested_dicts(self.pipelines)
        )
        has_map = any('semantic_head' in n or 'panoptic_head' in n for n in nested_dicts(self.cfg))
        return batches.detection_batch(
            sizes,
            self._num_classes(),
            with_mask=loads_masks,
            num_semantic=self._num_classes(max) if has_map else 0,
            proposals='roi_head' in self.cfg and not self.cfg.get('rpn_head'),
        )

    def _num_classes(self, choose: Callable[..., int] = min) -> int:
        """The smallest number of classes that any part of the model has; 1 for an RPN alone."""
        keys = ('num_classes', 'num_things_classes')
        found = [node[key] for node in nested_dicts(self.cfg) for key in keys if node.get(key)]
        return choose((n for n in found if isinstance(n, int)), default=1)

    def _channels(self) -> int:
        return self.cfg.backbone.get('in_channels', 3)


def _sizes_for(model_cfg: dict) -> tuple[batches.Size, ...]:
    """Sizes of the images that a model is tried on.

    A model whose data preprocessor does not pad is trained on images of one size, and SSD is, too.
    """
    types = {node.get('type') for node in nested_dicts(model_cfg)}
    sizes = batches.SIZES
    if 'SSDNeck' in types or model_cfg.get('as_two_stage'):
        sizes = batches.LARGE_SIZES
    elif 'LRASPPHead' in types:
        sizes = batches.HUGE_SIZES
    preprocessor = model_cfg.data_preprocessor
    pads = 'pad_size_divisor' in preprocessor or preprocessor.type != 'DetDataPreprocessor'
    return sizes if pads and 'SSDNeck' not in types else (sizes[0],) * len(sizes)


def _is_reached(backbone: VMINet | PeerBackbone) -> bool:
    """Whether a gradient that is not 0 comes to the stem and to each stage up to the last read."""
    if isinstance(backbone, PeerBackbone):
        parts = backbone.stages_from_stem()[: max(backbone.out_indices) + 2]
        gradients = [[p.grad for p in part.parameters() if p.grad is not None] for part in parts]
        return all(any(bool(gradient.any()) for gradient in part) for part in gradients)
    norms = {i: getattr(backbone, backbone._norm_name(i)) for i in backbone.out_indices}
    read = [i for i, norm in norms.items() if norm.weight.grad is not None]
    stages = backbone.stages[: max(read, default=-1) + 1]
    gradients = [part[0].conv.weight.grad for part in (backbone.stem, *stages)]
    return all(gradient is not None and bool(gradient.any()) for gradient in gradients)


def _require_finite(node: object, name: str = '') -> None:
    """Raise if a tensor anywhere in losses or predictions has an inf or a NaN."""
    if isinstance(node, Tensor):
        if node.is_floating_point() and not torch.isfinite(node).all():
            raise TrialError(f'{name} is not finite')
        return
    for key, value in _items(node):
        _require_finite(value, f'{name}.{key}' if name else str(key))


def _items(node: object) -> Iterator[tuple[object, object]]:
    if hasattr(node, 'all_items'):  # a structure of MMEngine
        return iter(node.items())
    if isinstance(node, dict):
        return iter(node.items())
    return enumerate(node) if isinstance(node, (list, tuple)) else iter(())


def _keys(node: object) -> Iterator[str]:
    """Names of all fields, at any depth."""
    for key, value in _items(node):
        yield str(key)
        yield from _keys(value)
    for frame in getattr(node, 'video_data_samples', ()):
        yield from _keys(frame)
