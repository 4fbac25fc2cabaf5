"""demo/vminet_quickstart.ipynb runs from its first cell to its last."""

import ast
import json
from pathlib import Path

import pytest
from PIL import Image

NOTEBOOK = Path(__file__).parents[1] / 'demo/vminet_quickstart.ipynb'


def run(code: str, names: dict) -> object:
    """Execute a cell; returns the value of its last expression, which a notebook would show."""
    *body, last = ast.parse(code).body
    exec(compile(ast.Module(body, []), 'cell', 'exec'), names)
    return eval(compile(ast.Expression(last.value), 'cell', 'eval'), names)


def test_every_cell_shows_something(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    cells = json.loads(NOTEBOOK.read_text())['cells']
    codes = [''.join(cell['source']) for cell in cells if cell['cell_type'] == 'code']
    names: dict = {}
    maps, found, picture, backbone, counts = (run(code, names) for code in codes)
    assert maps == [
        (1, 48 * 2**k, -(-200 // s), -(-301 // s)) for k, s in enumerate((4, 8, 16, 32))
    ]
    assert found and all(name == 'nucleus' and score >= 0.3 for name, score in found)
    assert isinstance(picture, Image.Image) and picture.width == 640
    assert backbone.type == 'VMINet' and backbone.arch == 'xs'
    assert counts == '7.43 M parameters, 1.25 G multiply-accumulates'


def test_it_is_kept_without_outputs() -> None:
    cells = json.loads(NOTEBOOK.read_text())['cells']
    assert not any(cell.get('outputs') or cell.get('execution_count') for cell in cells)
