"""What is exported of a model: a function from a batch of images to named tensors."""

from collections.abc import Sequence
from copy import deepcopy

import torch
from torch import Tensor, nn

from ..errors import ConfigError
from ..models import VMISA, VMINet, VMISABlock, switch_to_deploy
from ..ops.matrix_export import adaptive_average, separable_attention
from ..ops.recurrent_export import recurrent_attention

EXPORT_OPS = {'matrix': separable_attention, 'recurrent': recurrent_attention}


class Outputs(nn.Module):
    """A model of the mm packages as a function of the image alone.

    Args:
        model: The model, in evaluation mode.
        names: Which of :attr:`choices` :meth:`forward` returns, by default all.

    Attributes:
        choices: The names of all that :meth:`compute` gives.
        parts: The children of the model that it needs.

    Raises:
        ConfigError: If a name is none of the choices.
    """

    choices: tuple[str, ...]
    parts = ('backbone', 'neck', 'head')

    def __init__(self, model: nn.Module, names: Sequence[str] = ()) -> None:
        super().__init__()
        self.model = model
        unknown = [name for name in names if name not in self.choices]
        if unknown:
            raise ConfigError(
                f'there is no output {unknown[0]!r}; choose among {", ".join(self.choices)}'
            )
        self.names = tuple(names) or self.choices

    def forward(self, image: Tensor) -> tuple[Tensor, ...]:
        """The outputs of a batch of normalized images (B, 3, H, W), in the order of the names."""
        tensors = self.compute(image)
        return tuple(tensors[name] for name in self.names)

    def compute(self, image: Tensor) -> dict[str, Tensor]:
        """All outputs by name."""
        raise NotImplementedError


class ClassifierOutputs(Outputs):
    """``logits`` and ``probabilities`` (B, K)."""

    choices = ('logits', 'probabilities')

    def __init__(self, model: nn.Module, names: Sequence[str] = ()) -> None:
        from mmpretrain.models import ClsHead, ImageClassifier  # not needed by the other tasks

        if not isinstance(model, ImageClassifier) or not isinstance(model.head, ClsHead):
            raise ConfigError(
                'of mmpretrain, an ImageClassifier whose head tells one class of several can be '
                f'exported; {type(model).__name__} is none'
            )
        super().__init__(model, names)

    def compute(self, image: Tensor) -> dict[str, Tensor]:
        logits = self.model(image, mode='tensor')
        return dict(logits=logits, probabilities=logits.softmax(1))


class SegmentorOutputs(Outputs):
    """``logits`` (B, K, H, W) and ``classes`` (B, H, W), int64, of each pixel of the image."""

    choices = ('logits', 'classes')
    parts = ('backbone', 'neck', 'decode_head')

    def __init__(self, model: nn.Module, names: Sequence[str] = ()) -> None:
        if model.out_channels == 1:  # a foreground, found by a threshold
            self.choices = ('logits',)
        super().__init__(model, names)

    def compute(self, image: Tensor) -> dict[str, Tensor]:
        size = image.shape[2:]
        logits = self.model.encode_decode(image, [dict(img_shape=size, pad_shape=size)])
        return dict(logits=logits, classes=logits.argmax(1))


class FeatureOutputs(Outputs):
    """The maps that backbone and neck of a detector hand to its heads, named by their stride."""

    parts = ('backbone', 'neck')

    def __init__(self, model: nn.Module, names: Sequence[str] = ()) -> None:
        edge = 256
        with torch.no_grad():
            maps = model.extract_feat(torch.zeros(1, 3, edge, edge))
        self.choices = tuple(f'stride{edge // x.shape[-1]}' for x in maps)
        if len(set(self.choices)) < len(self.choices):
            raise ConfigError(f'several maps of the detector have one stride: {self.choices}')
        super().__init__(model, names)

    def compute(self, image: Tensor) -> dict[str, Tensor]:
        return dict(zip(self.choices, self.model.extract_feat(image), strict=True))


KINDS = {
    'classification': ClassifierOutputs,
    'segmentation': SegmentorOutputs,
    'detection': FeatureOutputs,
}


def make_outputs(task: str, model: nn.Module, names: Sequence[str] = ()) -> Outputs:
    """The exported function of a model.

    Args:
        task: ``'classification'``, ``'segmentation'`` or ``'detection'``.
        model: The model, in evaluation mode.
        names: Which outputs, by default all; see the classes of this module.

    Raises:
        ConfigError: If the model has no such output, or is of a kind that is not exported.
    """
    if any(isinstance(m, VMINet) and m.mask_padding for m in model.modules()):
        raise ConfigError(
            'mask_padding=True cannot be exported: an exported model is given no sizes. '
            '--cfg-options model.backbone.mask_padding=False exports the same for batches that '
            'have no padding'
        )
    return KINDS[task](model, names)


def exportable(outputs: Outputs) -> Outputs:
    """A copy, folded and made of operators that can be exported with open sizes.

    The result is the same up to rounding. The given module is left as it is.
    """
    outputs = deepcopy(outputs)
    switch_to_deploy(outputs.model)
    for name in [name for name, _ in outputs.model.named_children() if name not in outputs.parts]:
        delattr(outputs.model, name)
    for module in list(outputs.modules()):
        if isinstance(module, VMINet):
            module.channels_last = False
        elif isinstance(module, VMISA):
            module.use_op(EXPORT_OPS[module.form])
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
        output_size: As there: one number, or (height, width).
    """

    def __init__(self, output_size: int | tuple[int, int]) -> None:
        super().__init__()
        self.cells = (output_size, output_size) if isinstance(output_size, int) else output_size

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, C, H, W) to (B, C, *cells)."""
        return adaptive_average(x, self.cells)
