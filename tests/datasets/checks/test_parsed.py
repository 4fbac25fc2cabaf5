"""XML files of Pascal VOC: what is wrong with them is named, also before a training."""

import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from reader_sets import NUMBER, ReaderSet, make_set

from vminet_mm.datasets.checks import check_config, require_sound_lists
from vminet_mm.datasets.checks.parsed import xml_fault
from vminet_mm.engine import load_config
from vminet_mm.errors import ConfigError


@pytest.fixture
def xml(tmp_path: Path) -> ReaderSet:
    return make_set(tmp_path, 'xml', 3)


def file(xml: ReaderSet) -> Path:
    return xml.root / 'Annotations/train2.xml'


def replaced(old: str, new: str) -> Callable[[ReaderSet], None]:
    return lambda xml: file(xml).write_text(file(xml).read_text().replace(old, new))


def turn(xml: ReaderSet) -> None:
    path = xml.root / 'images/train0.jpg'
    image = Image.open(path)
    exif = image.getexif()
    exif[0x0112] = 6
    image.convert('RGB').save(path, 'jpeg', exif=exif)


def other_names(xml: ReaderSet) -> None:
    for path in xml.root.glob('Annotations/train*.xml'):
        path.write_text(path.read_text().replace('>box<', '>Box<').replace('>disc<', '>Disc<'))


def blank_lines(xml: ReaderSet) -> None:
    with (xml.root / 'train.txt').open('a') as lines:
        lines.write('\n\n')


def names_with_suffix(xml: ReaderSet) -> None:
    (xml.root / 'train.txt').write_text('train0.jpg\ntrain1.jpg\n')


def shrink(xml: ReaderSet) -> None:
    for path in xml.root.glob('images/train*'):
        Image.fromarray(np.asarray(Image.open(path))[::2, ::2]).save(path, 'png')


# what is wrong: how it is made, and what is said of it
FAULTS = {
    'cut off': (lambda x: file(x).write_text('<annotation>\n<size>'), r'train2.xml: .*line 2'),
    'no size': (replaced('<width>56</width>', ''), r'train2.xml: size has the width None'),
    'no number': (replaced('<xmin>5</xmin>', '<xmin>left</xmin>'), "xmin of object 1 is 'left'"),
    'no box': (replaced('bndbox', 'polygon'), 'xmin of object 1 is None'),
    'no name': (replaced('<name>box</name>', ''), 'object 1 has no name'),
    'difficult': (
        replaced('<bndbox>', '<difficult>Unspecified</difficult><bndbox>'),
        'difficult of',
    ),
    'absent': (lambda x: file(x).unlink(), '1 of 4 annotation files are missing .*train2.xml'),
    'other names': (other_names, 'none of the 0 objects can be learned'),
    'blank lines': (blank_lines, 'blank lines'),
    'with suffix': (names_with_suffix, 'which the reader adds'),
    'EXIF': (turn, 'turned by their EXIF orientation'),
    'resized': (shrink, 'another size than listed'),
    'no image': (lambda x: (x.root / 'images/train0.jpg').unlink(), '1 of 4 listed images are'),
    'other suffix': (
        lambda x: (x.root / 'images/train0.jpg').rename(x.root / 'images/train0.png'),
        r'the folder has train0.png, the reader takes \.jpg',
    ),
}


@pytest.mark.parametrize('name', FAULTS)
def test_faults_are_named(name: str, xml: ReaderSet) -> None:
    spoil, text = FAULTS[name]
    spoil(xml)
    cfg = load_config(xml.config)
    report = check_config(cfg, ('train',), 1, echo=lambda line: None)
    assert any(re.search(text, problem) for problem in report.problems), report.problems
    with pytest.raises(ConfigError, match=text):
        require_sound_lists(cfg, ('train',))


def test_sound_files(xml: ReaderSet) -> None:
    assert require_sound_lists(load_config(xml.config), ('train', 'val')) is None
    paths = list(xml.root.glob('Annotations/*.xml'))
    assert len(paths) == sum(NUMBER.values()) and not any(map(xml_fault, paths))
