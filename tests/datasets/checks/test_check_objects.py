"""Lists that training or evaluation cannot use are problems, each with its fix."""

import codecs
import json
import math
import shutil
from collections.abc import Callable
from pathlib import Path

import cv2
import pytest
from checking import CONFIGS, ROOT, check
from PIL import Image

from vminet_mm.datasets.checks import fix_annotations, require_sound_lists
from vminet_mm.datasets.checks.coco_objects import self_evaluate
from vminet_mm.engine import load_config
from vminet_mm.errors import ConfigError


def corners(entry: dict) -> list[float]:
    """The polygon of a box, not nested."""
    x, y, w, h = entry['bbox']
    return [x, y, x + w, y, x + w, y + h, x, y + h]


def set_all(key: str, value: Callable) -> Callable[[dict], None]:
    def edit(content: dict) -> None:
        for index, entry in enumerate(content['annotations']):
            entry[key] = value(index, entry)

    return edit


def remove_iscrowd(content: dict) -> None:
    for entry in content['annotations']:
        del entry['iscrowd']


def stray_click(content: dict) -> None:
    first = content['annotations'][0]
    first['segmentation'] = [corners(first), [5.0, 6.0]]


def no_segmentation(content: dict) -> None:
    content['annotations'][-1]['segmentation'] = []


def same_name(content: dict) -> None:
    names = content['categories']
    names.append(dict(id=99, name=names[0]['name']))


def no_width(content: dict) -> None:
    for entry in content['annotations']:
        entry['area'] = 0


def normalized(index: int, entry: dict) -> list[float]:
    return [value / 200 for value in entry['bbox']]


def as_corners(index: int, entry: dict) -> list[float]:
    x, y, w, h = entry['bbox']
    return [x, y, x + w, y + h]


def some_normalized(content: dict) -> None:
    for entry in content['annotations'][:5]:
        entry['bbox'] = normalized(0, entry)


def from_center(index: int, entry: dict) -> list[float]:
    x, y, w, h = entry['bbox']
    return [x + w / 2, y + h / 2, w, h]


def pairs(polygon: list[float]) -> list[list[float]]:
    return [list(pair) for pair in zip(polygon[::2], polygon[1::2], strict=True)]


def last_mask(write: Callable) -> Callable[[dict], None]:
    """Function that writes the polygon of the last object otherwise."""

    def edit(content: dict) -> None:
        last = content['annotations'][-1]
        last['segmentation'] = write(corners(last))

    return edit


def half_masks(content: dict) -> None:
    for entry in content['annotations']:
        entry['segmentation'] = [[value / 2 for value in corners(entry)]]


def code_of(counts: object) -> dict:
    """A run-length code of an image of the built-in data."""
    return dict(size=[128, 160], counts=counts)


def set_first(kind: str, **values: object) -> Callable[[dict], None]:
    return lambda content: content[kind][0].update(values)


def same_category_id(content: dict) -> None:
    content['categories'][1]['id'] = content['categories'][0]['id']


def lines(index: int, entry: dict) -> list[list[float]]:
    """A polygon without an area."""
    x, y, w, h = entry['bbox']
    return [[x, y, x + w, y + h, x, y]]


def text_width(content: dict) -> None:
    for image in content['images']:
        image['width'] = str(image['width'])


# edit, split, key word of the problem, whether --fix corrects it
EDITS = {
    'no iscrowd': (remove_iscrowd, 'val', 'iscrowd', True),
    'ids from 0': (set_all('id', lambda i, _: i), 'val', 'id 0', True),
    'stray click': (stray_click, 'val', 'polygon', True),
    'odd polygon': (
        set_all('segmentation', lambda _, e: [corners(e) + [1.0]]),
        'train',
        'polygon',
        True,
    ),
    'flat polygon': (
        set_all('segmentation', lambda _, e: corners(e)),
        'train',
        'not nested',
        True,
    ),
    'no segmentation': (no_segmentation, 'train', 'no segmentation', True),
    'all crowds': (set_all('iscrowd', lambda *_: 1), 'train', 'crowds', False),
    'no area': (no_width, 'train', 'no area', True),
    'boxes of 0 to 1': (set_all('bbox', normalized), 'train', 'between 0 and 1', False),
    'boxes as corners': (set_all('bbox', as_corners), 'train', 'corners', False),
    'same name': (same_name, 'train', 'same name', True),
    'some boxes of 0 to 1': (some_normalized, 'train', 'between 0 and 1', False),
    'boxes from their center': (set_all('bbox', from_center), 'train', 'center', False),
    'iscrowd null': (set_all('iscrowd', lambda *_: None), 'train', 'neither 0 nor 1', True),
    'iscrowd text': (set_all('iscrowd', lambda *_: '0'), 'val', 'neither 0 nor 1', True),
    'no area key': (lambda c: c['annotations'][2].pop('area'), 'val', 'area is missing', True),
    'no id key': (lambda c: c['annotations'][2].pop('id'), 'train', 'id is missing', True),
    'ids as text': (set_all('image_id', lambda _, e: str(e['image_id'])), 'train', 'a text', False),
    'polygon nested too deep': (last_mask(lambda p: [[p]]), 'train', 'too deep', True),
    'polygon of pairs': (last_mask(lambda p: [pairs(p)]), 'train', 'too deep', True),
    'pairs alone': (last_mask(pairs), 'val', 'too deep', True),
    'numbers as text': (last_mask(lambda p: [[*map(str, p)]]), 'train', 'no number', True),
    'NaN in a polygon': (last_mask(lambda p: [[math.nan, *p[1:]]]), 'train', 'no number', True),
    'point far away': (last_mask(lambda p: [[1e9, *p[1:]]]), 'train', 'far beyond', False),
    'broken code': (
        last_mask(lambda _: dict(size=[128, 160], counts='abc')),
        'train',
        'decoded',
        0,
    ),
    # pycocotools would write beyond its memory
    'characters that are no code': (last_mask(lambda _: code_of('é中')), 'train', 'decoded', 0),
    'code cut off': (last_mask(lambda _: code_of('P')), 'val', 'decoded', 0),
    'runs of too many pixels': (last_mask(lambda _: code_of('PPPo0')), 'val', 'size', 0),
    'runs as text': (last_mask(lambda _: code_of(['1', '2'])), 'train', 'decoded', 0),
    'runs below 0': (last_mask(lambda _: code_of([-5, 20485])), 'train', 'decoded', 0),
    'no counts': (last_mask(lambda _: dict(size=[128, 160])), 'train', 'decoded', 0),
    'size of a code as a number': (
        last_mask(lambda _: dict(size=128, counts=[20480])),
        'val',
        'size of their image',
        False,
    ),
    'code as text': (last_mask(lambda _: 'abc0'), 'train', 'a text or a number', False),
    'code in a list': (
        last_mask(lambda _: [code_of([3000, 400, 17080])]),
        'train',
        'codes in a list',
        True,
    ),
    'masks without a pixel': (set_all('segmentation', lines), 'val', 'holds a pixel', False),
    'area null': (set_all('area', lambda *_: None), 'train', 'areas are no number', True),
    'annotation ids as text': (
        set_all('id', lambda i, _: f'a{i}'),
        'val',
        'x annotations.id in',
        True,
    ),
    'image id null': (set_first('images', id=None), 'val', 'x images.id in', False),
    'image ids of two kinds': (set_first('images', id='1'), 'val', 'numbers and texts', False),
    'category in a list': (set_all('category_id', lambda *_: [1]), 'train', 'category_id', False),
    'name in a list': (set_first('categories', name=['a']), 'train', 'categories.name', False),
    'category id twice': (same_category_id, 'train', 'category ids are given more than once', 0),
    'no category': (lambda c: c.update(categories=[]), 'train', 'lists no category', False),
    'file name null': (set_first('images', file_name=None), 'train', 'images.file_name', False),
    'file name too long': (set_first('images', file_name='a' * 5000), 'train', 'too long', False),
    'folder as file name': (set_first('images', file_name='.'), 'val', 'is a folder', False),
    'blank after file name': (
        lambda c: [image.update(file_name=image['file_name'] + ' ') for image in c['images']],
        'train',
        'remove the blanks around',
        False,
    ),
    'masks of half size': (half_masks, 'train', 'do not lie in their box', False),
    'no object': (lambda c: c.update(annotations=[]), 'val', 'holds no object', False),
    'width as text': (text_width, 'train', 'no size', False),
}


def edited(root: Path, split: str, edit: Callable) -> Path:
    path = root / f'annotations/instances_{split}2017.json'
    content = json.loads(path.read_text())
    edit(content)
    path.write_text(json.dumps(content))
    return path


@pytest.fixture
def coco(mini_root: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(mini_root / 'coco', tmp_path / 'coco'))


@pytest.mark.parametrize('name', EDITS)
def test_unusable_list_is_a_problem(name: str, coco: Path) -> None:
    edit, split, word, is_fixed = EDITS[name]
    path = edited(coco, split, edit)
    report = check(coco, (split,), 2)
    assert any(word in problem and ' -> ' in problem for problem in report.problems)
    before = path.read_bytes()
    fix_annotations(path, coco / 'fixed.json')
    assert path.read_bytes() == before
    shutil.copy(coco / 'fixed.json', path)
    found = any(word in problem for problem in check(coco, (split,), 2).problems)
    assert found == (not is_fixed)


def test_byte_order_mark(coco: Path) -> None:
    path = coco / 'annotations/instances_val2017.json'
    path.write_bytes(codecs.BOM_UTF8 + path.read_bytes())
    assert any('byte-order' in problem for problem in check(coco, ('val',)).problems)
    fix_annotations(path, coco / 'fixed.json')
    assert json.loads((coco / 'fixed.json').read_bytes())['images']


def test_fix_refuses_to_overwrite(coco: Path) -> None:
    path = coco / 'annotations/instances_val2017.json'
    with pytest.raises(ConfigError, match='overwrite'):
        fix_annotations(path, path)


def test_area_of_a_fixed_mask_is_computed(tmp_path: Path) -> None:
    entry = dict(id=1, image_id=1, category_id=1, bbox=[1, 1, 4, 3])
    image = dict(id=1, file_name='a\\b.jpg', width=8, height=8)
    (tmp_path / 'in.json').write_text(
        json.dumps(dict(images=[image], annotations=[entry], categories=[]))
    )
    changes = fix_annotations(tmp_path / 'in.json', tmp_path / 'out.json')
    fixed = json.loads((tmp_path / 'out.json').read_text())
    assert fixed['images'][0]['file_name'] == 'a/b.jpg'
    assert fixed['annotations'][0] == entry | dict(
        iscrowd=0, area=12.0, segmentation=[[1, 1, 5, 1, 5, 4, 1, 4]]
    )
    assert changes == dict(file_name=1, id=0, iscrowd=1, segmentation=1, area=1, category=0)


@pytest.mark.parametrize('metric', ['bbox', 'segm'])
def test_ground_ground_truth_against_itself(metric: str, coco: Path) -> None:
    content = json.loads((coco / 'annotations/instances_val2017.json').read_text())
    assert self_evaluate(content, metric) == pytest.approx(1, abs=1e-6)
    content['annotations'] = content['annotations'][:1]
    content['annotations'][0]['id'] = 0
    assert self_evaluate(content, metric) == 0
    assert self_evaluate(content | dict(annotations=[]), metric) == -1


def test_images_of_another_size(coco: Path) -> None:
    for path in (coco / 'train2017').glob('*.jpg'):
        cv2.imwrite(str(path), cv2.resize(cv2.imread(str(path)), None, fx=0.5, fy=0.5))
    assert any('another size' in problem for problem in check(coco, ('train',)).problems)


def test_image_turned_by_exif(coco: Path) -> None:
    path = sorted((coco / 'train2017').glob('*.jpg'))[0]
    image = Image.open(path)
    exif = image.getexif()
    exif[0x0112] = 6
    image.save(path, exif=exif)
    assert any('EXIF' in problem for problem in check(coco, ('train',)).problems)


@pytest.mark.parametrize(
    ('written', 'word'),
    [
        (lambda name: f'images\\{name}', 'backslash'),
        (lambda name: f'images/{name[:-4]}.JPG', 'case'),
        (lambda name: f'images/{name[:-4]}.png', 'suffix'),
        (lambda name: f'C:\\data\\{name}', 'itself'),
    ],
)
def test_names_written_otherwise(written: Callable, word: str, coco: Path) -> None:
    folder = coco / 'train2017/images'
    folder.mkdir()
    for path in list((coco / 'train2017').glob('*.jpg')):
        path.rename(folder / path.name)

    def edit(content: dict) -> None:
        for image in content['images']:
            image['file_name'] = written(image['file_name'])

    edited(coco, 'train', edit)
    if word == 'itself':  # a folder that was somewhere else
        for path in list(folder.glob('*.jpg')):
            path.rename(coco / 'train2017' / path.name)
    assert any(word in problem for problem in check(coco, ('train',)).problems)
    cfg = load_config(ROOT / CONFIGS['coco'], None, str(coco))
    with pytest.raises(ConfigError, match=word):  # a training says it before it starts
        require_sound_lists(cfg, ('train',))
