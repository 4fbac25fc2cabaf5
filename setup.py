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
    install_requires=[
        'torch>=2.4',
        'torchvision>=0.19',
        'mmengine>=0.10',
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
        'bench': ['timm'],  # the peers of the benchmark
        'tests': ['pytest', 'pytest-xdist', 'ruff'],
        'vis': ['grad-cam', 'jinja2', 'tensorboard'],
        'export': ['onnx', 'onnxruntime', 'onnxscript'],
    },
)
