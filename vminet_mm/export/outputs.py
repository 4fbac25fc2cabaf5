"""The exported function of a model, from a batch of images to named tensors."""

from collections.abc import Sequence
from copy import deepcopy

import torch
from torch import Tensor, nn

from ..errors import ConfigError
from ..inference.heads import class_probabilities, tells_many_classes
from ..models import VMISA, VMINet, VMISABlock, switch_to_deploy
from ..models.channels import input_channels
from ..models.serving import serve
from ..ops.matrix_export import adaptive_average
from ..ops.recurrent_export import recurrent_attention
from ..tasks import CLASSIFICATION, DETECTION, SEGMENTATION
from .detectors import DenseHead, Found, RegionHead, paste


class Outputs(nn.Module):
    """A model of the mm packages as a function of the image alone.

    Args:
        model (nn.Module): The model, in evaluation mode.
        names (Sequence[str]): Which of :attr:`choices` :meth:`forward` returns, by default all.

    Attributes:
        choices: The names of all that :meth:`compute` gives.
        parts: The children of the model that it needs.
        inputs: The names of what :meth:`forward` takes: the images, and where results depend on
            them their ``size`` without padding and the size of the ``canvas`` in which objects
            are given, (2,) float, height and width.

    Raises:
        ConfigError: If a name is none of the choices.
    """

    choices: tuple[str, ...]
    parts = ('backbone', 'neck', 'head')
    inputs: tuple[str, ...] = ('image',)

    def __init__(self, model: nn.Module, names: Sequence[str] = ()) -> None:
        super().__init__()
        self.model = model
        unknown = [name for name in names if name not in self.choices]
        if unknown:
            raise ConfigError(
                f'there is no output {unknown[0]!r}; choose among {", ".join(self.choices)}'
            )
        self.names = tuple(names) or self.choices

    def forward(self, image: Tensor, *sizes: Tensor) -> tuple[Tensor, ...]:
        """The outputs of a batch of normalized images (B, C, H, W), in the order of the names."""
        tensors = self.compute(image, *sizes)
        return tuple(tensors[name] for name in self.names)

    def compute(self, image: Tensor, *sizes: Tensor) -> dict[str, Tensor]:
        """All outputs by name."""
        raise NotImplementedError


class ClassifierOutputs(Outputs):
    """``logits`` and ``probabilities`` (B, K).

    Args:
        model (nn.Module): The model, in evaluation mode.
        names (Sequence[str]): Outputs to return. Defaults to (), for all.
    """

    choices = ('logits', 'probabilities')

    def __init__(self, model: nn.Module, names: Sequence[str] = ()) -> None:
        from mmpretrain.models import ClsHead, ImageClassifier  # not needed by the other tasks

        is_known = isinstance(getattr(model, 'head', None), ClsHead) or tells_many_classes(model)
        if not isinstance(model, ImageClassifier) or not is_known:
            raise ConfigError(
                'of the models of mmpretrain, only an ImageClassifier whose head has a score for '
                f'each class can be exported, not {type(model).__name__}'
            )
        super().__init__(model, names)

    def compute(self, image: Tensor) -> dict[str, Tensor]:
        """Scores of images (B, 3, H, W)."""
        logits = self.model(image, mode='tensor')
        return dict(logits=logits, probabilities=class_probabilities(self.model, logits))


class SegmentorOutputs(Outputs):
    """``logits`` (B, K, H, W) and ``classes`` (B, H, W), int64, of each pixel of the image.

    Args:
        model (nn.Module): The model, in evaluation mode.
        names (Sequence[str]): Outputs to return. Defaults to (), for all.
    """

    choices = ('logits', 'classes')
    parts = ('backbone', 'neck', 'decode_head')

    def __init__(self, model: nn.Module, names: Sequence[str] = ()) -> None:
        if model.out_channels == 1:  # a foreground, found by a threshold
            self.choices = ('logits',)
        super().__init__(model, names)

    def compute(self, image: Tensor) -> dict[str, Tensor]:
        """Scores and classes of the pixels of images (B, 3, H, W)."""
        size = image.shape[2:]
        logits = self.model.encode_decode(image, [dict(img_shape=size, pad_shape=size)])
        return dict(logits=logits, classes=logits.argmax(1))


class FeatureOutputs(Outputs):
    """The maps that backbone and neck of a detector hand to its heads, named by their stride.

    Args:
        model (nn.Module): The model, in evaluation mode.
        names (Sequence[str]): Outputs to return. Defaults to (), for all.
    """

    parts = ('backbone', 'neck')

    def __init__(self, model: nn.Module, names: Sequence[str] = ()) -> None:
        edge = 256
        with torch.no_grad():
            maps = model.extract_feat(torch.zeros(1, input_channels(model), edge, edge))
        self.choices = tuple(f'stride{edge // x.shape[-1]}' for x in maps)
        if len(set(self.choices)) < len(self.choices):
            raise ConfigError(f'several maps of the detector have one stride: {self.choices}')
        super().__init__(model, names)

    def compute(self, image: Tensor) -> dict[str, Tensor]:
        """The maps of images (B, 3, H, W)."""
        return dict(zip(self.choices, self.model.extract_feat(image), strict=True))


class DetectorOutputs(Outputs):
    """The objects of all images, those of an image by falling score.

    ``boxes`` (N, 4) in pixels of the canvas, ``scores`` (N,), ``labels`` (N,) and ``image_index``
    (N,), int64, which of the images each is of; with a mask head ``masks`` (N, 28, 28),
    probabilities within the boxes, or, pasted, (N, H, W) bool.

    Args:
        model (nn.Module): A detector of mmdet.
        names (Sequence[str]): Which outputs, by default all.
        pasted (bool): Whether masks are of the whole canvas. Defaults to False.

    Raises:
        ConfigError: If a part of the detector cannot be exported.
    """

    parts = ('backbone', 'neck')  # the heads are parts of this module
    inputs = ('image', 'size', 'canvas')

    def __init__(self, model: nn.Module, names: Sequence[str] = (), pasted: bool = False) -> None:
        from mmdet.models import detectors as kinds  # not needed by the other tasks

        heads = DETECTORS.get(type(model).__name__)
        if heads is None or not isinstance(model, getattr(kinds, type(model).__name__, ())):
            raise ConfigError(
                f'a {type(model).__name__} cannot be exported whole, only {", ".join(DETECTORS)}. '
                '--outputs maps exports backbone and neck'
            )
        dense = DenseHead(getattr(model, heads[0]), heads[0])
        region = RegionHead(model.roi_head) if len(heads) > 1 else None
        self.choices = ('boxes', 'scores', 'labels', 'image_index')
        if region is not None and region.masks:
            self.choices += ('masks',)
        elif pasted:
            raise ConfigError(f'--paste: a {type(model).__name__} without mask head has no masks')
        super().__init__(model, names)
        self.dense, self.region, self.pasted = dense, region, pasted

    def compute(self, image: Tensor, *sizes: Tensor) -> dict[str, Tensor]:
        """The objects of images (B, 3, H, W), whose size and canvas are (2,) each."""
        size, canvas = sizes
        # of maps whose channels stand last, as a layer norm leaves them, sizes would not stay open
        maps = tuple(x.contiguous() for x in self.model.extract_feat(image))
        found = self.dense(maps, size)
        if self.region is not None:
            found = self.region.find(maps, found, size, image.shape[0])
        scale = (canvas / size).flip(0)
        boxes = found.boxes * torch.cat([scale, scale])
        tensors = dict(
            boxes=boxes, scores=found.scores, labels=found.labels, image_index=found.image
        )
        if 'masks' in self.names:
            tensors['masks'] = self._masks(maps, found, boxes, canvas)
        return tensors

    def _masks(
        self, maps: tuple[Tensor, ...], found: Found, boxes: Tensor, canvas: Tensor
    ) -> Tensor:
        masks = self.region.shapes(maps, found)
        if not self.pasted:
            return masks
        height, width = (int(edge.item()) for edge in canvas)
        return paste(masks, boxes, height, width, self.region.head.test_cfg.mask_thr_binary)


# detectors that are exported whole, and the heads from which their results come
DETECTORS = {
    'MaskRCNN': ('rpn_head', 'roi_head'),
    'FasterRCNN': ('rpn_head', 'roi_head'),
    'CascadeRCNN': ('rpn_head', 'roi_head'),
    'RetinaNet': ('bbox_head',),
    'FCOS': ('bbox_head',),
    'ATSS': ('bbox_head',),
    'GFL': ('bbox_head',),
}
KINDS = {
    CLASSIFICATION.name: ClassifierOutputs,
    SEGMENTATION.name: SegmentorOutputs,
}


def make_outputs(
    task: str,
    model: nn.Module,
    names: Sequence[str] = (),
    pasted: bool = False,
    maps_only: bool = False,
) -> Outputs:
    """The exported function of a model.

    Args:
        task: The name of its task.
        model: The model, in evaluation mode.
        names: Which outputs, by default all; see the classes of this module. ``['maps']`` are all
            maps of a detector.
        pasted: Masks of a detector over the whole image.
        maps_only: Of a detector, backbone and neck.

    Raises:
        ConfigError: If the model has no such output, or is of a kind that is not exported.
    """
    if pasted and task != DETECTION.name:
        raise ConfigError('--paste is for detectors with masks')
    if any(isinstance(m, VMINet) and m.mask_padding for m in model.modules()):
        raise ConfigError(
            'mask_padding=True cannot be exported: an exported model is given no sizes. '
            '--cfg-options model.backbone.mask_padding=False exports the same for batches that '
            'have no padding'
        )
    if task != DETECTION.name:
        return KINDS[task](model, names)
    if list(names) == ['maps'] or (maps_only and not names):
        return FeatureOutputs(model)
    if maps_only or any(name.startswith('stride') for name in names):
        return FeatureOutputs(model, names)
    return DetectorOutputs(model, names, pasted)


def exportable(outputs: Outputs, is_fixed: bool = False) -> Outputs:
    """A copy, folded and made of operators that can be exported with open sizes.

    The result is the same up to rounding. The given module is left as it is. For images of one size
    operators are quicker (``is_fixed``).
    """
    outputs = deepcopy(outputs)
    switch_to_deploy(outputs.model)
    serve(outputs.model, is_fixed)
    for name in [name for name, _ in outputs.model.named_children() if name not in outputs.parts]:
        delattr(outputs.model, name)
    for module in list(outputs.modules()):
        if isinstance(module, VMINet):
            module.channels_last = False
        elif isinstance(module, VMISA):
            module.use_op(recurrent_attention)
        elif isinstance(module, VMISABlock):
            module.with_cp = True  # the plain way, which asks nothing of sizes; no gradient is kept
        for name, child in module.named_children():
            # what ONNX has is the mean of the whole map
            if isinstance(child, nn.AdaptiveAvgPool2d) and child.output_size not in (1, (1, 1)):
                setattr(module, name, AdaptiveAverage(child.output_size))
    return outputs


class AdaptiveAverage(nn.Module):
    """:class:`torch.nn.AdaptiveAvgPool2d` in operators that ONNX has, for maps of any size.

    Args:
        output_size (int | tuple[int, int]): As there: one number, or (height, width).
    """

    def __init__(self, output_size: int | tuple[int, int]) -> None:
        super().__init__()
        self.cells = (output_size, output_size) if isinstance(output_size, int) else output_size

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, C, H, W) to (B, C, *cells)."""
        return adaptive_average(x, self.cells)
