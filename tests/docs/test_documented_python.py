"""The Python in the documents, configs among it, does what it is there for."""

import io
import os
import re
import subprocess
import sys
import tarfile
from pathlib import Path

import numpy as np
import pytest
from documents import IMAGENET, PAGES, Block, blocks
from mmengine.registry import MODELS, DefaultScope
from scipy.io import savemat
from workshop import DEFAULT, Workshop, fill

from vminet_mm import VMINet
from vminet_mm.engine import load_config

pytestmark = pytest.mark.slow


def is_config(text: str) -> bool:
    return '_base_' in text or text.startswith('model = dict(')


PYTHON = [block for page in PAGES for block in blocks(page) if block.language == 'python']
CODE = {block.page: [] for block in PYTHON if not is_config(block.text)}
for block in PYTHON:
    if not is_config(block.text):
        CODE[block.page].append(block.text)
CONFIGS = [block for block in PYTHON if is_config(block.text)]


def filled(text: str) -> str:
    """Python with a value for each name in quotes that stands for one of the reader's."""
    return re.sub(r"(?<=')[^']+(?=')", lambda name: fill([name[0]])[0], text)


@pytest.mark.parametrize('page', CODE)
def test_code(page: str, workshop: Workshop, monkeypatch: pytest.MonkeyPatch) -> None:
    """The pieces of a page, one after the other; a model is there, as the text before them says."""
    monkeypatch.chdir(workshop.root)
    names = dict(model=VMINet('ti'))
    for text in CODE[page]:
        exec(filled(text), names)
    assert set(names) > {'model', '__builtins__'}


@pytest.mark.parametrize('block', CONFIGS, ids=lambda block: block.page)
def test_config(block: Block, workshop: Workshop, monkeypatch: pytest.MonkeyPatch) -> None:
    """It builds; one that says what to add to a config is added to the mini detector's."""
    monkeypatch.chdir(workshop.root)
    text = block.text if '_base_' in block.text else f'_base_ = [{DEFAULT!r}]\n{block.text}'
    path = Path(re.match(r'# (configs/\S+\.py)|', text)[1] or 'own.py')
    path.write_text(filled(text))
    cfg = load_config(path)
    with DefaultScope.overwrite_default_scope(cfg.default_scope):
        model = MODELS.build(cfg.model)
    assert any(isinstance(module, VMINet) for module in model.modules())


def pack(files: dict[str, bytes], mode: str = 'w') -> bytes:
    """A tar archive of files."""
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode=mode) as archive:
        for name, content in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    return stream.getvalue()


def test_unpacking_imagenet(tmp_path: Path) -> None:
    """On archives of two classes; the devkit numbers them in another order than the folders'."""
    root = tmp_path / 'DIR'
    root.mkdir()
    classes = {name: pack({f'{name}_{k}.JPEG': b'train' for k in (1, 2)}) for name in ('n1', 'n2')}
    (root / 'ILSVRC2012_img_train.tar').write_bytes(
        pack({f'{name}.tar': content for name, content in classes.items()})
    )
    images = {f'ILSVRC2012_val_{k:08d}.JPEG': str(k).encode() for k in (1, 2, 3)}
    (root / 'ILSVRC2012_img_val.tar').write_bytes(pack(images))
    stream = io.BytesIO()
    synsets = [(1, 'n2'), (2, 'n1')]
    kind = [('ILSVRC2012_ID', object), ('WNID', object)]
    savemat(stream, dict(synsets=np.array(synsets, dtype=kind)))
    data = 'ILSVRC2012_devkit_t12/data/'
    devkit = {
        f'{data}meta.mat': stream.getvalue(),
        f'{data}ILSVRC2012_validation_ground_truth.txt': b'1\n2\n1\n',
    }
    (root / 'ILSVRC2012_devkit_t12.tar.gz').write_bytes(pack(devkit, 'w:gz'))

    path = f'{Path(sys.executable).parent}{os.pathsep}{os.environ["PATH"]}'
    unpacking = [b for b in blocks('docs/data.md') if (b.heading, b.language) == (IMAGENET, 'bash')]
    assert len(unpacking) == 2
    for block in unpacking:
        command = ['bash', '-euo', 'pipefail', '-c', block.text]
        subprocess.run(command, cwd=tmp_path, env=os.environ | {'PATH': path}, check=True)
    found = {str(path.relative_to(root)) for path in root.glob('*/*/*.JPEG')}
    assert found == {
        *(f'train/{name}/{name}_{k}.JPEG' for name in ('n1', 'n2') for k in (1, 2)),
        'val/n2/ILSVRC2012_val_00000001.JPEG',
        'val/n1/ILSVRC2012_val_00000002.JPEG',
        'val/n2/ILSVRC2012_val_00000003.JPEG',
    }
    assert not list((root / 'train').glob('*.tar'))
