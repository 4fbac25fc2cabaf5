"""What compat fixes here, and whether mmcv's operators compute what they should."""

from pathlib import Path

from .fixes import explain, replace
from .report import Section


def check_compat() -> Section:
    """The state of each piece of :mod:`vminet_mm.compat`, and what it fixes."""
    from ..compat import describe
    from ..files import shipped

    section = Section(f'what vminet_mm fixes of the packages ({shipped("docs/compat.md")})')
    for name, state, fixes in describe():
        section.facts[name] = f'{state}: {fixes}'
    return section


def check_operators() -> Section:
    """Which operators mmcv runs on, and a test of them with values by hand; needs mmcv."""
    import mmcv
    import torch

    from ..compat.mmcv_ext import is_compiled

    section = Section("mmcv's operators")
    compiled = is_compiled()
    section.facts['provided by'] = 'the compiled mmcv' if compiled else 'torchvision and torch'
    if not compiled and any(Path(mmcv.__path__[0]).glob('_ext.*')):
        section.problem(
            'mmcv was compiled for another torch and does not load; torchvision stands in for it',
            replace('mmcv'),
            fatal=False,
        )
    for device in ('cpu', 'cuda') if torch.cuda.is_available() else ('cpu',):
        try:
            wrong = _wrong_operators(device)
        except Exception as error:  # an operator that fails may fail in any way
            section.facts[f'test on {device}'] = 'failed'
            section.problem(*explain('mmcv', error))
            continue
        section.facts[f'test on {device}'] = f'{", ".join(wrong)} wrong' if wrong else 'right'
        if wrong:
            section.problem(f'{" and ".join(wrong)} of mmcv are wrong on {device}', replace('mmcv'))
    return section


def _wrong_operators(device: str) -> list[str]:
    """Names of the operators whose results differ from those found by hand."""
    import torch
    from mmcv.ops import nms, roi_align

    # the second box is the lower half of the first, IoU 0.5; the third is apart
    boxes = torch.tensor([[0.0, 0, 10, 10], [0, 5, 10, 10], [20, 20, 30, 30]], device=device)
    scores = torch.tensor([0.9, 0.8, 0.7], device=device)
    kept = [nms(boxes, scores, threshold)[1].tolist() for threshold in (0.4, 0.6)]
    # each pixel holds its column, and pixel centers lie at halves: the mean over x from 1 to 3
    columns = torch.arange(6.0, device=device).expand(1, 1, 4, 6).contiguous()
    roi = torch.tensor([[0.0, 1, 1, 3, 3]], device=device)
    mean = roi_align(columns, roi, (1, 1), 1.0, 2, 'avg', True).item()
    results = dict(nms=kept == [[0, 2], [0, 1, 2]], roi_align=abs(mean - 1.5) < 1e-4)
    return [name for name, right in results.items() if not right]
