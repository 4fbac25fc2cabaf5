"""Rows of cells as the lines of a table, aligned text or Markdown; the first row is the header."""

from collections.abc import Sequence


def text_table(rows: Sequence[Sequence[object]]) -> list[str]:
    """Lines of aligned columns: the first to the left, the others to the right."""
    texts = [list(map(str, row)) for row in rows]
    first, *others = (max(map(len, column)) for column in zip(*texts, strict=True))
    return [
        '  '.join([f'{name:{first}}', *(f'{c:>{w}}' for c, w in zip(cells, others, strict=True))])
        for name, *cells in texts
    ]


def markdown_table(rows: Sequence[Sequence[object]], rule: str = '---:') -> list[str]:
    """Lines of Markdown; ``rule`` aligns all columns but the first, ``'---:'`` to the right."""
    header, *body = rows
    rules = ['---', *[rule] * (len(header) - 1)]
    return [f'| {" | ".join(map(str, cells))} |' for cells in (header, rules, *body)]
