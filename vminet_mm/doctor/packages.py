"""Which packages are installed, in which versions, and whether they can be imported."""

import platform
import sys
from importlib import import_module, metadata
from typing import NamedTuple

from ..tasks import SCOPES, TASKS
from ..version import __version__
from .fixes import DISTRIBUTIONS, PIP, distributions, explain, install, replace, requirement
from .report import Section

MISSING = 'not installed'


class Package(NamedTuple):
    """A package to look at.

    Attributes:
        name: The name under which it is imported.
        module: What to import of it: the part where its own imports fail, if they do.
        needs: Packages without which there is no point in trying.
    """

    name: str
    module: str
    needs: tuple[str, ...] = ()


PACKAGES = (
    Package('numpy', 'numpy'),
    Package('torch', 'torch', ('numpy',)),
    Package('torchvision', 'torchvision', ('torch',)),
    Package('cv2', 'cv2', ('numpy',)),
    Package('pycocotools', 'pycocotools.mask', ('numpy',)),
    Package('mmengine', 'mmengine.runner', ('torch', 'cv2')),
    Package('mmcv', 'mmcv.ops', ('mmengine', 'torchvision')),
    *(Package(task.scope, f'{task.scope}.apis', ('mmcv', *task.needs)) for task in TASKS),
    Package('vminet_mm', 'vminet_mm.engine', ('mmcv',)),
)


def check_packages(installed: bool = True) -> tuple[Section, set[str]]:
    """Import every package, the mm packages as ``import vminet_mm`` fixes them.

    Returns what was found, and the names of the packages that work.
    """
    section = Section('packages', {'python': f'{platform.python_version()}, {sys.executable}'})
    if not installed:
        section.problem('vminet_mm is not installed', _install_self())
    usable: set[str] = set()
    for package in PACKAGES:
        if _try(section, package, usable):
            usable.add(package.name)
        _report_conflicts(section, package.name)
    section.facts['triton'] = _describe('triton')
    if not usable.intersection(SCOPES):
        for problem in section.problems:  # no task is left
            problem.fatal = True
    return section, usable


def _install_self() -> str:
    everything = all(distributions(name) for name in ('torch', *DISTRIBUTIONS))
    return f'{PIP} install ' + ('--no-deps -e .' if everything else "-e '.[mm]'")


def _try(section: Section, package: Package, usable: set[str]) -> bool:
    """Import a package; a task's package that fails leaves the other tasks possible."""
    name, fatal = package.name, package.name not in SCOPES
    section.facts[name] = _describe(name)
    broken = [need for need in package.needs if need not in usable]
    if broken and section.facts[name] == MISSING:
        section.problem(f'{name} is not installed', install(name), fatal)
    elif broken:
        section.facts[name] += f', not tried without {" and ".join(broken)}'
    else:
        try:
            import_module(package.module)
            return True
        except (Exception, SystemExit) as error:  # whatever a broken package does
            section.problem(*explain(name, error), fatal)
            section.facts[name] += ', broken' if section.facts[name] != MISSING else ''
    return False


def _describe(name: str) -> str:
    """Version and source of a package, which need not be importable."""
    if name == 'vminet_mm':
        return __version__
    found = distributions(name)
    if not found:
        return MISSING
    described = [f'{metadata.version(one)} ({one})' for one in found]
    return described[0].partition(' ')[0] if found == [name] else ', '.join(described)


def _report_conflicts(section: Section, name: str) -> None:
    """Two distributions of one package, such as mmcv and mmcv-lite, hold the same files."""
    found = distributions(name)
    if name in DISTRIBUTIONS and len(found) > 1:
        what = f'{" and ".join(found)} are both installed and overwrite each other'
        section.problem(what, replace(name), fatal=False)
    elif name in DISTRIBUTIONS and found:
        wanted = requirement(name).partition('=')[0]
        if wanted.startswith('onedl-') != found[0].startswith('onedl-'):
            section.problem(f'{found[0]} is mixed with {wanted}', replace(name), fatal=False)
