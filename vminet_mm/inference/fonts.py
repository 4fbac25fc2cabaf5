"""Fonts that cover the characters of a text: class names come in every language."""

from collections.abc import Iterable
from functools import lru_cache
from pathlib import Path

import matplotlib
from matplotlib.font_manager import fontManager
from matplotlib.ft2font import FT2Font
from mmengine.logging import print_log
from PIL import ImageFont

FAMILY = 'DejaVu Sans'  # it comes with Matplotlib and covers many languages
_DEFAULT = Path(matplotlib.get_data_path(), 'fonts/ttf/DejaVuSans.ttf')
_FIX = 'install a font that has such characters, for example fonts-noto-cjk of Debian and Ubuntu'
_has_warned = False


@lru_cache(maxsize=1024)
def font_for(text: str, size: int) -> ImageFont.FreeTypeFont:
    """A font of Pillow, its size in pixels, with all characters of a text if one is installed."""
    return _load(_path_for(frozenset(text)), size)


def families_for(texts: Iterable[str]) -> list[str]:
    """Matplotlib's font families for texts: the default, and one for missing characters."""
    others = {_path_for(frozenset(text)) for text in texts} - {_DEFAULT}
    return [FAMILY, *sorted(_families(str(path)) for path in others)]


@lru_cache(maxsize=64)
def _load(path: Path, size: int) -> ImageFont.FreeTypeFont:
    return ImageFont.truetype(str(path), size)


@lru_cache(maxsize=1024)
def _path_for(characters: frozenset[str]) -> Path:
    """The file of the first font with these characters; the default, with a warning, if none."""
    codes = {ord(character) for character in characters if character.isprintable()}
    if codes <= _charset(_DEFAULT):
        return _DEFAULT
    for entry in _candidates():
        if codes <= _charset(Path(entry)):
            return Path(entry)
    lacking = ''.join(sorted(map(chr, codes - _charset(_DEFAULT))))
    _warn_once(lacking[:20])
    return _DEFAULT


def _warn_once(characters: str) -> None:
    """Warn of the first text only: one font is likely to have all that is lacking."""
    global _has_warned
    if not _has_warned:
        _has_warned = True
        print_log(f'no installed font has {characters}, shown as boxes; {_FIX}', 'current', 30)


def _candidates() -> list[str]:
    """Files of the installed fonts that are upright and of usual weight, other ones after them."""
    usual = [f for f in fontManager.ttflist if f.style == 'normal' and f.weight in (400, 'normal')]
    files = [*(f.fname for f in usual), *(f.fname for f in fontManager.ttflist)]
    # the font of last resort draws a box for every letter there is
    return [file for file in dict.fromkeys(files) if 'lastresort' not in Path(file).name.lower()]


@lru_cache(maxsize=256)
def _charset(path: Path) -> frozenset[int]:
    """The code points that a font has; none where it cannot be read."""
    try:
        return frozenset(FT2Font(str(path)).get_charmap())
    except (OSError, RuntimeError):
        return frozenset()


def _families(file: str) -> str:
    return next(entry.name for entry in fontManager.ttflist if entry.fname == file)
