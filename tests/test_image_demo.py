"""The demo on images, folders, patterns, videos and a camera, as a user runs it."""

import json
import re
import runpy
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest
from pycocotools import mask as rle
from pycocotools.coco import COCO
from tiny_configs import CLASSES, write_model

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[1]
DEMO = str(ROOT / 'demo/image_demo.py')
Demo = Callable[..., str]


@pytest.fixture(scope='module')
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[str, str]]:
    folder = tmp_path_factory.mktemp('models')
    return {task: write_model(folder, task) for task in CLASSES}


@pytest.fixture
def demo(
    files: dict[str, tuple[str, str]],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture,
) -> Demo:
    """Run the demo for a task in an empty folder; returns all that it printed."""
    monkeypatch.chdir(tmp_path)

    def run(task: str, *arguments: str) -> str:
        config, checkpoint = files[task]
        model = ['--config', config, '--checkpoint', checkpoint, '--device', 'cpu']
        monkeypatch.setattr('sys.argv', ['image_demo.py', *model, *arguments])
        runpy.run_path(DEMO, run_name='__main__')
        captured = capfd.readouterr()
        return captured.out + captured.err

    return run


@pytest.fixture
def folder(mini_root: Path, tmp_path: Path) -> Path:
    """Five images of two sizes, three bad ones and a text."""
    folder = tmp_path / 'in'
    folder.mkdir()
    scenes = sorted((mini_root / 'coco/val2017').glob('*.jpg'))
    for scene in scenes[:3]:
        (folder / scene.name).write_bytes(scene.read_bytes())
    pixels = cv2.imread(str(scenes[3]))
    cv2.imwrite(str(folder / 'small.bmp'), pixels[:50, :70])
    cv2.imwrite(str(folder / 'small.png'), cv2.cvtColor(pixels, cv2.COLOR_BGR2GRAY)[:50, :70])
    (folder / 'bad_cut.jpg').write_bytes(scenes[0].read_bytes()[:900])
    (folder / 'bad_empty.png').touch()
    (folder / 'bad_text.jpg').write_text('hello')
    (folder / 'notes.txt').write_text('hello')
    return folder


@pytest.fixture
def clip(mini_root: Path, tmp_path: Path) -> str:
    """A video of five frames."""
    path = str(tmp_path / 'clip.mp4')
    writer = cv2.VideoWriter(path, cv2.VideoWriter.fourcc(*'mp4v'), 5, (160, 128))
    for scene in sorted((mini_root / 'coco/val2017').glob('*.jpg'))[:5]:
        writer.write(cv2.imread(str(scene)))
    writer.release()
    return path


def frames_of(path: Path) -> list[np.ndarray]:
    capture, frames = cv2.VideoCapture(str(path)), []
    while (read := capture.read())[0]:
        frames.append(read[1])
    return frames


@pytest.mark.parametrize('task', CLASSES)
def test_folder(task: str, folder: Path, demo: Demo) -> None:
    told = demo(task, 'in', '--json', 'found/all.json', '--batch-size', '2', '--score-thr', '0.1')
    names = sorted(path.name for path in folder.iterdir() if path.suffix != '.txt')
    bad = [name for name in names if name.startswith('bad')]
    for name in bad:
        assert f'skipped in/{name}: ' in told
    assert 'skipped in/bad_empty.png: the file is empty' in told
    assert '1 left alone, by their names neither images nor videos: notes.txt' in told
    assert '5 predicted, 3 skipped; see work_dirs/predictions, found/all.json' in told
    assert '8/8' in told  # the progress bar
    good = [name for name in names if name not in bad]
    pictures = {path.name for path in Path('work_dirs/predictions').iterdir()}
    assert pictures == {name.replace('.bmp', '.bmp.png') for name in good}

    found = json.loads(Path('found/all.json').read_text())
    assert (found['task'], tuple(found['classes'])) == (task, CLASSES[task])
    assert [image['file'] for image in found['images']] == [f'in/{name}' for name in good]
    assert [one['file'] for one in found['skipped']] == [f'in/{name}' for name in bad]
    key = dict(detection='objects', segmentation='classes', classification='top')[task]
    assert all(image[key] for image in found['images'])
    assert (found['images'][-1]['width'], found['images'][-1]['height']) == (70, 50)


def test_coco_results(folder: Path, mini_root: Path, demo: Demo) -> None:
    ann_file = mini_root / 'coco/annotations/instances_val2017.json'
    demo(
        'detection', 'in/0*.jpg', '--coco-json', 'coco.json', '--coco-ann', str(ann_file),
        '--no-pictures',
    )  # fmt: skip
    assert not Path('work_dirs').exists()
    ground_truth = COCO(ann_file)
    results = ground_truth.loadRes('coco.json')
    names = {ground_truth.loadImgs(k)[0]['file_name'] for k in results.getImgIds()}
    listed = json.loads(Path('coco.json').read_text())
    assert {ground_truth.loadImgs(one['image_id'])[0]['file_name'] for one in listed} <= names
    assert len({one['image_id'] for one in listed}) == 3
    assert {one['category_id'] for one in listed} <= set(ground_truth.getCatIds())
    for one in listed:
        assert rle.decode(one['segmentation']).shape == (128, 160)


def test_label_maps(folder: Path, clip: str, demo: Demo) -> None:
    (folder / 'small.bmp').unlink()
    told = demo(
        'segmentation', 'in', clip, '--save-labels', 'maps', '--json', 'all.json', '--no-pictures'
    )
    assert '9 predicted, 3 skipped; see all.json, maps' in told
    found = json.loads(Path('all.json').read_text())['images']
    assert [Path(image['labels']).name for image in found[-2:]] == [
        'clip_000003.png',
        'clip_000004.png',
    ]
    for image in found:
        labels = cv2.imread(image['labels'], cv2.IMREAD_UNCHANGED)
        assert labels.shape == (image['height'], image['width'])
        for entry in image['classes']:
            assert (labels == entry['label']).sum() == entry['pixels']


@pytest.mark.parametrize('task', CLASSES)
def test_video(task: str, clip: str, demo: Demo) -> None:
    told = demo(task, clip, '--out-dir', 'out', '--json', 'all.json', '--max-frames', '3')
    assert '3 predicted, 0 skipped' in told
    drawn = frames_of(Path('out/clip.mp4'))
    assert len(drawn) == 3 and all(frame.shape[1] == 480 for frame in drawn)
    found = json.loads(Path('all.json').read_text())['images']
    assert [(image['file'], image['frame']) for image in found] == [(clip, k) for k in range(3)]
    plain = frames_of(Path(clip))[0]
    assert abs(drawn[0][:384:3, ::3].astype(int) - plain).mean() < 128  # the picture is below


def test_videos_that_end_early_or_are_none(clip: str, demo: Demo, tmp_path: Path) -> None:
    content = Path(clip).read_bytes()
    (tmp_path / 'none.mp4').write_bytes(content[: len(content) // 2])
    short = cv2.VideoWriter('short.avi', cv2.VideoWriter.fourcc(*'MJPG'), 5, (160, 128))
    for frame in frames_of(Path(clip)):
        short.write(frame)
    short.release()
    cut = bytearray(Path('short.avi').read_bytes())
    Path('short.avi').write_bytes(cut[: len(cut) // 2])
    told = demo('classification', 'none.mp4', 'short.avi', '--out-dir', 'out')
    assert 'skipped none.mp4: it cannot be opened' in told
    assert re.search(r'skipped short\.avi: only [1-4] of 5 frames could be read', told)


def test_camera_until_it_is_stopped(clip: str, demo: Demo, monkeypatch: pytest.MonkeyPatch) -> None:
    class Camera:
        """A camera that shows a file; Ctrl-C is pressed after four frames."""

        def __init__(self, number: int) -> None:
            assert number == 2
            self.capture, self.number = capture, 0

        def __getattr__(self, name: str) -> object:
            return getattr(self.capture, name)

        def read(self) -> tuple[bool, np.ndarray]:
            self.number += 1
            if self.number > 4:
                raise KeyboardInterrupt
            return self.capture.read()

    capture = cv2.VideoCapture(clip)
    monkeypatch.setattr(cv2, 'VideoCapture', Camera)
    told = demo('classification', '2', '--out-dir', 'out', '--json', 'all.json')
    monkeypatch.setattr(cv2, 'VideoCapture', type(capture))
    assert '4 predicted, 0 skipped' in told
    assert len(frames_of(Path('out/camera2.mp4'))) == 4
    assert len(json.loads(Path('all.json').read_text())['images']) == 4


def test_names_of_pictures(folder: Path, demo: Demo) -> None:
    """Files of the same name in several folders do not replace each other."""
    other = folder / 'deep'
    other.mkdir()
    for name in ('small.png', 'small.bmp'):
        (other / name).write_bytes((folder / name).read_bytes())
    demo('classification', 'in/**/small.*', 'in/small.png', '--out-dir', 'out')
    pictures = {str(path.relative_to('out')) for path in Path('out').rglob('*.*')}
    assert pictures == {f'{p}small.{s}' for p in ('', 'deep/') for s in ('png', 'bmp.png')}


@pytest.mark.parametrize(
    ('task', 'arguments', 'message'),
    [
        ('detection', ['none.jpg'], 'there is no file or folder none.jpg'),
        ('detection', ['*.webp'], 'no file matches *.webp'),
        ('detection', ['in/bad_cut.jpg', 'in/bad_empty.png'], 'nothing could be read'),
        ('detection', ['77'], 'nothing could be read'),
        ('detection', ['in', '--out-dir', 'in'], 'in holds the input, which would be overwritten'),
        ('detection', ['in', '--device', 'cuda:99'], 'there is no device cuda:99 here'),
        ('detection', ['in/small.png', '--save-labels', 'x'], '--save-labels is for segmentation'),
        ('segmentation', ['in', '--coco-json', 'x'], '--coco-json is for detection'),
        ('segmentation', ['in', '--save-labels', 'x'], 'two images differ in their suffix alone'),
        ('detection', ['in', '--coco-ann', 'x'], '--coco-ann is for --coco-json'),
        ('detection', ['in', 'clip.mp4', '--coco-json', 'x'], '--coco-json is for images'),
        ('detection', ['in', '--json', 'in'], 'in cannot be written (Is a directory)'),
        ('detection', ['in', '--out-dir', 'in/notes.txt'], 'notes.txt cannot be written'),
        ('detection', ['in', '--config', 'none.py'], 'there is no config none.py'),
        ('detection', ['in', '--checkpoint', 'x.pth'], 'there is no checkpoint x.pth'),
    ],
)
def test_what_a_user_can_fix(
    task: str, arguments: list[str], message: str, folder: Path, clip: str, demo: Demo
) -> None:
    with pytest.raises(SystemExit) as caught:
        demo(task, *arguments)
    assert str(caught.value).startswith('error: ') and message in str(caught.value)
    assert '\n' not in str(caught.value)


@pytest.mark.parametrize(
    'arguments', [['--score-thr', '2'], ['--score-thr', 'nan'], ['--batch-size', '0'], []]
)
def test_wrong_switches(arguments: list[str], demo: Demo, capfd: pytest.CaptureFixture) -> None:
    with pytest.raises(SystemExit) as caught:
        demo('detection', *(['a.jpg', *arguments] if arguments else []))
    assert caught.value.code == 2 and 'usage:' in capfd.readouterr().err


def test_as_a_command(files: dict[str, tuple[str, str]], folder: Path) -> None:
    """In a process of its own, folded, with an option of the config."""
    config, checkpoint = files['detection']
    done = subprocess.run(
        [
            sys.executable, DEMO, 'in', '--config', config, '--checkpoint', checkpoint,
            '--deploy', '--device', 'cpu', '--cfg-options', 'model.test_cfg.rcnn.max_per_img=2',
            '--json', 'all.json', '--score-thr', '0',
        ],
        cwd=folder.parent,
        capture_output=True,
        text=True,
        timeout=120,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1].startswith('5 predicted, 3 skipped')
    found = json.loads((folder.parent / 'all.json').read_text())
    assert max(len(image['objects']) for image in found['images']) == 2
    assert 'Warning' not in done.stderr and 'Traceback' not in done.stderr
