"""What the steps that are modules share: switches, timing, and a table."""

import argparse
import json
from collections.abc import Callable, Sequence
from pathlib import Path

from ...analysis.latency import device_clock, quartiles, time_in_turn
from ...analysis.tables import markdown_table


def parse_args(doc: str | None) -> argparse.Namespace:
    """The switches of a step."""
    parser = argparse.ArgumentParser(description=doc)
    parser.add_argument('--device', default='cuda')
    parser.add_argument('--json', required=True)
    parser.add_argument('--tiny', action='store_true')
    return parser.parse_args()


def seconds_of(function: Callable[[], object], device: str, tiny: bool) -> float:
    """The median time of a call."""
    rounds, minimum = (1, 0.0) if tiny else (5, 0.02)
    (times,) = time_in_turn([function], rounds, minimum, device_clock(device))
    return quartiles(times)[1]


def publish(path: str, rows: Sequence[dict]) -> None:
    """Print rows as a table of Markdown, and write them as JSON."""
    Path(path).write_text(json.dumps(rows, indent=2))
    names = list(rows[0])
    cells = [[_cell(row[name]) for name in names] for row in rows]
    print('\n'.join(markdown_table([names, *cells])))


def _cell(value: object) -> str:
    return f'{value:.4g}' if isinstance(value, float) else str(value)
