"""Sigmoid and softmax focal loss."""

import torch
import torch.nn.functional as F
from torch import Tensor

from .common import op, upcast


@op
def sigmoid_focal_loss_forward(
    input: Tensor, target: Tensor, weight: Tensor, output: Tensor, gamma: float, alpha: float
) -> None:
    """Focal loss of every logit (N, C), each a binary problem, written to output (N, C).

    Of a target (N,) outside 0 .. C-1 all classes are negative. weight (C,) is that of a row by its
    class, or empty; rows of no class have weight 1. The positive class counts alpha, the others 1 -
    alpha.

    mmcv takes log(max(p, 1.2e-38)) of a rounded p, which ends at 87 for any logit above 17 of a
    wrong class; here the logarithm is exact, as in mmdet's own CPU version.
    """
    input, weight = upcast(input, weight)
    loss = _focal(-input, gamma).mul_(1 - alpha)
    positive = _focal(_own_class(input, target), gamma) * alpha
    output.copy_(_combine(loss, positive, target, weight))


@op
def sigmoid_focal_loss_backward(
    input: Tensor, target: Tensor, weight: Tensor, grad_input: Tensor, gamma: float, alpha: float
) -> None:
    """Derivative of each loss by its logit, written to grad_input (N, C)."""
    input, weight = upcast(input, weight)
    grad = _focal_grad(-input, gamma).mul_(alpha - 1)
    positive = _focal_grad(_own_class(input, target), gamma) * alpha
    grad_input.copy_(_combine(grad, positive, target, weight))


@op
def softmax_focal_loss_forward(
    softmax: Tensor, target: Tensor, weight: Tensor, output: Tensor, gamma: float, alpha: float
) -> None:
    """Focal loss of each row's class from probabilities (N, C), written to output (N,).

    Rows with a negative target (N,) are ignored. weight (C,) is that of a row by its class, or
    empty.
    """
    softmax, weight = upcast(softmax, weight)
    own = _own_class(softmax, target)[:, 0]
    loss = (1 - own).pow(gamma).mul_(_log(own)).mul_(-alpha)
    output.copy_(_weigh_rows(loss, target, weight))


@op
def softmax_focal_loss_backward(
    softmax: Tensor,
    target: Tensor,
    weight: Tensor,
    buff: Tensor,
    grad_input: Tensor,
    gamma: float,
    alpha: float,
) -> None:
    """Derivative by the logits, to grad_input (N, C); buff (N,) receives p times that by p."""
    softmax, weight = upcast(softmax, weight)
    own = _own_class(softmax, target)
    other = (1 - own).clamp(min=torch.finfo(own.dtype).tiny)  # 0 to a negative power is infinite
    rate = gamma * other.pow(gamma - 1) * own * _log(own) - other.pow(gamma)
    rate = _weigh_rows(alpha * rate[:, 0], target, weight)
    buff.copy_(rate)
    grad = softmax.neg().scatter_add_(1, target.clamp(min=0)[:, None], torch.ones_like(own))
    grad_input.copy_(grad.mul_(rate[:, None]))


def _focal(logit: Tensor, gamma: float) -> Tensor:
    """-(1 - p)^gamma log(p) with p = sigmoid(logit), without cancellation."""
    return torch.sigmoid(-logit).pow_(gamma).mul_(F.logsigmoid(logit)).neg_()


def _focal_grad(logit: Tensor, gamma: float) -> Tensor:
    """Derivative of `_focal` by the logit: (1 - p)^gamma (gamma p log(p) - (1 - p))."""
    other = torch.sigmoid(-logit)
    slope = torch.sigmoid(logit).mul_(F.logsigmoid(logit)).mul_(gamma).sub_(other)
    return slope.mul_(other.pow_(gamma))


def _log(p: Tensor) -> Tensor:
    return p.clamp(min=torch.finfo(p.dtype).tiny).log()


def _own_class(values: Tensor, target: Tensor) -> Tensor:
    """Column target of values (N, C) as (N, 1); any number where there is no such column."""
    return values.gather(1, target.clamp(0, values.shape[1] - 1)[:, None])


def _combine(negative: Tensor, positive: Tensor, target: Tensor, weight: Tensor) -> Tensor:
    """Put positive (N, 1) into column target of negative (N, C), and weigh the rows."""
    classes = negative.shape[1]
    column = target.clamp(0, classes - 1)[:, None]
    known = ((target >= 0) & (target < classes))[:, None]
    # No boolean indexing: on a GPU it would wait for the result.
    negative.scatter_(1, column, torch.where(known, positive, negative.gather(1, column)))
    if weight.numel():
        negative.mul_(torch.where(known, weight[column], 1))
    return negative


def _weigh_rows(rows: Tensor, target: Tensor, weight: Tensor) -> Tensor:
    if weight.numel():
        rows = rows * weight[target.clamp(min=0)]
    return torch.where(target >= 0, rows, 0)
