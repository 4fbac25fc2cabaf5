"""The number that a class activation map explains: how much a model sees of a class.

It can be followed back to the image by gradients, and depends on the task. Of

- a classifier it is the logit of the class,
- a segmentor the sum of its logits over the locations where it is predicted, or over all,
- a detector the sum over the detections of the class of the logit of their score.
"""

from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from copy import copy
from dataclasses import dataclass
from difflib import get_close_matches

import torch
from torch import Tensor, nn

from ..compat.patching import temporarily
from ..inference.heads import class_probabilities
from ..tasks import CLASSIFICATION, DETECTION, SEGMENTATION
from .loading import LoadedModel, Sample

REGIONS = ('predicted', 'all')


@dataclass(frozen=True)
class Settings:
    """What is explained, and how.

    Attributes:
        method: One of :data:`vminet_mm.visualization.cam.METHODS`. All but EigenCAM follow the
            gradients of the score of the class.
        category: Name or number of the class, by default the one predicted.
        region: Of a segmentor: the score counts the logits where the class is ``'predicted'``, or
            in ``'all'`` locations.
        score_thr: Of a detector: the score counts detections from this score on, or the best one
            where none reaches it.
    """

    method: str = 'gradcam'
    category: str | None = None
    region: str = 'predicted'
    score_thr: float = 0.3


def _score_classifier(
    loaded: LoadedModel, sample: Sample, settings: Settings, inputs: Tensor
) -> tuple[Tensor, Tensor]:
    logits = loaded.model(inputs, mode='tensor')[0]
    return logits, class_probabilities(loaded.model, logits)


def _score_segmentor(
    loaded: LoadedModel, sample: Sample, settings: Settings, inputs: Tensor
) -> tuple[Tensor, Tensor]:
    if settings.region not in REGIONS:
        raise ValueError(f'unknown region {settings.region!r}; choose one of {", ".join(REGIONS)}')
    logits = loaded.model(inputs, mode='tensor')[0].flatten(1)  # (K, locations)
    if settings.region == 'all':
        return logits.sum(1), logits.softmax(0).mean(1)
    is_predicted = nn.functional.one_hot(logits.argmax(0), len(logits)).t()
    return (logits * is_predicted).sum(1), is_predicted.float().mean(1)


def _score_detector(
    loaded: LoadedModel, sample: Sample, settings: Settings, inputs: Tensor
) -> tuple[Tensor, Tensor]:
    with _without_masks(loaded.model), _with_gradients_of_dense_heads():
        found = loaded.model.predict(inputs, [copy(sample.data_sample)], rescale=False)[0]
    scores, labels = found.pred_instances.scores, found.pred_instances.labels
    number = max(len(loaded.classes), *(labels + 1).tolist(), 1)
    # not the score itself: its gradient vanishes where the detector is sure
    logits = torch.logit(scores, eps=1e-6)
    totals, best = [], []
    for k in range(number):
        mine = scores[labels == k]
        best.append(mine.max() if len(mine) else scores.new_zeros(()))
        counts = (labels == k) & (scores >= best[k].detach().clamp(max=settings.score_thr))
        totals.append(logits[counts].sum())
    return torch.stack(totals), torch.stack(best).detach()


def _without_masks(detector: nn.Module) -> AbstractContextManager:
    """Context manager: no pasted masks, whose gradients would take gigabytes."""
    roi_head = getattr(detector, 'roi_head', None)
    has_masks = getattr(roi_head, 'mask_head', None) is not None
    return temporarily(roi_head, mask_head=None) if has_masks else nullcontext()


def _with_gradients_of_dense_heads() -> AbstractContextManager:
    """Context manager under which mmdet's dense heads do not detach their scores."""
    from mmdet.models.dense_heads import base_dense_head  # not needed by the other tasks

    select = base_dense_head.select_single_mlvl
    return temporarily(
        base_dense_head, select_single_mlvl=lambda maps, index, detach: select(maps, index, False)
    )


# by scope: score and evidence, (K,) each, of the classes in an image
SCORES = {
    CLASSIFICATION.scope: _score_classifier,
    SEGMENTATION.scope: _score_segmentor,
    DETECTION.scope: _score_detector,
}


def find_class(category: str | None, classes: Sequence[str], evidence: Tensor) -> int:
    """The number of a class given by name or number, or of the one with the most evidence.

    A class that is called ``'background'`` has to be asked for.
    """
    if category is None:
        seen = evidence.clone()
        seen[[k for k, name in enumerate(classes) if name == 'background']] = 0
        return int(seen.argmax())
    if category in classes:
        return list(classes).index(category)
    if category.isdecimal() and int(category) < len(evidence):
        return int(category)
    near = get_close_matches(category, classes, n=5, cutoff=0.4) or classes[:10]
    names = f'; among the names are {", ".join(near)}' if near else ''
    raise ValueError(f'unknown class {category!r}: give 0 to {len(evidence) - 1} or a name{names}')
