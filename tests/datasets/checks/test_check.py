"""Each defect that data may have, made on purpose: it is named with its fix."""

import runpy
import shutil
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest
from checking import CONFIGS, OPTIONS, ROOT, check, only_problem, truncate
from mmengine.registry import DATASETS

from vminet_mm.datasets import CLASSES
from vminet_mm.datasets.checks import check_config
from vminet_mm.datasets.checks.label_maps import _label_table
from vminet_mm.datasets.checks.report import class_counts
from vminet_mm.engine import load_config
from vminet_mm.errors import ConfigError


@pytest.fixture
def copy_of(mini_root: Path, tmp_path: Path) -> Callable[[str], Path]:
    """Function that copies a layout of the built-in data to where it may be damaged."""

    def copy(layout: str) -> Path:
        return Path(shutil.copytree(mini_root / layout, tmp_path / layout))

    return copy


@pytest.mark.parametrize('layout', CONFIGS)
def test_sound_data_have_no_problem(layout: str, mini_root: Path, mini: tuple) -> None:
    report = check(mini_root / layout)
    assert report.problems == [] and report.notes == []
    number = {'coco': 16, 'ade': 16, 'imagenet': sum(mini[1]['counts']['train']['crops'].values())}
    assert len(report.samples['train']) == number[layout]
    text = '\n'.join(report.lines)
    assert f'{number[layout]} listed, {number[layout]} found' in text
    key = {'coco': 'objects', 'ade': 'pixels', 'imagenet': 'crops'}[layout]
    counts = mini[1]['counts']['train'][key]
    assert class_counts(list(counts), list(counts.values())) in text
    assert len(report.classes['train']) == len(counts)
    first = report.samples['train'][0]
    assert first.image.dtype == np.uint8 and first.image.shape[2] == 3


def test_same_seed_gives_the_same_samples(mini_root: Path) -> None:
    first, second = (check(mini_root / 'coco', ('train',), 3).samples['train'] for _ in range(2))
    assert [sample.name for sample in first] == [sample.name for sample in second]
    assert len(first) == 3
    assert all(np.array_equal(a.image, b.image) for a, b in zip(first, second, strict=True))


def test_labels_of_a_test_pipeline_count_in_the_file(mini_root: Path) -> None:
    scale = {'train_dataloader__dataset__pipeline__2__scale': (320, 256)}
    scale |= {'val_dataloader__dataset__pipeline__1__scale': (320, 256)}
    report = check(mini_root / 'coco', samples=1, **scale)
    (trained,), (tested,) = report.samples['train'], report.samples['val']
    assert trained.image.shape == tested.image.shape == (256, 320, 3)
    assert trained.label_size == (256, 320) and tested.label_size == (128, 160)


def test_validation_on_the_images_of_the_training(mini_root: Path) -> None:
    root = mini_root / 'imagenet'
    option = dict(val_dataloader__dataset__data_prefix='train')
    assert 'it reads the images of train' in '\n'.join(check(root, samples=1, **option).notes)
    assert 'it reads the images' not in '\n'.join(check(root, samples=1).notes)


@pytest.mark.parametrize('layout', CONFIGS)
def test_missing_folder(layout: str, copy_of: Callable) -> None:
    root = copy_of(layout)
    folder = {'coco': 'train2017', 'ade': 'images/training', 'imagenet': 'train'}[layout]
    shutil.rmtree(root / folder)
    report = check(root)
    assert f'train: {root / folder} is missing -> ' in only_problem(report)
    assert '--data-root DIR' in report.problems[0]
    assert 'val' in report.samples and 'train' not in report.samples


@pytest.mark.parametrize('layout', CONFIGS)
def test_truncated_image(layout: str, copy_of: Callable) -> None:
    root = copy_of(layout)
    path = sorted(root.rglob('*.jpg'))[0]
    truncate(path)
    problem = only_problem(check(root, ('train',)))
    assert 'train: 1 of ' in problem and 'get these files again' in problem
    assert f'({path}: it is truncated' in problem and 'truncated' in problem


def test_file_that_is_no_image(copy_of: Callable) -> None:
    root = copy_of('coco')
    path = root / 'val2017/000000000002.jpg'
    path.write_text('no image')
    report = check(root, ('val',))
    assert f'val: 1 of 6 opened images are broken ({path}: ' in only_problem(report)
    assert len(report.samples['val']) == 5


@pytest.mark.parametrize(
    ('layout', 'heads'),
    [
        ('coco', ['model.roi_head.bbox_head.num_classes', 'model.roi_head.mask_head.num_classes']),
        ('ade', ['model.decode_head.num_classes', 'model.auxiliary_head.num_classes']),
        ('imagenet', ['model.head.num_classes', 'data_preprocessor.num_classes']),
    ],
)
def test_class_count_of_every_head(layout: str, heads: list[str], mini_root: Path) -> None:
    report = check(mini_root / layout, samples=1, **dict.fromkeys(heads, 4))
    right = 6 if layout == 'ade' else 5
    assert [problem.split(' -> ')[0] for problem in sorted(report.problems)] == [
        f'{head} is 4, the data have {right} classes' for head in sorted(heads)
    ]
    assert all(f'--cfg-options {head}={right}' in str(report.problems) for head in heads)


# ---- segmentation


def test_label_maps_of_a_wrong_kind(copy_of: Callable) -> None:
    root = copy_of('ade')
    folder = root / 'annotations/training'
    cv2.imwrite(str(folder / '000000000001.png'), np.ones((128, 160, 3), np.uint8))
    cv2.imwrite(str(folder / '000000000002.png'), np.ones((64, 80), np.uint8))
    truncate(folder / '000000000003.png')
    (folder / '000000000004.png').unlink()
    (folder / 'extra.png').write_bytes((folder / '000000000005.png').read_bytes())
    report = check(root, ('train',), samples=1)
    text = '\n'.join(report.problems)
    assert '000000000001.png is RGB' in text and 'one channel of 8 bits' in text
    assert '000000000002.png is (80, 64), its image (160, 128)' in text
    assert '000000000003.png: ' in text and 'write these label maps again' in text
    assert '1 of 16 images have no label map' in text and '000000000004.png' in text
    assert '1 label maps in' in report.notes[0]


def test_no_image_of_the_suffix(copy_of: Callable) -> None:
    problem = only_problem(
        check(copy_of('ade'), ('train',), train_dataloader__dataset__img_suffix='.tif')
    )
    assert 'no *.tif in' in problem and 'train_dataloader.dataset.img_suffix' in problem


def test_label_table_is_what_mmseg_makes_of_a_file(copy_of: Callable) -> None:
    root = copy_of('ade')
    path = root / 'annotations/training/000000000001.png'
    values = (np.arange(128 * 160) % 256).astype(np.uint8).reshape(128, 160)
    cv2.imwrite(str(path), values)
    cfg = load_config(ROOT / CONFIGS['ade'], OPTIONS['ade'], str(root))
    cfg.train_dataloader.dataset.pipeline = cfg.train_dataloader.dataset.pipeline[:2]
    for config in (
        cfg.train_dataloader.dataset,
        # a selection of the 150 classes
        dict(cfg.train_dataloader.dataset, type='ADE20KDataset', metainfo=dict(classes=['sky'])),
    ):
        dataset = DATASETS.build({**config, '_scope_': 'mmseg'})
        assert np.array_equal(dataset[0]['gt_seg_map'], _label_table(dataset)[values])


# ---- classification


def test_folders_do_not_match_the_classes(copy_of: Callable) -> None:
    root = copy_of('imagenet')
    shutil.rmtree(root / 'val/cross')
    problem = only_problem(check(root, samples=1))
    assert '4 classes are not the 5 of train (cross)' in problem
    names = dict(val_dataloader__dataset__metainfo__classes=list(CLASSES))
    report = check(root, samples=1, **names)
    problem = only_problem(report)
    assert '4 folders (circle, ring, square, ...), the config names 5' in problem
    assert 'metainfo.classes="[circle,ring,square,triangle]"' in problem


def test_folder_without_images_and_no_folder(copy_of: Callable) -> None:
    root = copy_of('imagenet')
    for path in (root / 'train/ring').iterdir():
        path.unlink()
    for path in (root / 'val').iterdir():
        shutil.rmtree(path)
    report = check(root)
    assert '1 classes are without an image (ring)' in report.notes[0]
    assert 'val: there is no folder in' in report.problems[0]


def test_list_of_images(copy_of: Callable) -> None:
    root = copy_of('imagenet')
    (root / 'list.txt').write_text('circle/absent.jpg 0\ncircle/other.jpg 5\n')
    options = dict(
        train_dataloader__dataset__ann_file='list.txt',
        train_dataloader__dataset__metainfo__classes=list(CLASSES),
    )
    report = check(root, ('train',), **options)
    assert 'labels 5 in' in report.problems[0] and 'there are 5 classes' in report.problems[0]
    assert '2 of 2 listed images are missing' in report.problems[1]


# ---- the config and the tool


def test_unknown_task_and_absent_split(mini_root: Path) -> None:
    cfg = load_config(ROOT / CONFIGS['coco'], None, str(mini_root / 'coco'))
    cfg.train_dataloader = None
    report = check_config(cfg, ('train', 'val'), 1, echo=lambda line: None)
    assert report.notes == ['train: the config has no train_dataloader']
    assert len(report.samples['val']) == 1
    cfg.default_scope = 'mmpose'
    with pytest.raises(ConfigError, match="'mmpose'; it must be one of 'mmdet'"):
        check_config(cfg)


def test_error_of_a_reader_is_cut(mini_root: Path) -> None:
    options = {'train_dataloader__dataset__unknown_setting': 'x' * 5000}
    problem = only_problem(check(mini_root / 'coco', ('train',), **options))
    assert 'unknown_setting' in problem and len(problem) < 1000


@pytest.fixture
def run_tool(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture) -> Callable:
    """Function that runs tools/check_data.py; gives its exit code and what it printed."""

    def run(*arguments: str) -> tuple[int, str]:
        monkeypatch.setattr('sys.argv', ['check_data.py', *arguments])
        with pytest.raises(SystemExit) as end:
            runpy.run_path(str(ROOT / 'tools/check_data.py'), run_name='__main__')
        return end.value.code, capsys.readouterr().out

    return run


def test_tool_draws_pages_and_tells_by_its_exit_code(
    copy_of: Callable, tmp_path: Path, run_tool: Callable
) -> None:
    root, page = copy_of('coco'), tmp_path / 'pages/page.png'
    common = (str(ROOT / CONFIGS['coco']), '--data-root', str(root), '--samples', '2')
    code, text = run_tool(*common, '--page', str(page))
    assert code == 0 and 'nothing is wrong: training can start' in text
    for path in (page, page.with_name('page_val.png')):
        assert f'page of {"val" if "val" in path.stem else "train"}: {path}\n' in text
        assert path.read_bytes().startswith(b'\x89PNG')
        assert cv2.imread(str(path)).std() > 10

    (root / 'train2017/000000000001.jpg').unlink()
    code, text = run_tool(*common, '--page', str(page), '--split', 'train')
    assert code == 1
    assert 'train: 1 of 16 listed images are missing' in text
    assert '1 problem; fix before training' in text


def test_an_error_in_drawing_swallows_nothing(
    mini_root: Path, tmp_path: Path, run_tool: Callable, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise RuntimeError('no ink')

    monkeypatch.setattr('vminet_mm.visualization.samples.save_page', fail)
    common = (str(ROOT / CONFIGS['imagenet']), '--data-root', str(mini_root / 'imagenet'))
    code, text = run_tool(*common, '--split', 'val', '--samples', '1', '--work-dir', str(tmp_path))
    assert code == 0 and 'nothing is wrong' in text
    assert 'page of val: not drawn' in text and 'no ink' in text


def test_tool_puts_pages_into_the_work_dir(
    mini_root: Path, tmp_path: Path, run_tool: Callable, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    config, root = str(ROOT / CONFIGS['imagenet']), str(mini_root / 'imagenet')
    code, _ = run_tool(config, '--data-root', root, '--split', 'val', '--samples', '4')
    assert code == 0
    assert (tmp_path / 'work_dirs/vminet-ti_mini/data_val.png').is_file()
    code, _ = run_tool(config, '--data-root', str(tmp_path / 'absent'))
    assert 'error: there is no folder' in code
