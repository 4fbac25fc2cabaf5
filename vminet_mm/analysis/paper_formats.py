"""The paper's tables as Markdown for people, and as CSV and JSON for machines."""

import csv
import io
import json
from collections.abc import Iterator
from typing import Any

from .our_numbers import NOT_TRAINED
from .paper_tables import PARTS, TOLERANCE, Column, Row, Table
from .tables import markdown_table

ABSENT = '-'
LINES = {  # above the rows of a part of a table
    'text': "*from the paper's text and figures:*",
    'again': "*the paper's rows once more, beside another model of ours:*",
    'added': '*added by us:*',
}
LEGEND = f"""\
`-`: of the paper, not printed there; of ours, not measured in this run. `=`: the same with the
decimals that the paper prints. `!`: more than {TOLERANCE:g} % off the paper's. FLOPs are
multiply-accumulates. Accuracies of ours are the best validation's. docs/reproduction.md says why
numbers differ."""


def to_markdown(tables: list[Table]) -> str:
    """The tables as Markdown, a legend at the end."""
    return '\n\n'.join([*(_table_to_markdown(table) for table in tables), LEGEND])


def _table_to_markdown(table: Table) -> str:
    head = ['model']
    for column in table.columns:
        head += [f'{_title(column)}: paper', 'ours']
    head += ['ours is of', 'reported elsewhere']
    body = []
    for part in PARTS:
        rows = [_cells(row, table.columns) for row in table.rows if row.part == part]
        line = [[LINES[part], *[''] * (len(head) - 1)]] if rows and part in LINES else []
        body += [*line, *rows]
    lines = [f'### Table {table.number}: {table.title}', '']
    lines += markdown_table([head, *body], '---')
    notes = [*table.notes, *_row_notes(table)]
    return '\n'.join([*lines, *([''] if notes else []), *(f'- {note}' for note in notes)])


def _cells(row: Row, columns: list[Column]) -> list[str]:
    """A row of a table as its cells."""
    cells = [row.model]
    for column in columns:
        cells += [_papers(row, column), _ours(row, column)]
    return [*cells, _source(row), _reported(row, columns)]


def _papers(row: Row, column: Column) -> str:
    value = row.paper.get(column.name)
    if value is None or column.kind == 'fact':
        return _plain(value)
    return column.as_printed(value)


def _title(column: Column) -> str:
    return f'{column.title} ({column.unit})' if column.unit else column.title


def _plain(value: Any) -> str:
    """A value as it was printed."""
    if isinstance(value, list):
        return ', '.join(map(str, value))
    return ABSENT if value is None else f'{value:g}'


def _ours(row: Row, column: Column) -> str:
    value = row.ours.get(column.name)
    if value is None:
        return NOT_TRAINED if row.config and column.kind == 'accuracy' else ABSENT
    text = _plain(value) if column.kind == 'fact' else f'{value:.{column.digits}f}'
    deviation = row.deviation(column)
    remarks = [] if deviation is None else [f'{deviation:+.1f} %' if deviation else '=']
    remarks += ['!'] if row.is_marked(column) else []
    return f'{text} ({" ".join(remarks)})' if remarks else text


def _source(row: Row) -> str:
    if row.config:
        return row.config.split('/')[-1].removesuffix('.py')
    changed = ', changed' if row.changes else ''
    return row.measure + changed if row.measure else 'none: numbers of others alone'


def _reported(row: Row, columns: list[Column]) -> str:
    values = [
        f'{_plain(row.reported[column.name])} {column.unit} {column.title}'
        for column in columns
        if column.name in row.reported
    ]
    return f'{", ".join(values)} [{row.reported["by"]}]' if values else ABSENT


def _row_notes(table: Table) -> Iterator[str]:
    for row in table.rows:
        yield from (f'{row.model}: {note}' for note in row.notes)
        if row.run:
            yield f'{row.model}: {_run_text(row, table.columns)}'


def _run_text(row: Row, columns: list[Column]) -> str:
    """Which run, and its best and last validation."""
    parts = []
    for name in ('best', 'last'):
        score = row.run[name]
        values = [
            f'{column.title} {score[column.name]:.{column.digits}f}'
            for column in columns
            if column.name in score
        ]
        checkpoint = score['checkpoint'] or 'no checkpoint kept'
        parts.append(
            f'{name} {", ".join(values)} at {row.run["unit"]} {score["step"]} ({checkpoint})'
        )
    return f'{row.run["folder"]}, {row.run["config"]}: {"; ".join(parts)}'


def to_records(tables: list[Table]) -> list[dict]:
    """The tables as one flat record per number.

    Each has ``table``, ``model``, ``part`` (one of ``PARTS`` of paper_tables), ``ours_is_of``,
    ``quantity``, ``unit``, ``paper``, ``ours``, ``deviation_percent``, ``marked``, ``reported``,
    ``reported_by``, ``notes`` and ``run``; None is what there is not.
    """
    return [
        {
            'table': table.number,
            'model': row.model,
            'part': row.part,
            'ours_is_of': row.config or row.measure or None,
            'quantity': column.name,
            'unit': column.unit or None,
            'paper': row.paper.get(column.name),
            'ours': _rounded(row.ours.get(column.name)),
            'deviation_percent': _rounded(row.deviation(column)),
            'marked': row.is_marked(column),
            'reported': row.reported.get(column.name),
            'reported_by': row.reported.get('by') if column.name in row.reported else None,
            'notes': row.notes,
            'run': row.run if row.run and column.kind == 'accuracy' else None,
        }
        for table in tables
        for row in table.rows
        for column in table.columns
    ]


def _rounded(value: Any) -> Any:
    """A number without the noise of floating point; counts in millions keep every unit."""
    return round(value, 9) if isinstance(value, float) else value


def to_json(tables: list[Table]) -> str:
    """The records of :func:`to_records` as JSON."""
    return json.dumps(to_records(tables), indent=2)


def to_csv(tables: list[Table]) -> str:
    """The records of :func:`to_records` as CSV with a line of names; lists and runs as JSON."""
    records = to_records(tables)
    file = io.StringIO()
    writer = csv.DictWriter(file, list(records[0]), lineterminator='\n')
    writer.writeheader()
    for record in records:
        writer.writerow({key: _csv_cell(value) for key, value in record.items()})
    return file.getvalue().rstrip('\n')


def _csv_cell(value: Any) -> Any:
    """Lists and dicts as JSON, empty ones and None as empty cells."""
    if isinstance(value, (list, dict)):
        return json.dumps(value) if value else None
    return value
