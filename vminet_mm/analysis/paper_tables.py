"""Tables 1 to 6 of the paper, with a location beside each of its numbers for ours.

The numbers of the paper are in ``paper_tables.json``, in the units that its ``columns`` name: under
``rows`` the paper's own rows in its order, under ``text`` what its text and figures say besides,
under ``again`` rows of the table once more, beside another model of ours, and under ``added`` what
we set beside them. What others report of their own models stands apart, with its source.
"""

import json
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

NUMBERS = Path(__file__).with_name('paper_tables.json')
PARTS = ('rows', 'text', 'again', 'added')  # of a table, in this order
TOLERANCE = 2.0  # per cent; a deviation above it is marked


@dataclass(frozen=True)
class Column:
    """A quantity.

    Attributes:
        name: Its key in rows.
        title: Its name in the paper, whose FLOPs are multiply-accumulates.
        unit: Unit of all its values.
        kind: ``'fact'`` (of the architecture), ``'count'``, ``'latency'`` or ``'accuracy'``.
        printed: Decimals that the paper prints in this table; None where it has no such column.
        digits: Decimals of ours.
        metric: For an accuracy the name that MMEngine's logs have for it.
        scale: What that is multiplied with to get the unit.
    """

    name: str
    title: str
    unit: str
    kind: str
    printed: int | None = None
    digits: int = 0
    metric: str = ''
    scale: float = 1.0

    def as_printed(self, value: float) -> str:
        """A value with the decimals that the paper prints."""
        return f'{value:g}' if self.printed is None else f'{value:.{self.printed}f}'


@dataclass
class Row:
    """A model.

    Attributes:
        model: Its name.
        config: Of a model of ours the config, relative to the folder of configs; else empty.
        measure: Of a peer where its model comes from: a config such as ``'mmdet::FILE.py'``, or
            ``'configs::FILE.py'`` of our own configs, or ``'timm::NAME'``; empty where none of them
            has it.
        changes: What differs from that config in its ``model``.
        size: Height and width in pixels that it is counted at, where not the table's.
        part: Which of :data:`PARTS` of the table it stands in.
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
    size: int | None = None
    part: str = 'rows'
    benchmark: str = ''
    paper: dict[str, Any] = field(default_factory=dict)
    ours: dict[str, Any] = field(default_factory=dict)
    reported: dict[str, Any] = field(default_factory=dict)
    run: dict[str, Any] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)

    @property
    def own_config(self) -> str:
        """The config in our folder, of a model of ours or of a peer; else empty."""
        package, _, name = self.measure.partition('::')
        return self.config or (name if package == 'configs' else '')

    def deviation(self, column: Column) -> float | None:
        """How far ours is above the paper's, in per cent; None where they do not compare.

        It is 0 where ours, with the decimals that the paper prints, is what the paper prints.
        """
        paper, ours = self.paper.get(column.name), self.ours.get(column.name)
        if column.kind in ('fact', 'latency') or paper is None or ours is None:
            return None  # a latency is one of another device
        is_same = column.as_printed(ours) == column.as_printed(paper)
        return 0.0 if is_same else 100 * (ours - paper) / paper

    def is_marked(self, column: Column) -> bool:
        """Whether ours differs by more than :data:`TOLERANCE`, or at all where it is a fact."""
        paper, ours = self.paper.get(column.name), self.ours.get(column.name)
        if column.kind == 'fact':
            return None not in (paper, ours) and paper != ours
        return abs(self.deviation(column) or 0) > TOLERANCE


@dataclass
class Table:
    """A table of the paper: its columns, its rows by :data:`PARTS`, and notes."""

    number: int
    title: str
    columns: list[Column]
    rows: list[Row]
    notes: list[str]

    def of_kind(self, kind: str) -> list[Column]:
        """The columns of a kind."""
        return [column for column in self.columns if column.kind == kind]


def read_tables(numbers: Iterable[int] | None = None) -> list[Table]:
    """The tables of these numbers, by default all, with the paper's values and none of ours.

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
            columns=[
                replace(columns[name], printed=printed)
                for name, printed in tables[number]['columns'].items()
            ],
            rows=[_read_row(row, part) for part in PARTS for row in tables[number].get(part, [])],
            notes=tables[number].get('notes', []),
        )
        for number in numbers
    ]


def _read_row(content: dict, part: str) -> Row:
    note = content.pop('note', None)
    return Row(**content, part=part, notes=[note] if note else [])
