"""LVT beside its authors' figures."""

import torch

from vminet_mm.peers.lvt import LVT
from vminet_mm.peers.lvt_head import LVTClsHead


def by_hand() -> int:
    """Parameters of the authors' ``lvt`` without its classifier."""
    widths, ratios, reductions = (64, 64, 160, 256), (4, 8, 4, 4), (8, 4, 2, 1)
    total, before = 0, 3
    for i, (c, ratio, reduction) in enumerate(zip(widths, ratios, reductions, strict=True)):
        total += before * c * (49 if i == 0 else 9) + c + 2 * c
        if i == 0:
            attention = c * 162 + 162 + 9 * c * c + c * c + c
            mlp = 2 * ratio * c * c + ratio * c + c
        else:
            attention = c * c + 2 * c * c + c * c + c + 9 * c
            attention += c * c * reduction**2 + c + 2 * c if reduction > 1 else 0
            mlp = 2 * ratio * c * c + ratio * c + c + 10 * ratio * c
        total += 2 * (attention + mlp + 4 * c)
        before = c
    return total


def test_parameters_are_those_of_the_authors_code() -> None:
    with torch.device('meta'):
        backbone, head = LVT(), LVTClsHead(1000, 256)
    params = [sum(p.numel() for p in part.parameters()) for part in (backbone, head)]
    assert params[0] == by_hand() == 3429092  # they print 3.4 M
    block = 2 * 256 * 256 + 256 * 256 + 256 * 256 + 256 + 8 * 256 * 256 + 5 * 256 + 4 * 256
    assert params[1] == 2 * block + 256 + 512 + 2 * (256 * 1000 + 1000)
    assert sum(params) == 5521844  # they print 5.5 M


def test_maps_have_no_norm() -> None:
    """As in the authors' detectors and segmentors."""
    with torch.device('meta'):
        names = [name for name, _ in LVT(out_indices=(0, 1, 2, 3)).named_children()]
    assert names == ['stages']
