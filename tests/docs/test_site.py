"""The table of contents of the site that `make docs` makes."""

import re
import runpy
from pathlib import Path
from pkgutil import resolve_name

ROOT = Path(__file__).parents[2]
INDEX = ROOT / 'docs/index.md'


def listed() -> list[Path]:
    """The pages of the table of contents."""
    blocks = re.findall(r'```{toctree}\n(.*?)```', INDEX.read_text(), re.DOTALL)
    lines = [line for block in blocks for line in block.split('\n') if line and line[0] != ':']
    return [Path(ROOT / line[1:] if line[0] == '/' else ROOT / 'docs' / line) for line in lines]


def test_every_page_is_listed_once() -> None:
    patterns = runpy.run_path(str(ROOT / 'docs/conf.py'))['include_patterns']
    pages = {
        path
        for pattern in patterns
        for path in ROOT.glob(pattern.replace('docs/**', 'docs/**/*.md'))
    }
    pages = {path for path in pages if path.suffix == '.md' and '_site' not in path.parts}
    names = listed()
    assert len(names) == len(set(names)) > 30
    assert {path.with_suffix('.md') for path in names} == pages - {INDEX}


def test_it_names_what_there_is() -> None:
    text = (ROOT / 'docs/api.md').read_text()
    names = re.findall(r'auto(?:class|function|module):: (\S+)', text)
    assert len(names) > 20
    for name in names:
        assert resolve_name(name).__doc__, name
