"""The outcomes as a table, as JSON, and against the bar."""

import json
from collections import Counter
from collections.abc import Iterable
from dataclasses import asdict

from .trial import FAILS, NOT_APPLICABLE, WORKS, Outcome

BAR = 0.95  # fraction of the applicable folders of a library that must work


def count(outcomes: Iterable[Outcome]) -> dict[str, Counter]:
    """How many folders of each library have which status."""
    counts: dict[str, Counter] = {}
    for outcome in outcomes:
        counts.setdefault(outcome.library, Counter())[outcome.status] += 1
    return counts


def reaches_bar(outcomes: Iterable[Outcome]) -> bool:
    """Whether enough of the applicable folders of each library work."""
    return all(
        counts[WORKS] >= BAR * (counts[WORKS] + counts[FAILS])
        for counts in count(outcomes).values()
    )


def to_line(outcome: Outcome) -> str:
    """One line of progress."""
    where = f'{outcome.library}/{outcome.folder}'
    return f'{outcome.seconds:6.1f} s  {where:30} {outcome.status:14} {outcome.reason}'.rstrip()


def to_json(outcomes: Iterable[Outcome]) -> str:
    """The outcomes with the names of their fields."""
    return json.dumps([asdict(outcome) for outcome in outcomes], indent=2)


def to_markdown(outcomes: list[Outcome]) -> str:
    """A table with a row a folder, and the counts of each library."""
    rows = ['| folder | config | result |', '| --- | --- | --- |']
    for outcome in sorted(outcomes, key=lambda outcome: (outcome.library, outcome.folder)):
        result = outcome.status + (f': {outcome.reason}' if outcome.reason else '')
        config = outcome.config.removesuffix('.py')
        cells = (f'{outcome.library}/{outcome.folder}', config, result.replace('|', '\\|'))
        rows.append(f'| {" | ".join(cells)} |'.replace('|  |', '| |'))
    return '\n'.join([*rows, '', *summarize(outcomes)])


def summarize(outcomes: Iterable[Outcome]) -> list[str]:
    """One line a library: how many of the applicable folders work."""
    lines = []
    for library, counts in sorted(count(outcomes).items()):
        applicable = counts[WORKS] + counts[FAILS]
        fraction = f' ({counts[WORKS] / applicable:.1%})' if applicable else ''
        lines.append(
            f'{library}: {counts[WORKS]} of {applicable} applicable folders work{fraction}; '
            f'{counts[NOT_APPLICABLE]} are not applicable'
        )
    return lines
