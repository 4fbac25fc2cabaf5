"""Class folders and lists of images with labels: what is wrong with them is named."""

import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from checking import CONFIGS, OPTIONS, ROOT, check

from vminet_mm.datasets import CLASSES
from vminet_mm.datasets.checks import require_sound_lists
from vminet_mm.engine import load_config
from vminet_mm.errors import ConfigError

DATASET = 'train_dataloader__dataset__'
NAMED = {f'{DATASET}metainfo__classes': list(CLASSES)}
MULTI_HEAD = {
    'model__head__type': 'MultiLabelLinearClsHead',
    'val_evaluator': dict(type='MultiLabelMetric'),
}


@pytest.fixture
def root(mini_root: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(mini_root / 'imagenet', tmp_path / 'imagenet'))


def quick(root: Path, **options: Any) -> None:
    dotted = {key.replace('__', '.'): value for key, value in options.items()}
    cfg = load_config(ROOT / CONFIGS['imagenet'], OPTIONS['imagenet'] | dotted, str(root))
    require_sound_lists(cfg, ('train',))


def entries(root: Path) -> list[tuple[str, int]]:
    paths = sorted((root / 'train').glob('*/*.jpg'))
    return [(str(p.relative_to(root / 'train')), CLASSES.index(p.parent.name)) for p in paths]


# ---- folders


def test_hidden_folder_and_unread_suffix(root: Path) -> None:
    path = next(root.glob('train/*/*.jpg'))
    path.rename(path.with_suffix('.jp2'))
    assert any('1 .jp2' in note for note in check(root, ('train',)).notes)
    for name in ('.ipynb_checkpoints', '__MACOSX'):
        (root / 'train' / name).mkdir()
        assert any(name in problem for problem in check(root, ('train',)).problems)
        with pytest.raises(ConfigError, match='would be counted as a class') as error:
            quick(root)
        assert 'num_classes' not in str(error.value)  # which would be the wrong fix
        (root / 'train' / name).rmdir()


@pytest.mark.parametrize('write', [str, str.upper, lambda name: f' {name.title()}'])
def test_names_in_another_order(write: Callable, root: Path) -> None:
    names = {f'{DATASET}metainfo__classes': [write(name) for name in reversed(CLASSES)]}
    assert any('another order' in problem for problem in check(root, ('train',), **names).problems)
    with pytest.raises(ConfigError, match='another order'):
        quick(root, **names)


def test_no_suffix_that_is_read(root: Path) -> None:
    for path in list((root / 'train').glob('*/*.jpg')):
        path.rename(path.with_suffix('.webp'))
    problem = check(root, ('train',)).problems[0]
    assert 'no image is read' in problem and '.webp' in problem
    assert check(root, ('train',), 1, **{f'{DATASET}extensions': ['.webp']}).problems == []


def test_folders_without_an_image(root: Path) -> None:
    for path in root.glob('train/*/*.jpg'):
        path.rename(path.with_suffix('.heic'))
    with pytest.raises(ConfigError, match=r'no image is read in .* \.heic'):
        quick(root)


def test_images_of_one_class_alone(root: Path) -> None:
    for path in list((root / 'train').glob('*/*.jpg')):
        if path.parent.name != 'ring':
            path.unlink()
    assert any('of one class' in problem for problem in check(root, ('train',)).problems)
    with pytest.raises(ConfigError, match='of one class'):
        quick(root)


def test_one_class_of_a_softmax(root: Path) -> None:
    for name in CLASSES[1:]:
        shutil.rmtree(root / 'train' / name)
    with pytest.raises(ConfigError, match='has one class: its softmax is 1'):
        quick(root, model__head__num_classes=1, model__head__topk=(1,))


# ---- lists


@pytest.mark.parametrize(
    ('line', 'heading', 'word'),
    [
        ('{} {}', '', None),
        ('{}\t{}', '', 'line 1'),
        ('{},{}', '', 'without a heading, commas'),
        ('{}', '', 'no name, a blank and a label'),
        ('{} {}', 'image label\n', 'image label'),
        ('{} {}', '\n', 'blank lines'),
        ('{} {}', '\ufeff', 'byte-order mark'),
        ('{} 2', '', 'of one class'),
        ('{} 7', '', 'labels 7 .* out of range'),
        ('{} -1', '', 'labels are numbers from 0'),
    ],
)
def test_list_of_labels(line: str, heading: str, word: str | None, root: Path) -> None:
    text = heading + '\n'.join(line.format(name, label) for name, label in entries(root))
    (root / 'train.txt').write_text(text, 'utf-8')
    options = NAMED | {f'{DATASET}ann_file': 'train.txt'}
    problems = check(root, ('train',), 1, **options).problems
    if word is None:
        assert problems == [] and quick(root, **options) is None
        return
    assert re.search(word, problems[0])
    with pytest.raises(ConfigError, match=word):
        quick(root, **options)


def test_list_without_names_of_classes(root: Path) -> None:
    """Trains as long as the head has enough classes."""
    text = '\n'.join(f'{name} {label}' for name, label in entries(root))
    (root / 'train.txt').write_text(text)
    options = {f'{DATASET}ann_file': 'train.txt'}
    report = check(root, ('train',), 1, **options)
    assert report.problems == [] and 'names no classes' in report.notes[0]
    options['model__head__num_classes'] = 4
    report = check(root, ('train',), 1, **options)
    assert 'model.head.num_classes is 4, the data have 5 classes' in report.problems[0]
    with pytest.raises(ConfigError, match='model.head.num_classes is 4'):
        quick(root, **options)


def test_labels_of_fewer_classes_than_the_head_has(root: Path) -> None:
    """The largest label tells the minimum number of classes: top-5 of 5 may be right."""
    few = [(name, label) for name, label in entries(root) if label < 3]
    text = '\n'.join(f'{name} {label}' for name, label in [*few, few[0]])
    (root / 'train.txt').write_text(text)
    options = {f'{DATASET}ann_file': 'train.txt'}
    assert quick(root, **options) is None
    report = check(root, ('train',), 1, **options)
    assert report.problems == []
    assert any('1 images are listed more than once' in note for note in report.notes)


@pytest.mark.parametrize(
    ('text', 'word'),
    [('', 'lists no image'), ('zz/a.jpg 0\nzz/b.jpg 1', '2 of 2 listed images are missing')],
)
def test_list_without_images(text: str, word: str, root: Path) -> None:
    (root / 'train.txt').write_text(text)
    options = NAMED | {f'{DATASET}ann_file': 'train.txt'}
    assert any(word in problem for problem in check(root, ('train',), 1, **options).problems)
    with pytest.raises(ConfigError, match=word):
        quick(root, **options)


@pytest.mark.parametrize(
    ('label_of', 'word'),
    [
        (lambda label: [label], None),
        (lambda label: [label, (label + 1) % 5], None),
        (lambda label: [label + 1], 'labels 5 .* out of range'),
        (lambda label: [CLASSES[label]], 'no list of numbers'),
        (lambda label: [int(k == label) for k in range(5)], '5 flags'),
        (lambda label: [], 'has a label'),
    ],
    ids=['one', 'two', 'from 1', 'names', 'flags', 'none'],
)
def test_multi_label_file(label_of: Callable, word: str | None, root: Path) -> None:
    data = [dict(img_path=name, gt_label=label_of(label)) for name, label in entries(root)]
    content = dict(metainfo=dict(classes=CLASSES), data_list=data)
    (root / 'train.json').write_text(json.dumps(content))
    options = MULTI_HEAD | {
        f'{DATASET}ann_file': 'train.json',
        f'{DATASET}type': 'MultiLabelDataset',
    }
    problems = check(root, ('train',), 1, **options).problems
    if word is None:
        assert problems == [] and quick(root, **options) is None
        return
    assert re.search(word, problems[0])
    with pytest.raises(ConfigError, match=word):
        quick(root, **options)


def test_several_labels_and_a_softmax(root: Path) -> None:
    data = [dict(img_path=name, gt_label=[0, 1]) for name, _ in entries(root)]
    content = dict(metainfo=dict(classes=CLASSES), data_list=data)
    (root / 'train.json').write_text(json.dumps(content))
    options = {f'{DATASET}ann_file': 'train.json', f'{DATASET}type': 'MultiLabelDataset'}
    with pytest.raises(ConfigError, match='MultiLabelLinearClsHead'):
        quick(root, **options)
    text = json.dumps(content).encode('utf-8-sig')
    (root / 'train.json').write_bytes(text)
    with pytest.raises(ConfigError, match='byte-order mark'):
        quick(root, **options)
