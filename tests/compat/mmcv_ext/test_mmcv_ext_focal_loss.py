"""Sigmoid and softmax focal loss through mmcv.ops."""

import math

import pytest
import torch
import torch.nn.functional as F
from mmcv.ops import SigmoidFocalLoss, SoftmaxFocalLoss, sigmoid_focal_loss, softmax_focal_loss
from mmcv_ext_reference import assert_same_gradients, leaves

TARGET = torch.tensor([0, 4, 2, 5, -1, 1, 5])  # five classes: 5 and -1 are background


def slow_sigmoid(logits, target, gamma, alpha, weight=None):
    rows = []
    for row, label in zip(logits, target.tolist(), strict=True):
        one_hot = torch.tensor([float(c == label) for c in range(len(row))])
        p = torch.where(one_hot > 0, row, -row).sigmoid()  # of the ground truth
        fraction = torch.where(one_hot > 0, alpha, 1 - alpha)
        factor = weight[label] if weight is not None and 0 <= label < len(row) else 1
        rows.append(-factor * fraction * (1 - p) ** gamma * p.log())
    return torch.stack(rows)


def slow_softmax(logits, target, gamma, alpha, weight=None):
    losses = []
    for row, label in zip(logits, target.tolist(), strict=True):
        p = row.softmax(0)[label]
        factor = 0 if label < 0 else 1 if weight is None else weight[label]
        losses.append(-factor * alpha * (1 - p) ** gamma * p.log())
    return torch.stack(losses)


@pytest.mark.parametrize('gamma', [2.0, 0.0, 1.5])
@pytest.mark.parametrize('reduction', ['none', 'mean', 'sum'])
@pytest.mark.parametrize('weighted', [False, True])
def test_sigmoid_focal_loss_equals_definition(device, gamma, reduction, weighted):
    ours, references = leaves(device, torch.float32, torch.randn(7, 5) * 4)
    weight = torch.rand(5) + 0.5 if weighted else None
    layer = SigmoidFocalLoss(gamma, 0.3, weight, reduction).to(device)
    output = layer(ours[0], TARGET.to(device))
    reference = slow_sigmoid(references[0], TARGET, gamma, 0.3, weight)
    if reduction != 'none':
        reference = reference.sum() / (7 if reduction == 'mean' else 1)
    assert_same_gradients(output, reference, ours, references)


def test_sigmoid_focal_loss_in_half_precision(device, dtype):
    ours, references = leaves(device, dtype, torch.randn(7, 5) * 4)
    output = sigmoid_focal_loss(ours[0], TARGET.to(device), 2.0, 0.25, None, 'none')
    reference = slow_sigmoid(references[0], TARGET, 2.0, 0.25)
    assert_same_gradients(output, reference, ours, references, dtype)


def test_sigmoid_focal_loss_by_hand(device):
    logits = torch.zeros(1, 2, device=device, requires_grad=True)
    loss = sigmoid_focal_loss(logits, torch.tensor([1], device=device), 2.0, 0.25, None, 'none')
    wanted = [0.75 * 0.25 * math.log(2), 0.25 * 0.25 * math.log(2)]
    assert loss[0].tolist() == pytest.approx(wanted)
    loss.sum().backward()
    # d/dx of -a (1-p)^2 log p at p = 1/2: a/4 (log(1/2) - 1/2)
    slope = (math.log(0.5) - 0.5) / 4
    assert logits.grad[0].tolist() == pytest.approx([-0.75 * slope, 0.25 * slope])


def test_sigmoid_focal_loss_of_extreme_logits(device, dtype):
    # A wrong class with probability 1 - 1e-22 costs its logit; mmcv's kernel would say 87.
    ours, references = leaves(device, dtype, torch.tensor([[50.0, -50.0, 200.0, 0.0]]))
    target = torch.tensor([1])
    output = sigmoid_focal_loss(ours[0], target.to(device), 2.0, 0.5, None, 'none')
    assert output[0].tolist() == pytest.approx([25, 25, 100, math.log(2) / 8], rel=1e-2)
    output.sum().backward()
    assert ours[0].grad[0, :3].tolist() == pytest.approx([0.5, -0.5, 0.5])


def test_sigmoid_focal_loss_agrees_with_mmdet(device):
    from mmdet.models.losses.focal_loss import py_sigmoid_focal_loss

    logits = (torch.randn(7, 5) * 3).to(device)
    target = TARGET.clamp(min=0).to(device)
    one_hot = F.one_hot(target, 6)[:, :5].float()
    wanted = py_sigmoid_focal_loss(logits, one_hot, gamma=2.0, alpha=0.25, reduction='sum')
    loss = sigmoid_focal_loss(logits, target, 2.0, 0.25, None, 'sum')
    torch.testing.assert_close(loss, wanted)


def test_focal_losses_without_rows(device, dtype):
    logits = torch.zeros(0, 5, device=device, dtype=dtype, requires_grad=True)
    target = torch.zeros(0, dtype=torch.long, device=device)
    loss = sigmoid_focal_loss(logits, target, 2.0, 0.25, None, 'none')
    assert loss.shape == (0, 5)
    loss.sum().backward()
    assert logits.grad.shape == (0, 5)
    assert softmax_focal_loss(logits, target, 2.0, 0.25, None, 'none').shape == (0,)


@pytest.mark.parametrize('gamma', [2.0, 0.5])
@pytest.mark.parametrize('reduction', ['mean', 'sum'])  # mmcv's gradient of 'none' does not run
@pytest.mark.parametrize('weighted', [False, True])
def test_softmax_focal_loss_equals_definition(device, gamma, reduction, weighted):
    ours, references = leaves(device, torch.float32, torch.randn(7, 5) * 2)
    target = TARGET.clamp(max=4)
    weight = torch.rand(5) + 0.5 if weighted else None
    output = SoftmaxFocalLoss(gamma, 0.3, weight, reduction).to(device)(ours[0], target.to(device))
    reference = slow_softmax(references[0], target, gamma, 0.3, weight).sum()
    assert_same_gradients(output, reference / (7 if reduction == 'mean' else 1), ours, references)


def test_softmax_focal_loss_in_half_precision(device, dtype):
    logits = torch.randn(7, 5)
    target = TARGET.clamp(max=4)
    output = softmax_focal_loss(
        logits.to(device, dtype), target.to(device), 2.0, 0.25, None, 'none'
    )
    assert output.dtype == dtype
    # mmcv takes the softmax itself, in this precision
    wanted = slow_softmax(logits.double(), target, 2.0, 0.25)
    torch.testing.assert_close(output.cpu().double(), wanted, rtol=3e-2, atol=3e-2)


def test_softmax_focal_loss_of_a_certain_class(device):
    logits = torch.tensor([[200.0, 0.0]], device=device, requires_grad=True)
    target = torch.tensor([0], device=device)
    loss = softmax_focal_loss(logits, target, 0.5, 0.25, None, 'sum')
    loss.backward()
    assert loss.item() == 0
    assert logits.grad.tolist() == [[0, 0]]
