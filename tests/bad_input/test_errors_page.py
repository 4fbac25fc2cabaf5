"""docs/reference/errors.md names every bad input that is tested here, and no other."""

import re
from pathlib import Path

import test_bad_annotations
import test_bad_checkpoints
import test_bad_configs
import test_bad_downloads
import test_bad_exports
import test_bad_images
import test_bad_launches
import test_bad_models
import test_bad_peers

PAGE = Path(__file__).resolve().parents[2] / 'docs/reference/errors.md'
MODULES = {
    'Models': test_bad_models,
    'Checkpoints': test_bad_checkpoints,
    'Classifiers of other papers': test_bad_peers,
    'Configs': test_bad_configs,
    'Downloads': test_bad_downloads,
    'Annotations': test_bad_annotations,
    'Images': test_bad_images,
    'Launches': test_bad_launches,
    'Exported files': test_bad_exports,
}


def test_the_page_has_every_case() -> None:
    text = PAGE.read_text()
    total = 0
    for title, module in MODULES.items():
        section = text.partition(f'\n## {title}')[2].partition('\n## ')[0]
        rows = re.findall(r'^\| (?!---)(.+?) \| (?!what happens).+ \|$', section, re.MULTILINE)
        named = [name for row in rows for name in row.split('; ')]
        assert sorted(named) == sorted(module.CASES), title
        total += len(module.CASES)
    assert f'{total} bad or odd inputs' in text
