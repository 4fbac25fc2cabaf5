"""Heads of classifiers: single-label (softmax) or multi-label (sigmoid)."""

from torch import Tensor, nn

from ..tasks import CLASSIFICATION


def tells_many_classes(model: nn.Module) -> bool:
    """Whether a model is a multi-label classifier, with an independent score per class."""
    kinds = (kind.__name__ for kind in type(getattr(model, 'head', None)).__mro__)
    return any(kind in CLASSIFICATION.heads['each_class'] for kind in kinds)


def class_probabilities(model: nn.Module, logits: Tensor) -> Tensor:
    """Class probabilities from the logits (..., K) of an mmpretrain classifier."""
    return logits.sigmoid() if tells_many_classes(model) else logits.softmax(-1)
