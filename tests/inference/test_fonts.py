"""Letters come from a font that has them."""

from pathlib import Path

import pytest
from fontTools.fontBuilder import FontBuilder
from fontTools.pens.ttGlyphPen import TTGlyphPen
from matplotlib.font_manager import FontEntry, fontManager

from vminet_mm.inference import fonts

CAT = '\u732b'


@pytest.fixture
def installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A font with one Chinese letter, a full square, and the letter a."""
    pen = TTGlyphPen(None)
    pen.moveTo((0, 0))
    for point in ((0, 1000), (1000, 1000), (1000, 0)):
        pen.lineTo(point)
    pen.closePath()
    square, names = pen.glyph(), ['.notdef', 'cat', 'a']
    builder = FontBuilder(1000)
    builder.setupGlyphOrder(names)
    builder.setupCharacterMap({ord(CAT): 'cat', ord('a'): 'a'})
    builder.setupGlyf(dict.fromkeys(names, square))
    builder.setupHorizontalMetrics(dict.fromkeys(names, (1000, 0)))
    builder.setupHorizontalHeader(ascent=1000, descent=0)
    builder.setupNameTable(dict(familyName='Cats', styleName='Regular'))
    builder.setupOS2()
    builder.setupPost()
    path = tmp_path / 'cats.ttf'
    builder.save(path)
    entry = FontEntry(fname=str(path), name='Cats', style='normal', weight=400)
    monkeypatch.setattr(fontManager, 'ttflist', [entry])
    forget()
    yield path
    forget()


def forget() -> None:
    for function in (fonts.font_for, fonts._path_for):
        function.cache_clear()
    fonts._has_warned = False


def test_the_usual_font() -> None:
    assert fonts.font_for('caf\u00e9 $5', 12).getname()[0] == fonts.FAMILY
    assert fonts.families_for(['a', '\u03b1']) == [fonts.FAMILY]


def test_a_font_that_has_the_characters(installed: Path) -> None:
    font = fonts.font_for(f'a{CAT}', 12)
    assert Path(font.path) == installed and font.getlength(CAT) == 12
    assert fonts.families_for(['a', CAT]) == [fonts.FAMILY, 'Cats']


def test_no_font_has_them(installed: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    said = []
    monkeypatch.setattr(fonts, 'print_log', lambda text, *_: said.append(text))
    for text in ('\u72d7!', '\u72d7!', '\u9e1f'):
        assert fonts.font_for(text, 12).getname()[0] == fonts.FAMILY
    assert len(said) == 1 and '\u72d7' in said[0] and 'fonts-noto-cjk' in said[0]
