"""Top-1 accuracies on ImageNet-1K, in percent, that were published for the models of the zoo.

Those of the paper and of its peers stand in ``paper_tables.json`` and nowhere else: in rows that
have a name for the benchmark.
"""

from functools import cache

from .authors_model import RELEASES
from .paper_tables import read_tables

Published = tuple[float, str]

PAPER = 'arXiv 2501.02040'
# README of the repository yws-wxs/VMINet when it held the first release
FIRST_RELEASE = {'xs': 76.5, 's': 79.0, 'b': 80.9}
# options of VMINet which leave its results as they are, and what the names of rows leave out
NEUTRAL = {'impl', 'channels_last', 'with_cp'}
DEFAULTS = {'form': 'matrix', 'mask': 'tril'}


def published_top1(family: str, name: str, options: dict) -> Published | None:
    """The accuracy in percent and its source, or None where none is known."""
    if family == 'vminet':
        changes = ','.join(
            f'{key}={value}'
            for key, value in options.items()
            if key not in NEUTRAL and DEFAULTS.get(key) != value
        )
        return _of_tables().get(f'vminet-{name}:{changes}'.rstrip(':'))
    if family == 'reference':
        if options.get('release', RELEASES[-1]) != 'first':
            return _of_tables().get(f'vminet-{name}')
        return (FIRST_RELEASE[name], "the authors' repository") if name in FIRST_RELEASE else None
    if family in ('peer', 'timm'):
        return None if set(options) - NEUTRAL else _of_tables().get(name)
    return _of_mmpretrain(name)


@cache
def _of_tables() -> dict[str, Published]:
    """By the names that the benchmark has for them: the paper's values, else what others report."""
    found: dict[str, Published] = {}
    for table in read_tables():
        for row in table.rows:
            if row.benchmark and 'top1' in row.paper:
                found.setdefault(row.benchmark, (row.paper['top1'], PAPER))
            elif row.benchmark and 'top1' in row.reported:
                found.setdefault(row.benchmark, (row.reported['top1'], row.reported['by']))
    return found


def _of_mmpretrain(name: str) -> Published | None:
    """What mmpretrain's metafile claims for ImageNet-1K."""
    from mmpretrain.apis import ModelHub

    if not ModelHub.has(name):  # a backbone type
        return None
    for result in ModelHub.get(name).results or []:
        top1 = result.metrics.get('Top 1 Accuracy')
        if result.dataset == 'ImageNet-1k' and top1 is not None:
            return top1, 'metafile of mmpretrain'
    return None
