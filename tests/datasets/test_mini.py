import hashlib
import json
import os
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest

from vminet_mm.datasets import CLASSES, Scene, draw_scene, make_mini_data
from vminet_mm.datasets import mini as mini_module
from vminet_mm.datasets.layouts import CROP_MIN_VISIBLE, crop_windows

REPO = Path(__file__).resolve().parents[2]


def hashes(root):
    files = sorted(path for path in root.rglob('*') if path.is_file())
    return {
        path.relative_to(root).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in files
    }


def test_same_seed_same_bytes(mini_root, parameters, tmp_path):
    make_mini_data(tmp_path / 'again', **parameters)
    assert hashes(tmp_path / 'again') == hashes(mini_root)


def test_other_seed_other_images(mini_root, parameters, tmp_path):
    make_mini_data(tmp_path / 'other', **{**parameters, 'seed': 4})
    ours, others = hashes(mini_root), hashes(tmp_path / 'other')
    images = [name for name in ours if name.startswith(('coco/train2017', 'coco/val2017'))]
    assert len(images) == 22
    assert not {ours[name] for name in images} & {others[name] for name in images}


def test_a_larger_set_begins_with_the_smaller(mini_root, parameters, tmp_path):
    make_mini_data(tmp_path / 'less', **{**parameters, 'num_train': 5})
    large, small = hashes(mini_root), hashes(tmp_path / 'less')
    common = [name for name in small if 'instances_train' not in name and name != 'mini_data.json']
    assert len(common) > 40
    assert all(large[name] == small[name] for name in common)
    path = 'coco/annotations/instances_train2017.json'
    few = json.loads((tmp_path / 'less' / path).read_text())['annotations']
    assert few == json.loads((mini_root / path).read_text())['annotations'][: len(few)]


def test_summary_counts_what_is_there(mini):
    root, summary = mini
    assert summary['made'] is True and summary['root'] == str(root)
    stored = json.loads((root / 'mini_data.json').read_text())
    assert stored == {key: summary[key] for key in summary if key not in ('root', 'made')}
    for folder, number in summary['files'].items():
        assert len(list((root / folder).iterdir())) == number
    assert summary['files']['coco/train2017'] == summary['files']['ade/images/training'] == 16
    assert summary['files']['coco/val2017'] == summary['files']['ade/images/validation'] == 6
    for split, number in (('train', 16), ('val', 6)):
        assert sum(summary['counts'][split]['pixels'].values()) == number * 128 * 160
        crops = summary['counts'][split]['crops']
        assert tuple(crops) == CLASSES
        assert max(crops.values()) - min(crops.values()) <= 3
        for name, count in crops.items():
            assert summary['files'][f'imagenet/{split}/{name}'] == count


def test_the_two_splits_differ(mini_root):
    digest = hashes(mini_root)
    train = {digest[name] for name in digest if name.startswith('coco/train2017')}
    val = {digest[name] for name in digest if name.startswith('coco/val2017')}
    assert len(train) == 16 and len(val) == 6 and not train & val


def square_scene():
    """One large object and two small ones: beside it and far from it."""
    masks = np.zeros((3, 80, 100), dtype=bool)
    masks[0, 10:50, 0:40] = True
    masks[1, 30:38, 42:50] = True
    masks[2, 70:80, 90:100] = True
    image = np.zeros((80, 100, 3), dtype=np.uint8)
    return Scene(image, masks, np.array([3, 0, 1]), np.array([1.0, 1.0, CROP_MIN_VISIBLE - 0.01]))


def test_crop_windows_by_hand():
    # The square fits its windows; most windows of the small one beside it are the square's; the
    # third is too much hidden.
    scene, chosen = square_scene(), []
    for seed in range(40):
        for k, left, top, side in crop_windows(np.random.default_rng(seed), scene):
            chosen.append(k)
            assert 0 <= left <= 100 - side and 0 <= top <= 80 - side
            window = scene.masks[k, top : top + side, left : left + side]
            assert window.sum() == scene.masks[k].sum()
            assert 46 <= side <= 64 if k == 0 else 9 <= side <= 13
    assert chosen.count(0) == 40
    assert 0 < chosen.count(1) <= 40
    assert chosen.count(2) == 0


def test_crops_show_the_object_of_their_label(mini_root, parameters):
    files = {path.name: path for path in (mini_root / 'imagenet' / 'train').rglob('*.jpg')}
    seen = 0
    for index in range(parameters['num_train']):
        rng = np.random.default_rng([parameters['seed'], 0, index])
        scene = draw_scene(rng, 128, 160)
        for k, left, top, side in crop_windows(rng, scene):
            path = files.get(f'{index + 1:012d}_{k}.jpg')
            if path is None:  # left out for balance
                continue
            seen += 1
            assert path.parent.name == CLASSES[scene.labels[k]]
            windows = scene.masks[:, top : top + side, left : left + side].sum(axis=(1, 2))
            assert windows.argmax() == k and windows[k] == scene.masks[k].sum()
            crop = cv2.imread(str(path))[..., ::-1]
            assert crop.shape == (64, 64, 3)
            window = cv2.resize(scene.image[top : top + side, left : left + side], (64, 64))
            assert np.abs(crop.astype(float) - window).mean() < 12
    assert seen == len(files) > 20


def test_rerun_does_nothing(tmp_path, monkeypatch):
    root = tmp_path / 'data'
    first = make_mini_data(root, 2, 1)
    times = {path: path.stat().st_mtime_ns for path in root.rglob('*')}
    monkeypatch.setattr(mini_module, 'draw_scene', None)  # a call would fail
    lines = []
    monkeypatch.setattr(mini_module, 'print_log', lambda line, logger: lines.append(line))
    second = make_mini_data(str(root), 2, 1, size=[128, 160])
    assert second == {**first, 'made': False}
    assert times == {path: path.stat().st_mtime_ns for path in root.rglob('*')}
    assert lines == [f'{root} already holds these data: nothing to do']


@pytest.mark.parametrize(
    'change',
    [{'seed': 1}, {'num_train': 3}, {'size': (64, 80)}, {'crop_size': 32}, {'force': True}],
)
def test_other_parameters_make_it_again(tmp_path, change):
    root, basis = tmp_path / 'data', {'num_train': 2, 'num_val': 1, 'size': (80, 64)}
    make_mini_data(root, **basis)
    assert make_mini_data(root, **(basis | change))['made'] is True
    make_mini_data(tmp_path / 'fresh', **(basis | change))
    assert hashes(root) == hashes(tmp_path / 'fresh')


def test_another_generator_version_makes_it_again(tmp_path, monkeypatch):
    make_mini_data(tmp_path, 1, 1)
    monkeypatch.setattr(mini_module, 'GENERATOR_VERSION', mini_module.GENERATOR_VERSION + 1)
    assert make_mini_data(tmp_path, 1, 1)['made'] is True


def test_an_interrupted_run_is_made_again(tmp_path, monkeypatch):
    def fail_at_third(rng, *size, calls=[]):  # noqa: B006
        calls.append(0)
        if len(calls) == 3:
            raise KeyboardInterrupt
        return draw_scene(rng, *size)

    root = tmp_path / 'data'
    make_mini_data(root, 1, 1)
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(mini_module, 'draw_scene', fail_at_third)
        make_mini_data(root, 4, 1)
    assert not (root / 'mini_data.json').exists()
    assert len(list((root / 'coco' / 'train2017').iterdir())) == 2
    assert make_mini_data(root, 4, 1)['made'] is True
    make_mini_data(tmp_path / 'fresh', 4, 1)
    assert hashes(root) == hashes(tmp_path / 'fresh')


@pytest.mark.parametrize('damage', ['file', 'folder', 'marker'])
def test_a_damaged_set_is_made_again(tmp_path, damage):
    make_mini_data(tmp_path, 2, 1)
    before = hashes(tmp_path)
    if damage == 'file':
        (tmp_path / 'ade' / 'images' / 'training' / '000000000001.jpg').unlink()
    elif damage == 'folder':
        for path in (tmp_path / 'coco' / 'val2017').iterdir():
            path.unlink()
        (tmp_path / 'coco' / 'val2017').rmdir()
    else:
        (tmp_path / 'mini_data.json').write_text('{"seed"')
    assert make_mini_data(tmp_path, 2, 1)['made'] is True
    assert hashes(tmp_path) == before


def test_foreign_folders_are_refused(tmp_path):
    (tmp_path / 'coco').mkdir()
    (tmp_path / 'coco' / 'keep.jpg').write_bytes(b'mine')
    with pytest.raises(FileExistsError, match=r'not part of the built-in data \(coco\)'):
        make_mini_data(tmp_path, 1, 1, force=True)
    assert hashes(tmp_path).keys() == {'coco/keep.jpg'}

    own = tmp_path / 'own'
    make_mini_data(own, 1, 1)
    (own / 'notes.txt').write_text('mine')
    before = hashes(own)
    with pytest.raises(FileExistsError, match='notes.txt.*new or empty folder'):
        make_mini_data(own, 2, 1)
    assert hashes(own) == before

    with pytest.raises(NotADirectoryError, match='is a file'):
        make_mini_data(own / 'notes.txt', 1, 1)


@pytest.mark.parametrize(
    ('arguments', 'message'),
    [
        ({'num_train': -1}, 'num_train is -1; ask for at least 1'),
        ({'num_val': 0}, 'num_val is 0; ask for at least 1'),
        ({'seed': -2}, 'seed is -2; pass 0 or'),
        ({'size': (128, 40)}, r'size is \(128, 40\); pass .* at least 64 pixels'),
        ({'size': (128,)}, r'pass \(height, width\)'),
        ({'crop_size': 4}, 'crop_size is 4; pass at least 16'),
    ],
)
def test_bad_arguments(tmp_path, arguments, message):
    with pytest.raises(ValueError, match=message):
        make_mini_data(tmp_path / 'data', **arguments)
    assert not (tmp_path / 'data').exists()


def run_tool(*arguments):
    command = [sys.executable, str(REPO / 'tools/dataset_converters/make_mini_data.py')]
    return subprocess.run(
        [*command, *map(str, arguments)],
        capture_output=True,
        text=True,
        env={**os.environ, 'PYTHONPATH': str(REPO)},
    )


def test_tool(tmp_path):
    root = tmp_path / 'data'
    done = run_tool(
        root, '--train', 3, '--val', 2, '--seed', 7, '--size', 64, 80, '--crop-size', 32
    )
    assert done.returncode == 0, done.stderr
    assert f'made in {root}' in done.stdout and 'coco/train2017: 3' in done.stdout
    make_mini_data(tmp_path / 'call', 3, 2, 7, (64, 80), 32)
    assert hashes(root) == hashes(tmp_path / 'call')

    wrong = run_tool(root, '--train', 0)
    assert wrong.returncode == 1
    assert wrong.stderr.splitlines()[-1].startswith('error: num_train is 0; ask for at least 1')
