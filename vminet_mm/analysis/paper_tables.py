"""Tables 1 to 6 of the paper, with a place beside each of its numbers for ours.

The numbers of the paper are in ``paper_tables.json``, in the units that its ``columns`` name. A
number that is not there could not be seen when the file was written, and is shown as absent. What
others report of their own models stands apart, with its source.
"""

import json
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

NUMBERS = Path(__file__).with_name('paper_tables.json')
TOLERANCE = 2.0  # per cent; a deviation above it is marked


@dataclass(frozen=True)
class Column:
    """A quantity.

    Attributes:
        name: Its key in rows.
        title: Its name in the paper, whose FLOPs are multiply-accumulates.
        unit: Unit of all its values.
        kind: ``'fact'`` (of the architecture), ``'count'``, ``'latency'`` or ``'accuracy'``.
        digits: Decimals of ours.
        metric: For an accuracy the name that MMEngine's logs have for it.
        scale: What that is multiplied with to get the unit.
    """

    name: str
    title: str
    unit: str
    kind: str
    digits: int = 0
    metric: str = ''
    scale: float = 1.0


@dataclass
class Row:
    """A model.

    Attributes:
        model: Its name.
        config: Of a model of ours the config, relative to the folder of configs; else empty.
        measure: Of a peer where its model comes from: a config such as ``'mmdet::FILE.py'``, or
            ``'timm::NAME'``; empty where none of these packages has it.
        changes: What differs from that config in its ``model``.
        benchmark: Its name for ``tools/analysis_tools/benchmark.py``.
        paper: The paper's values by the columns' names.
        ours: Our values likewise.
        reported: What others report, likewise; ``'by'`` says who.
        run: The run that our accuracy is from, for people and machines to find it.
        notes: What is to be said of the row.
    """

    model: str
    config: str = ''
    measure: str = ''
    changes: dict = field(default_factory=dict)
    benchmark: str = ''
    paper: dict[str, Any] = field(default_factory=dict)
    ours: dict[str, Any] = field(default_factory=dict)
    reported: dict[str, Any] = field(default_factory=dict)
    run: dict[str, Any] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)

    def deviation(self, column: Column) -> float | None:
        """How far ours is above the paper's, in per cent; None where they do not compare."""
        paper, ours = self.paper.get(column.name), self.ours.get(column.name)
        if column.kind in ('fact', 'latency') or paper is None or ours is None:
            return None  # a latency is one of another device
        return 100 * (ours - paper) / paper

    def is_marked(self, column: Column) -> bool:
        """Whether ours differs by more than :data:`TOLERANCE`, or at all where it is a fact."""
        paper, ours = self.paper.get(column.name), self.ours.get(column.name)
        if column.kind == 'fact':
            return None not in (paper, ours) and paper != ours
        return abs(self.deviation(column) or 0) > TOLERANCE


@dataclass
class Table:
    """A table of the paper: its columns, its rows, and what is to be said of it."""

    number: int
    title: str
    columns: list[Column]
    rows: list[Row]
    notes: list[str]

    def of_kind(self, kind: str) -> list[Column]:
        """The columns of a kind."""
        return [column for column in self.columns if column.kind == kind]


def read_tables(numbers: Iterable[int] | None = None) -> list[Table]:
    """The tables with the paper's numbers and none of ours.

    Args:
        numbers: Which, by default all.

    Raises:
        ValueError: If the paper has no such table.
    """
    data = json.loads(NUMBERS.read_text())
    columns = {name: Column(name, **content) for name, content in data['columns'].items()}
    tables = {table['number']: table for table in data['tables']}
    numbers = list(tables) if numbers is None else list(numbers)
    if unknown := sorted(set(numbers) - set(tables)):
        raise ValueError(f'there is no table {unknown[0]}; choose of {sorted(tables)}')
    return [
        Table(
            number=number,
            title=tables[number]['title'],
            columns=[columns[name] for name in tables[number]['columns']],
            rows=[_read_row(row) for row in tables[number]['rows']],
            notes=tables[number].get('notes', []),
        )
        for number in numbers
    ]


def _read_row(content: dict) -> Row:
    note = content.pop('note', None)
    return Row(**content, notes=[note] if note else [])
