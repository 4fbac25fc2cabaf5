"""Every command and every piece of Python in the documents is run, or listed as not run.

Commands are run in this process as they are written, in a folder where CONFIG, DIR and the like
are there and small (workshop.py): as many of them as show every switch with every kind of config.
The switches of all are read by their tool. docs/reference/commands.md lists what is not run.
"""

import argparse
import shlex
from fnmatch import fnmatchcase
from pathlib import Path

import pytest
from documents import EXCEPTIONS, ROOT, find_commands, rows
from workshop import Workshop, fill, run, shorten

pytestmark = pytest.mark.slow

# scripts that start a tool: the tool, and the words of the command that are for it
LAUNCHED = {
    'tools/dist_train.sh': ('tools/train.py', lambda words: [words[0], *words[2:]]),
    'tools/dist_test.sh': ('tools/test.py', lambda words: [*words[:2], *words[3:]]),
    'tools/slurm_train.sh': ('tools/train.py', lambda words: words[2:]),
    'tools/slurm_test.sh': ('tools/test.py', lambda words: words[2:]),
}
NOT_RUN = rows(EXCEPTIONS, 'Not run')
ELSEWHERE = rows(EXCEPTIONS, 'Run by a test of their own')


def tool_of(words: list[str]) -> tuple[str, list[str]]:
    """The script of ours that a command starts, and its arguments; '' where there is none."""
    if words[0] == 'bash' and words[1] in LAUNCHED:
        tool, choose = LAUNCHED[words[1]]
        return tool, choose(words[2:])
    is_script = words[0] == 'python' and words[1] not in ('-', '-m')
    return (words[1], words[2:]) if is_script else ('', [])


def uses(words: list[str]) -> set[tuple[str, str, str]]:
    """What a command shows of its tool: each switch, with the folder of its config."""
    tool, arguments = tool_of(words)
    folders = [str(Path(word).parent) for word in arguments if word.startswith('configs/')] or ['']
    switches = ['', *(word for word in arguments if word.startswith('--'))]
    return {(tool, folder, switch) for folder in folders for switch in switches}


def choose(found: list[list[str]]) -> list[list[str]]:
    """Commands that together use what all of them use; what nothing is known of is among them."""
    chosen, used = [], set()
    for words in sorted(found, key=lambda words: -len(uses(words))):
        if not tool_of(words)[0] or not uses(words) <= used:
            chosen.append(words)
            used |= uses(words)
    return chosen


def is_listed(words: list[str], table: list[list[str]]) -> bool:
    return any(fnmatchcase(shlex.join(words), row[0]) for row in table)


COMMANDS = find_commands()
OF_TOOLS = [words for words in COMMANDS if tool_of(words)[0]]
NOT_LISTED = [words for words in COMMANDS if not is_listed(words, NOT_RUN + ELSEWHERE)]
TO_RUN = choose(NOT_LISTED)


class ReadError(Exception):
    """The switches are read, and nothing else is wanted."""


@pytest.mark.parametrize('words', OF_TOOLS, ids=shlex.join)
def test_the_tool_knows_the_switches(words: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    tool, arguments = tool_of(fill(words))
    read = argparse.ArgumentParser.parse_args

    def stop(parser: argparse.ArgumentParser, *args: object) -> None:
        read(parser, *args)
        raise ReadError

    monkeypatch.setattr(argparse.ArgumentParser, 'parse_args', stop)
    if '--help' in arguments:
        run([tool, *arguments])
    else:
        with pytest.raises(ReadError):
            run([tool, *arguments])
    assert all((ROOT / word).is_file() for word in words if word.startswith('configs/'))


@pytest.mark.parametrize('words', TO_RUN, ids=shlex.join)
def test_it_runs(words: list[str], workshop: Workshop, monkeypatch: pytest.MonkeyPatch) -> None:
    tool, arguments = tool_of(fill(words))
    assert words[0] == 'python' and tool, f'{shlex.join(words)}: list it in {EXCEPTIONS}'
    if words not in workshop.done:
        monkeypatch.chdir(workshop.root)
        run([tool, *shorten(tool, arguments)])
        workshop.done.append(words)
    assert words in workshop.done


@pytest.mark.parametrize('row', NOT_RUN + ELSEWHERE, ids=lambda row: row[0])
def test_what_is_listed_is_documented(row: list[str]) -> None:
    assert any(is_listed(words, [row]) for words in COMMANDS)
    assert len(row) == 2 and row[1]
    if row in ELSEWHERE:
        file, name = row[1].split('::')
        assert f'def {name}(' in (ROOT / file).read_text()
