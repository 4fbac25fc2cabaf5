"""Train, resume and test through the tools, in two processes, for each of the three tasks."""

import json
import math
import os
import pickle
import re
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow

ROOT = Path(__file__).resolve().parents[1]
# config, folder of the built-in data, how to train a short while, and then longer
TASKS = {
    'detection': (
        'configs/mask_rcnn/mask-rcnn_vminet-ti_fpn_mini.py',
        'coco',
        ('train_cfg.max_epochs=1', 'train_cfg.val_interval=1'),
        ('train_cfg.max_epochs=2', 'train_cfg.val_interval=1'),
    ),
    'segmentation': (
        'configs/upernet/upernet_vminet-ti_mini.py',
        'ade',
        (
            'train_cfg.max_iters=2',
            'train_cfg.val_interval=2',
            'default_hooks.checkpoint.interval=2',
        ),
        (
            'train_cfg.max_iters=4',
            'train_cfg.val_interval=2',
            'default_hooks.checkpoint.interval=2',
        ),
    ),
    'classification': (
        'configs/cls/vminet-ti_mini.py',
        'imagenet',
        ('train_cfg.max_epochs=1', 'train_cfg.val_interval=1'),
        ('train_cfg.max_epochs=2', 'train_cfg.val_interval=1'),
    ),
}
# the pictures of the validation sets
VALIDATION = {
    'detection': 'val2017/*.jpg',
    'segmentation': 'images/validation/*.jpg',
    'classification': 'val/*/*.jpg',
}
# one image through each package's inferencer
INFERENCE = {
    'detection': """
import sys, vminet_mm
from mmdet.apis import DetInferencer
config, checkpoint, image = sys.argv[1:]
found = DetInferencer(config, checkpoint, device='cpu')(image)['predictions'][0]
assert len(found['labels']) == len(found['bboxes']) == len(found['masks'])
print('as expected')
""",
    'segmentation': """
import sys, vminet_mm
from mmseg.apis import MMSegInferencer
config, checkpoint, image = sys.argv[1:]
found = MMSegInferencer(config, checkpoint, device='cpu')(image)['predictions']
assert found.shape == (128, 160) and found.max() < 6
print('as expected')
""",
    'classification': """
import sys, vminet_mm
from mmpretrain import ImageClassificationInferencer
config, checkpoint, image = sys.argv[1:]
found = ImageClassificationInferencer(config, checkpoint, device='cpu')(image)[0]
assert len(found['pred_scores']) == 5 and abs(sum(found['pred_scores']) - 1) < 1e-4
print('as expected')
""",
}
# one image a batch in validation, so that no image's arithmetic depends on how many processes test
OPTIONS = [
    *(f'{split}_dataloader.num_workers=0' for split in ('train', 'val', 'test')),
    'val_dataloader.batch_size=1',
    'test_dataloader.batch_size=1',
    'train_dataloader.batch_size=4',
    'default_hooks.logger.interval=1',
]


def run(*command: str) -> str:
    """Run a command in the project's root, on the CPU, and return all that it printed."""
    done = subprocess.run(
        command,
        cwd=ROOT,
        env=os.environ | {'CUDA_VISIBLE_DEVICES': ''},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=600,
    )
    assert done.returncode == 0, done.stdout[-9000:]
    return done.stdout


def train(config: str, data_root: Path, work_dir: Path, *more: str) -> str:
    """Train in two processes."""
    return run(
        'bash', 'tools/dist_train.sh', config, '2', '--data-root', str(data_root),
        '--work-dir', str(work_dir), *more,
    )  # fmt: skip


def scalars(work_dir: Path) -> list[dict]:
    """The lines that the latest run logged."""
    file = max(work_dir.glob('*/vis_data/scalars.json'))
    return [json.loads(line) for line in file.read_text().splitlines()]


@pytest.mark.parametrize('task', TASKS)
def test_train_resume_test(task: str, mini_root: Path, tmp_path: Path) -> None:
    config, folder, short, longer = TASKS[task]
    work_dir, data_root = tmp_path / 'run', mini_root / folder
    train(config, data_root, work_dir, '--cfg-options', *OPTIONS, *short)
    first = Path((work_dir / 'last_checkpoint').read_text())
    ended_at = [line['iter'] for line in scalars(work_dir) if 'loss' in line][-1]

    log = train(config, data_root, work_dir, '--resume', '--cfg-options', *OPTIONS, *longer)
    assert f'Auto resumed from the latest checkpoint {first}' in log
    last = Path((work_dir / 'last_checkpoint').read_text())
    assert last.is_file() and last != first
    steps = [line for line in scalars(work_dir) if 'loss' in line]
    assert steps[0]['iter'] == ended_at + 1
    assert all(math.isfinite(line['loss']) for line in steps)
    validated = scalars(work_dir)[-1]

    test = (
        sys.executable, 'tools/test.py', config, str(last), '--data-root', str(data_root),
        '--work-dir', str(tmp_path / 'test'), '--cfg-options', *OPTIONS,
    )  # fmt: skip
    metrics, pictures = tmp_path / 'metrics.json', tmp_path / 'pictures'
    run(*test, '--metrics', str(metrics), '--show-dir', str(pictures))
    tested = json.loads(metrics.read_text())
    assert tested == {key: validated[key] for key in tested}
    assert len([p for p in pictures.rglob('*') if p.suffix in ('.png', '.jpg')]) >= 6

    out = tmp_path / ('maps' if task == 'segmentation' else 'predictions.pkl')
    run(*test, '--out', str(out), *(() if task == 'detection' else ('--tta',)))
    if task == 'segmentation':
        assert len(list(out.glob('*.png'))) == 6
    else:
        predictions = pickle.loads(out.read_bytes())
        assert len(predictions) == len(list(data_root.glob(VALIDATION[task])))

    image = next(data_root.glob(VALIDATION[task]))
    found = run(sys.executable, '-c', INFERENCE[task], config, str(last), str(image))
    assert found.rstrip().endswith('as expected')  # perhaps behind a progress bar


def test_chain_from_classifier_to_detector_and_segmentor(mini_root: Path, tmp_path: Path) -> None:
    """Pre-train a classifier, then start the two dense tasks from its checkpoint."""
    config, folder, short, _ = TASKS['classification']
    classifier = tmp_path / 'classifier'
    switches = ('--amp', '--auto-scale-lr', '--cfg-options', *OPTIONS, *short)
    log = train(config, mini_root / folder, classifier, *switches)
    assert 'Scaling the original LR by 0.25' in log  # 2 x 4 images for 32
    checkpoint = (classifier / 'last_checkpoint').read_text()
    for task, norms in (('detection', 3), ('segmentation', 3)):
        config, folder, short, _ = TASKS[task]
        log = train(
            config, mini_root / folder, tmp_path / task,
            '--pretrained', checkpoint, '--cfg-options', *OPTIONS, *short,
        )  # fmt: skip
        loaded = re.search(
            r'VMINet from \S+ .*: (\d+) of (\d+) tensors loaded, 0 of them resized; (\d+) left', log
        )
        assert loaded, log[-3000:]
        assert int(loaded[2]) - int(loaded[1]) == int(loaded[3]) == 5 * norms
        assert scalars(tmp_path / task)[0]['loss'] > 0


def test_real_segmentor_on_classes_of_ones_own(mini_root: Path, tmp_path: Path) -> None:
    """What docs/data.md says: the class count and the names are all that has to be told."""
    names = '[background,circle,cross,ring,square,triangle]'
    train(
        'configs/upernet/upernet_vminet-xs_8xb2-160k_ade20k-512x512.py',
        mini_root / 'ade',
        tmp_path,
        '--cfg-options',
        'model.decode_head.num_classes=6',
        'model.auxiliary_head.num_classes=6',
        *(
            f'{split}_dataloader.dataset.metainfo.classes={names}'
            for split in ('train', 'val', 'test')
        ),
        # smaller than in earnest, to be quick
        'model.data_preprocessor.size=(96,128)',
        'train_dataloader.dataset.pipeline.3.crop_size=(96,128)',
        'val_dataloader.dataset.pipeline.1.scale=(512,128)',
        'train_cfg.max_iters=1',
        'train_cfg.val_interval=1',
        'default_hooks.logger.interval=1',
    )
    losses, metrics = scalars(tmp_path)
    assert losses['loss'] > 0 and 0 <= metrics['mIoU'] <= 100
