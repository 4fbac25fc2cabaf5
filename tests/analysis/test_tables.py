"""Tables by hand."""

import pytest

from vminet_mm.analysis.tables import markdown_table, text_table

ROWS = [('model', 'ms', 'MB'), ('a', 2.5, '-'), ('longer name', 10, '1.0')]


def test_text() -> None:
    assert text_table(ROWS) == [
        'model         ms   MB',
        'a            2.5    -',
        'longer name   10  1.0',
    ]
    assert text_table([('alone',)]) == ['alone']


def test_rows_of_other_lengths_are_refused() -> None:
    with pytest.raises(ValueError, match='zip'):
        text_table([('a', 'b'), ('c',)])


@pytest.mark.parametrize('rule', ['---:', '---'])
def test_markdown(rule: str) -> None:
    assert markdown_table(ROWS, rule) == [
        '| model | ms | MB |',
        f'| --- | {rule} | {rule} |',
        '| a | 2.5 | - |',
        '| longer name | 10 | 1.0 |',
    ]
