"""What the heads of classifiers tell: one class of several, or each class for itself."""

from torch import Tensor, nn


def tells_many_classes(model: nn.Module) -> bool:
    """Whether a model is a classifier whose head tells of each class if it is in the image."""
    return 'MultiLabelClsHead' in [kind.__name__ for kind in type(_head(model)).__mro__]


def class_probabilities(model: nn.Module, logits: Tensor) -> Tensor:
    """The probabilities of the classes, from the logits (..., K) of a classifier of mmpretrain."""
    return logits.sigmoid() if tells_many_classes(model) else logits.softmax(-1)


def _head(model: nn.Module) -> nn.Module | None:
    return getattr(model, 'head', None)
