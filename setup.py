"""Installs vminet_mm. The exact versions that `make install` takes are in requirements/."""

from pathlib import Path

from setuptools import find_packages, setup

ROOT = Path(__file__).parent
version: dict[str, str] = {}
exec((ROOT / 'vminet_mm/version.py').read_text(), version)

setup(
    name='vminet-mm',
    version=version['__version__'],
    description='VMINet, a linear-time attention backbone, for OpenMMLab',
    long_description=(ROOT / 'README.md').read_text(),
    long_description_content_type='text/markdown',
    license='Apache-2.0',
    python_requires='>=3.10',
    packages=find_packages(include=['vminet_mm', 'vminet_mm.*']),
    package_data={
        'vminet_mm.analysis': ['*.json'],
        'vminet_mm.visualization.report': ['*.jinja'],
    },
    # and mmengine, which one of the extras `mm` and `onedl` brings, or a compiled mmcv
    install_requires=[
        'torch>=2.4',
        'torchvision>=0.19',
        'numpy',
        'pycocotools',
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
        ],
        # OneDL's maintained forks, under the same import names; not beside those of `mm`
        'onedl': [
            'onedl-mmengine==0.10.12',
            'onedl-mmcv==2.3.6',
            'onedl-mmdetection==3.5.1',
            'onedl-mmsegmentation==1.4.2',
            'onedl-mmpretrain==1.3.6',
        ],
        'bench': ['timm'],  # the peers of the benchmark
        'tests': ['hypothesis', 'markdown-it-py', 'pytest', 'pytest-xdist', 'ruff', 'scipy'],
        'vis': ['grad-cam', 'jinja2'],
        'export': ['onnx', 'onnxruntime', 'onnxscript'],
    },
)
