"""Files that come with the package are found in a clone and where it is installed."""

from pathlib import Path

import pytest

from vminet_mm import files
from vminet_mm.files import shipped


def test_a_clone_has_them_beside_the_package() -> None:
    """Installed from a clone, ``.mim`` links to them."""
    beside = Path(files.__file__).parents[1] / 'tools/train.py'
    assert shipped('tools/train.py').samefile(beside)


def test_an_installed_package_has_them_within(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(files, '_PACKAGE', tmp_path)
    assert shipped('docs/data.md') == tmp_path.parent / 'docs/data.md'
    (tmp_path / '.mim/docs').mkdir(parents=True)
    (tmp_path / '.mim/docs/data.md').touch()
    assert shipped('docs/data.md') == tmp_path / '.mim/docs/data.md'
