"""The outcomes of a GPU's check as a page of Markdown."""

from collections.abc import Sequence
from itertools import groupby

from ...analysis.tables import markdown_table
from .run import Outcome, state
from .steps import STEPS

MAX_LINES = 60  # of what a command printed; the log has it all


def as_page(outcomes: Sequence[Outcome], command: str) -> str:
    """A table of the steps, then what each printed."""
    titles = {step.name: step.title for step in STEPS}
    lines = [
        '# What a GPU does',
        '',
        f'`{command}`',
        '',
    ]
    rows = [(f'{one.step}: {one.name}', state(one.code), f'{one.seconds:.1f}') for one in outcomes]
    lines += markdown_table([('step', '', 'seconds'), *rows])
    for name, group in groupby(outcomes, lambda outcome: outcome.step):
        lines += ['', f'## {name}: {titles.get(name, name)}']
        for outcome in group:
            lines += ['', *_printed(outcome)]
    return '\n'.join(lines) + '\n'


def _printed(outcome: Outcome) -> list[str]:
    """The end of the output; tables of Markdown stay tables."""
    lines = outcome.output.strip().splitlines()[-MAX_LINES:]
    if any(line.startswith('| ') for line in lines):
        return [f'{outcome.name}:', '', *lines]
    return [f'{outcome.name}:', '', *(f'    {line}' for line in lines or ['(nothing printed)'])]
