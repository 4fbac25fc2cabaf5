"""From the error of an import to one line that says what is wrong and the command that fixes it."""

import re
import shlex
from functools import cache
from importlib import metadata

from ..compat.package_utils import is_onedl
from ..errors import error_text, one_line
from ..tasks import TASKS

PIP = 'python -m pip'
SHOWN = 200  # characters of an error
REINSTALL = f'{PIP} install --force-reinstall'
# what provides a package where its own name does not: as published, and OneDL's fork
DISTRIBUTIONS = {
    'mmengine': ('mmengine', 'onedl-mmengine'),
    'mmcv': ('mmcv-lite', 'onedl-mmcv'),
    **{task.scope: task.distributions for task in TASKS},
}
OTHER_NAMES = {
    'torch': 'torch torchvision',
    'cv2': 'opencv-python-headless',
    'imgaug': 'imaug',
    'PIL': 'pillow',
    'sklearn': 'scikit-learn',
    'vminet_mm': '-e .',
    'yaml': 'pyyaml',
}
# errors that name their cause: pattern, what is wrong, whom to reinstall
_DISPLAY = r'lib(GL|EGL|gthread|SM|Xext|Xrender|glib)\b\S*: cannot open shared object'
_TORCHVISION = r'torchvision::|custom C\+\+ ops'
_TORCH = r'lib(torch|c10|cu|nv)\w*\.so\S*: (cannot open|undefined|version)'


def explain(package: str, error: BaseException) -> tuple[str, str]:
    """What keeps a package from being imported or from working, and the command that fixes it."""
    text = str(error).strip()
    if isinstance(error, ModuleNotFoundError) and error.name:
        missing = error.name.partition('.')[0]
        if error.name == package:
            return f'{package} is not installed', install(package)
        if missing != package:
            return f'{package} needs {missing}, which is not installed', install(missing)
    summary = f'{package} does not work: {error_text(error, SHOWN)}'
    if re.search(_DISPLAY, text):
        what = f'OpenCV was built for machines with a display: {one_line(text, SHOWN)}'
        return what, f'{REINSTALL} --no-deps opencv-python-headless'
    if package == 'torchvision' or re.search(_TORCHVISION, text):
        return f'torchvision does not fit torch: {one_line(text, SHOWN)}', _fitting_torchvision()
    if package == 'torch' or re.search(_TORCH, text):
        return summary, f'{REINSTALL} torch torchvision'
    clash = re.match(r'(\w+)==\S+ is used but incompatible', text)
    if clash and clash[1].lower() in DISTRIBUTIONS:
        return summary, replace(clash[1].lower())
    return summary, f'{REINSTALL} --no-deps {_quoted(requirement(package))}'


def install(package: str) -> str:
    """The command that installs what provides a package, at the version that is tested here."""
    return f'{PIP} install {_quoted(requirement(package))}'


def replace(package: str) -> str:
    """The command that removes all that provides a package, then installs what is tested here."""
    present = ' '.join(distributions(package)) or requirement(package).partition('=')[0]
    return f'{PIP} uninstall -y {present} && {install(package)}'


def requirement(package: str) -> str:
    """What pip has to install for a package: a distribution, with its version where one is set."""
    if package in DISTRIBUTIONS:
        name = DISTRIBUTIONS[package][is_onedl()]
    else:
        name = OTHER_NAMES.get(package, package)
    return _required().get(name, name)


def distributions(package: str) -> list[str]:
    """The installed distributions that provide a package; two may overwrite each other's files."""
    return sorted(set(_providers().get(package, [])))


@cache
def _providers() -> dict[str, list[str]]:
    return dict(metadata.packages_distributions())


@cache
def _required() -> dict[str, str]:
    """What this project's setup.py asks for, by name, as far as it is installed."""
    try:
        lines = metadata.requires('vminet-mm') or []
    except metadata.PackageNotFoundError:
        return {}
    specifiers = [line.partition(';')[0].strip() for line in lines]
    return {re.split(r'[^\w.-]', specifier)[0]: specifier for specifier in specifiers}


def _fitting_torchvision() -> str:
    """torchvision 0.(N + 15) belongs to torch 2.N; builds from elsewhere are replaced together."""
    try:
        found = re.fullmatch(r'2\.(\d+)\.\w+', metadata.version('torch'))
    except metadata.PackageNotFoundError:
        found = None
    if found is None:
        return f'{REINSTALL} torch torchvision'
    return f"{REINSTALL} --no-deps 'torchvision==0.{int(found[1]) + 15}.*'"


def _quoted(requirements: str) -> str:
    return ' '.join(shlex.quote(part) for part in requirements.split())
