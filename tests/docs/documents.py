"""What stands in the documents: code, commands, links and tables."""

import subprocess
import tempfile
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from markdown_it import MarkdownIt
from markdown_it.token import Token

ROOT = Path(__file__).resolve().parents[2]
# the list of what is not run here; its commands are no further ones
EXCEPTIONS = 'docs/reference/commands.md'
PAGES = sorted(
    str(path.relative_to(ROOT))
    for pattern in ('README.md', 'docs/**/*.md', 'configs/**/README.md', 'vminet_mm/**/README.md')
    for path in ROOT.glob(pattern)
)
SHELL = ('bash', 'shell', 'sh', 'console')
# the blocks below this heading are run as they are, by a shell
IMAGENET = 'ImageNet-1K (*not run* on the real archives, run on a small imitation of them)'
# inline code that begins like this is a command, too
BEGINNINGS = ('python ', 'bash ', 'make ', 'pip ')


@dataclass(frozen=True)
class Block:
    """A fenced block of a page, or a piece of its inline code.

    Attributes:
        page: The page's path below the root.
        heading: The last heading before it.
        language: What stands behind the fence; of inline code ``'inline'``.
        text: The code.
    """

    page: str
    heading: str
    language: str
    text: str


@cache
def tokens(page: str) -> list[Token]:
    """A page as markdown-it reads it."""
    return MarkdownIt('commonmark').enable('table').parse((ROOT / page).read_text())


@cache
def blocks(page: str) -> list[Block]:
    """The fenced blocks and the inline code of a page, in their order."""
    found, heading, is_heading = [], '', False
    for token in tokens(page):
        if token.type == 'fence':
            found.append(Block(page, heading, token.info.strip(), token.content))
        elif token.type == 'inline':
            heading = token.content if is_heading else heading
            found += [
                Block(page, heading, 'inline', child.content)
                for child in token.children
                if child.type == 'code_inline'
            ]
        is_heading = token.type == 'heading_open'
    return found


def links(page: str) -> list[str]:
    """Where the links and pictures of a page lead."""
    children = [child for token in tokens(page) for child in token.children or ()]
    attributes = [child.attrs for child in children]
    return [str(found[key]) for found in attributes for key in ('href', 'src') if key in found]


def anchors(page: str) -> set[str]:
    """The names of a page's headings, as GitHub makes them."""
    names = set()
    for before, token in zip(tokens(page), tokens(page)[1:], strict=False):
        if before.type == 'heading_open':
            kept = (c for c in token.content.lower() if c.isalnum() or c in ' -_')
            names.add(''.join(kept).replace(' ', '-'))
    return names


def find_commands() -> list[list[str]]:
    """The words of every documented command, once."""
    found = {}
    with tempfile.TemporaryDirectory() as scratch:
        for block in (block for page in PAGES for block in blocks(page)):
            is_command = block.language in SHELL or block.text.startswith(BEGINNINGS)
            if is_command and block.page != EXCEPTIONS and block.heading != IMAGENET:
                found |= {tuple(words): words for words in commands(block, Path(scratch))}
    return list(found.values())


def rows(page: str, heading: str) -> list[list[str]]:
    """The rows of the tables below a heading, less their first; a cell is its code, or its text."""
    found, last, before = [], '', ''
    for token in tokens(page):
        if before == 'heading_open':
            last = token.content
        elif token.type == 'tr_open' and last == heading:
            found.append([])
        elif before == 'td_open' and last == heading:
            found[-1].append(token.content.strip('`'))
        before = token.type
    return [row for row in found if row]


# what a shell would run is written to stream 3 instead: no program is found
RECORD = r"""
exec 3>recorded; PATH=/nonexistent
command_not_found_handle() { printf '%s\0' "$@" >&3; printf '\n\0' >&3; }
"""


def commands(block: Block, scratch: Path) -> list[list[str]]:
    """The commands of a block, with quotes, variables and loops taken as bash takes them.

    Args:
        block: A block in a shell's language.
        scratch: A folder that redirections may write into.
    """
    (scratch / 'DIR').mkdir(exist_ok=True)
    subprocess.run(
        ['bash', '--norc', '-c', RECORD + block.text], cwd=scratch, capture_output=True, timeout=60
    )
    words = (scratch / 'recorded').read_text().split('\0')
    found, command = [], []
    for word in words:
        if word == '\n':
            found.append(command)
            command = []
        else:
            command.append(word)
    return found
