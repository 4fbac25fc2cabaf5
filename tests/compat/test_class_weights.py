import pytest
import torch
import torch.nn.functional as F

import vminet_mm  # noqa: F401


@pytest.mark.parametrize('avg_non_ignore', [False, True])
@pytest.mark.parametrize('rows', [0, 2])
def test_ignored_pixels_do_not_count(rows, avg_non_ignore):
    from mmseg.models.losses import CrossEntropyLoss

    weights = [0.5, 2.0, 1.5]
    loss = CrossEntropyLoss(class_weight=weights, avg_non_ignore=avg_non_ignore)
    scores = torch.randn(2, 3, 5, 7, requires_grad=True)
    labels = torch.randint(3, (2, 5, 7))
    labels[:, :rows] = 255
    expected = F.cross_entropy(scores, labels, torch.tensor(weights), ignore_index=255)
    found = loss(scores, labels, ignore_index=255)
    assert found.item() == pytest.approx(expected.item(), rel=1e-5)
    (gradient,) = torch.autograd.grad(found, scores)
    assert not gradient[labels[:, None].expand_as(scores) == 255].any()


def test_without_class_weights_nothing_changes():
    from mmseg.models.losses import CrossEntropyLoss

    scores, labels = torch.randn(1, 3, 4, 4), torch.randint(3, (1, 4, 4))
    labels[0, 0] = 255
    everything = CrossEntropyLoss()(scores, labels, ignore_index=255)
    counted = CrossEntropyLoss(avg_non_ignore=True)(scores, labels, ignore_index=255)
    assert counted.item() == pytest.approx(everything.item() * 16 / 12, rel=1e-5)
