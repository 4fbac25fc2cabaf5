"""How `make docs` makes a site of the pages of the project and of the docstrings.

The source folder is the project's root, so that links from page to page work as they do in a
repository; `index.md` beside this file has the table of contents.
"""

import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from vminet_mm.version import __version__  # noqa: E402

project = 'VMINet for OpenMMLab'
author = 'the developers of VMINet for OpenMMLab'
release = __version__
html_title = f'{project} {release}'
html_theme = 'furo'

root_doc = 'docs/index'
source_suffix = {'.md': 'markdown'}
include_patterns = [
    'README.md',
    'CHANGELOG.md',
    'CONTRIBUTING.md',
    'docs/**',
    'configs/*/README.md',
    'demo/*/README.md',
    'vminet_mm/**/README.md',
    'weights/README.md',
]
exclude_patterns = ['docs/_site']
extensions = ['myst_parser', 'sphinx.ext.autodoc', 'sphinx.ext.napoleon']
myst_heading_anchors = 4
# links to code, data and folders lead into the repository and not to pages of the site; code is
# colored as what its fence says, also where a console shows more than that
suppress_warnings = ['myst.xref_missing', 'myst.header', 'misc.highlighting_failure']
autodoc_typehints = 'none'  # the docstrings have them
autodoc_member_order = 'bysource'
napoleon_use_ivar = True
