"""Installs vminet_mm. The exact versions that `make install` takes are in requirements/."""

import os
import shutil
from pathlib import Path

from setuptools import find_packages, setup
from setuptools.command.build_py import build_py

ROOT = Path(__file__).resolve().parent
# what an installed package has under .mim, where MMEngine and mim look for it
SHIPPED = ('configs', 'tools', 'demo', 'docs', 'weights', 'model-index.yml')
PAPER = 'https://arxiv.org/abs/2501.02040'
version: dict[str, str] = {}
exec((ROOT / 'vminet_mm/version.py').read_text(), version)


class BuildWithMim(build_py):
    """Copies configs, tools, demos, documents and the model index to ``vminet_mm/.mim``.

    An editable installation gets links to them instead, so that what is edited is what is used.
    """

    def run(self) -> None:
        super().run()
        target = Path('vminet_mm' if self.editable_mode else f'{self.build_lib}/vminet_mm') / '.mim'
        shutil.rmtree(target, ignore_errors=True)
        target.mkdir(parents=True)
        for name in SHIPPED:
            if self.editable_mode and os.name == 'posix':
                (target / name).symlink_to(Path('../..') / name)
            elif (ROOT / name).is_dir():
                unwanted = shutil.ignore_patterns('__pycache__', '.*', 'node_modules')
                shutil.copytree(ROOT / name, target / name, ignore=unwanted)
            else:
                shutil.copy(ROOT / name, target / name)


setup(
    name='vminet-mm',
    version=version['__version__'],
    description='VMINet, a linear-time attention backbone, for OpenMMLab',
    long_description=(ROOT / 'README.md').read_text(),
    long_description_content_type='text/markdown',
    license='Apache-2.0',
    project_urls={'Paper': PAPER, "Authors' code": 'https://github.com/yws-wxs/VMINet'},
    classifiers=[
        'Development Status :: 4 - Beta',
        'Intended Audience :: Science/Research',
        'Operating System :: OS Independent',
        'Programming Language :: Python :: 3',
        *(f'Programming Language :: Python :: 3.{minor}' for minor in range(10, 14)),
        'Topic :: Scientific/Engineering :: Artificial Intelligence',
        'Topic :: Scientific/Engineering :: Image Recognition',
        'Typing :: Typed',
    ],
    keywords='computer vision, backbone, linear attention, OpenMMLab',
    cmdclass={'build_py': BuildWithMim},
    entry_points={'console_scripts': ['vminet_mm = vminet_mm.cli:main']},
    python_requires='>=3.10',
    packages=find_packages(include=['vminet_mm', 'vminet_mm.*']),
    package_data={
        'vminet_mm': ['py.typed'],
        'vminet_mm.analysis': ['*.json'],
        'vminet_mm.visualization.report': ['*.jinja'],
    },
    # and mmengine, which one of the extras `mm` and `onedl` brings, or a compiled mmcv
    install_requires=[
        'torch>=2.4',
        'torchvision>=0.19',
        'filelock',
        'jinja2',
        'matplotlib',
        'numpy',
        'pillow',
        'pycocotools',
        'pyyaml',
        'scipy',
        'tqdm',
    ],
    extras_require={
        # without a compiler; whoever has a compiled mmcv leaves this extra out and keeps it
        'mm': [
            'mmengine==0.10.7',
            'mmcv-lite==2.1.0',
            'mmdet==3.3.0',
            'mmsegmentation==1.2.2',
            'mmpretrain==1.2.0',
            'ftfy',  # mmsegmentation and mmpretrain import these two without requiring them
            'regex',
            'setuptools<82',  # mmengine imports pkg_resources, which 82 has no more
        ],
        # OneDL's maintained forks, under the same import names; not beside those of `mm`
        'onedl': [
            'onedl-mmengine==0.10.12',
            'onedl-mmcv==2.3.6',
            'onedl-mmdetection==3.5.1',
            'onedl-mmsegmentation==1.4.2',
            'onedl-mmpretrain==1.3.6',
            'setuptools<82',
        ],
        'bench': ['timm'],  # the peers of the benchmark
        'tests': [
            'hypothesis',
            'markdown-it-py',
            'pytest',
            'pytest-xdist',
            'ruff',
            'scipy',
            'tensorboard',
        ],
        'vis': ['grad-cam'],
        'export': ['onnx', 'onnxruntime', 'onnxscript'],
    },
)
