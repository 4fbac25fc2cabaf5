"""What the documents name is there: pages, headings, files, switches, modules, figures."""

import argparse
import pkgutil
import re
import runpy
from pathlib import Path

import pytest
import yaml
from documents import EXCEPTIONS, PAGES, ROOT, anchors, blocks, links, rows, tokens

FOLDERS = ('configs', 'demo', 'docs', 'requirements', 'tests', 'tools', 'vminet_mm')
TOOLS = [path for name in ('tools', 'demo') for path in (ROOT / name).rglob('*.py')]
OTHERS = {'--force-reinstall', '--no-deps', '--kill-on-bad-exit', '--check'}  # pip, srun, ruff
# scripts of the tests that documents name
SCRIPTS = [path for path in (ROOT / 'tests').glob('*.py') if 'ArgumentParser(' in path.read_text()]
each_page = pytest.mark.parametrize('page', PAGES)


@each_page
def test_links_lead_somewhere(page: str) -> None:
    local = [link for link in links(page) if '://' not in link]
    for link in local:
        name, _, anchor = link.partition('#')
        path = (ROOT / page).parent / name if name else ROOT / page
        assert path.exists(), f'{page}: {link}'
        if anchor:
            assert anchor in anchors(str(path.resolve().relative_to(ROOT))), f'{page}: {link}'


def test_every_page_can_be_reached() -> None:
    """From the README, by links."""
    seen, waiting = set(), ['README.md']
    while waiting:
        page = waiting.pop()
        if page in seen or page not in PAGES:
            continue
        seen.add(page)
        near = [(ROOT / page).parent / link.partition('#')[0] for link in links(page)]
        waiting += [str(p.resolve().relative_to(ROOT)) for p in near if p.is_relative_to(ROOT)]
    assert seen == set(PAGES)


def test_the_list_of_pages_has_each_once() -> None:
    found = links('docs/README.md')
    assert {link for link in found if found.count(link) > 1} == set()


@each_page
def test_files_exist(page: str) -> None:
    text = '\n'.join(block.text for block in blocks(page))
    named = re.findall(rf'(?<![\w./])(?:{"|".join(FOLDERS)})/[\w./*-]*[\w*]', text)
    made = ('configs/upernet/my_data.py',)  # by whoever follows docs/data.md
    missing = [name for name in named if name not in made and not list(ROOT.glob(name))]
    assert not missing


@each_page
def test_names_of_python_exist(page: str) -> None:
    text = '\n'.join(block.text for block in blocks(page))
    for name in re.findall(r'(?<![\w./])vminet_mm(?:\.[A-Za-z_]\w*)+', text):
        if not (ROOT / name).is_file():
            assert pkgutil.resolve_name(name) is not None


@pytest.fixture(scope='module')
def switches() -> set[str]:
    """Every switch of every tool."""
    found = set()

    def note(parser: argparse.ArgumentParser, *args: object) -> None:
        commands = [a for a in parser._actions if isinstance(a, argparse._SubParsersAction)]
        for each in (parser, *(sub for action in commands for sub in action.choices.values())):
            found.update(each._option_string_actions)
        raise SystemExit

    with pytest.MonkeyPatch.context() as monkeypatch:
        monkeypatch.setattr(argparse.ArgumentParser, 'parse_args', note)
        for path in TOOLS + SCRIPTS:
            with pytest.raises(SystemExit):
                runpy.run_path(str(path), run_name='__main__')
    return found


@each_page
def test_switches_exist(page: str, switches: set[str]) -> None:
    """Those of whole commands are read by their own tool in test_documented_commands.py."""
    spans = [block.text for block in blocks(page) if block.language == 'inline']
    named = {word for text in spans for word in re.findall(r'(?<!\S)--[a-z][\w-]*', text)}
    assert named <= switches | OTHERS
    spelt = [token.content for token in tokens(page) if token.type == 'inline']
    assert not [text for text in spelt if '-- ' in text]


def metafile(config: str) -> dict:
    """What the metafile says of a config."""
    content = yaml.safe_load((ROOT / config).with_name('metafile.yml').read_text())
    (entry,) = (entry for entry in content['Models'] if entry['Config'] == config)
    return entry


def test_the_model_zoo_has_the_figures_of_the_metafiles() -> None:
    """Parameters and MACs as measured, and the paper's results; FPN rows repeat them."""
    found = rows('README.md', 'Model zoo')
    assert len(found) == 5 + 6 + 3
    for row in found:
        config = re.search(r'\((.*)\)', row[0])[1]
        entry = metafile(config)
        digits = 2 if '/cls/' in config else 1
        assert row[1].startswith(f'{entry["Metadata"]["Parameters"] / 1e6:.2f} M')
        assert row[2].startswith(f'{entry["Metadata"]["FLOPs"] / 1e9:.{digits}f} G')
        results = metafile(config.replace('_fpn_', '_sfp_'))['Paper Results']
        values = [value for result in results for value in result['Metrics'].values()]
        assert row[-2] == ' / '.join(map(str, values))
        assert row[-1] == 'not yet trained'


def test_the_readmes_ratios_are_those_that_were_measured() -> None:
    """They stand in the page of the measurements."""
    measured = re.findall(r'\d+\.\d\d', (ROOT / 'docs/benchmarks/cpu.md').read_text())
    cells = ' '.join(row[2] for row in rows('README.md', 'Speed'))
    found = re.findall(r'\d+\.\d\d', cells)
    assert len(found) >= 7 and set(found) <= set(measured)


def test_every_full_config_is_in_its_folders_page() -> None:
    for path in ROOT.glob('configs/[a-z]*/*.py'):
        assert any(path.name == link for link in links(f'configs/{path.parent.name}/README.md'))


def test_the_exceptions_stand_in_their_page() -> None:
    assert rows(EXCEPTIONS, 'Not run') and rows(EXCEPTIONS, 'Run by a test of their own')
    assert not rows(EXCEPTIONS, 'No such heading')


@pytest.mark.parametrize('path', TOOLS, ids=lambda path: path.stem)
def test_every_tool_is_documented(path: Path) -> None:
    name = str(path.relative_to(ROOT))
    assert any(name in block.text or path.name in block.text for p in PAGES for block in blocks(p))
