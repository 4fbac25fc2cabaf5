"""Put the packages of the OpenMMLab stack into a folder, to carry to a machine without a network:

python tools/offline_packages.py DIR [--python 3.12]

There: export PYTHONPATH=DIR:THIS_REPOSITORY. torch, torchvision, numpy, OpenCV, matplotlib, scipy,
rich, tqdm and packaging must be there already.
"""

import argparse
import platform
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Collection
from pathlib import Path

from packaging.requirements import Requirement

from vminet_mm.tasks import TASKS

LOCK = Path(__file__).resolve().parents[1] / 'requirements/lock.txt'
PURE = (
    *('addict', 'einops', 'ftfy', 'importlib-metadata', 'lazy-importer', 'mat4py', 'mmcv-lite'),
    *('markdown', 'mmengine', 'model-index', 'modelindex'),
    *(task.distributions[0] for task in TASKS),
    *('ordered-set', 'platformdirs', 'prettytable', 'setuptools', 'six', 'termcolor'),
    *('terminaltables', 'timm', 'wcwidth', 'yapf', 'zipp'),
)
COMPILED = ('pycocotools', 'regex', 'shapely')
PLATFORMS = ('manylinux_2_28_x86_64', 'manylinux_2_17_x86_64', 'manylinux2014_x86_64')


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument('folder', metavar='DIR', help='where they go')
    here = '.'.join(platform.python_version_tuple()[:2])
    parser.add_argument('--python', default=here, help="that machine's Python; here %(default)s")
    return parser.parse_args()


def locked(names: Collection[str], python: str) -> list[str]:
    """The locked versions of packages, as requirements without markers."""
    lines = [line for line in LOCK.read_text().splitlines() if line and line[0] not in '#-']
    found = [Requirement(line) for line in lines]
    wanted = dict(python_version=python, python_full_version=f'{python}.0')
    return [
        f'{one.name}{one.specifier}'
        for one in found
        if one.name in names and (one.marker is None or one.marker.evaluate(wanted))
    ]


def main(folder: Path, python: str) -> None:
    """Fetch wheels for Linux on x86-64 and unpack them; what is pure Python may be built here."""
    pip = [sys.executable, '-m', 'pip', '--quiet']
    platforms = [word for name in PLATFORMS for word in ('--platform', name)]
    with tempfile.TemporaryDirectory() as wheels:
        subprocess.run(
            [*pip, 'wheel', '--no-deps', '-w', wheels, *locked(PURE, python)], check=True
        )
        binary = ['--no-deps', '--only-binary=:all:', '--python-version', python, *platforms]
        fetch = [*pip, 'download', *binary, '-d', wheels, *locked(COMPILED, python)]
        subprocess.run(fetch, check=True)
        files = sorted(Path(wheels).glob('*.whl'))
        for file in files:
            zipfile.ZipFile(file).extractall(folder)
    print(f'{len(files)} packages for Python {python} in {folder}')


if __name__ == '__main__':
    args = parse_args()
    main(Path(args.folder), args.python)
