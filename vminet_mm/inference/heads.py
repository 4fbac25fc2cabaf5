"""What the heads of classifiers tell: one class of several, or each class for itself."""

from torch import Tensor, nn

from ..tasks import CLASSIFICATION


def tells_many_classes(model: nn.Module) -> bool:
    """Whether a model is a classifier whose head tells of each class if it is in the image."""
    kinds = (kind.__name__ for kind in type(getattr(model, 'head', None)).__mro__)
    return any(kind in CLASSIFICATION.heads['each_class'] for kind in kinds)


def class_probabilities(model: nn.Module, logits: Tensor) -> Tensor:
    """The probabilities of the classes, from the logits (..., K) of a classifier of mmpretrain."""
    return logits.sigmoid() if tells_many_classes(model) else logits.softmax(-1)
