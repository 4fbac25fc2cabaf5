"""Train, resume, test and predict through the tools, for each of the three tasks.

The classifier's checkpoint starts the two dense tasks. The detector trains in two processes, and
the segmentor is tested in one of its own; all else runs in this one.
"""

import io
import json
import math
import os
import pickle
import re
import subprocess
import sys
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path

import pytest
import torch
from global_state import unchanged_globals
from in_process import run_here
from mmengine.dataset import pseudo_collate
from mmengine.registry import DATASETS, MODELS, DefaultScope

from vminet_mm.engine import load_config

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
from mmdet.apis import DetInferencer
found = DetInferencer(config, checkpoint, device='cpu')(image)['predictions'][0]
assert len(found['labels']) == len(found['bboxes']) == len(found['masks'])
""",
    'segmentation': """
from mmseg.apis import MMSegInferencer
found = MMSegInferencer(config, checkpoint, device='cpu')(image)['predictions']
assert found.shape == (128, 160) and found.max() < 6
""",
    'classification': """
from mmpretrain import ImageClassificationInferencer
found = ImageClassificationInferencer(config, checkpoint, device='cpu')(image)[0]
assert len(found['pred_scores']) == 5 and abs(sum(found['pred_scores']) - 1) < 1e-4
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


class Job:
    """The commands of one task, and the files that they write."""

    def __init__(self, task: str, mini_root: Path, folder: Path) -> None:
        self.task, self.folder = task, folder
        config, name, self.short, self.longer = TASKS[task]
        self.config = str(ROOT / config)
        self.data_root = mini_root / name
        self.work_dir = folder / 'run'
        first, last = ('iter_2', 'iter_4') if task == 'segmentation' else ('epoch_1', 'epoch_2')
        self.first, self.last = (self.work_dir / f'{name}.pth' for name in (first, last))
        self.metrics, self.pictures = folder / 'metrics.json', folder / 'pictures'
        self.out = folder / ('maps' if task == 'segmentation' else 'predictions.pkl')

    def train(self, *switches: str) -> list[str]:
        """The switches of a short training."""
        return self._switches(self.work_dir, self.short, *switches)

    def resume(self, *switches: str) -> list[str]:
        """The switches that go on with it."""
        return self._switches(self.work_dir, self.longer, '--resume', *switches)

    def tests(self) -> list[list[str]]:
        """Two calls of tools/test.py: pictures and metrics, and predictions."""
        common = self._switches(self.folder / 'test', ())
        test = ['tools/test.py', common[0], str(self.last), *common[1:]]
        tta = [] if self.task == 'detection' else ['--tta']
        return [
            [*test, '--metrics', str(self.metrics), '--show-dir', str(self.pictures)],
            [*test, '--out', str(self.out), *tta],
        ]

    def _switches(self, work_dir: Path, options: tuple[str, ...], *more: str) -> list[str]:
        paths = ('--data-root', str(self.data_root), '--work-dir', str(work_dir))
        return [self.config, *paths, *more, '--cfg-options', *OPTIONS, *options]

    def images(self) -> list[Path]:
        """The pictures of the validation set."""
        return sorted(self.data_root.glob(VALIDATION[self.task]))

    def run(self, *commands: list[str]) -> str:
        """Run tools here, and then an inferencer; returns what was printed."""
        printed = io.StringIO()
        with redirect_stdout(printed), redirect_stderr(printed):
            for tool, *switches in commands:
                code = run_here(str(ROOT / tool), *switches)
                assert code == 0, (code, printed.getvalue()[-9000:])
            names = dict(config=self.config, checkpoint=str(self.last), image=str(self.images()[0]))
            with unchanged_globals():
                exec(INFERENCE[self.task], names)
        return printed.getvalue()

    def scalars(self) -> list[dict]:
        """The lines that the run logged, in a file for each part."""
        files = sorted(self.work_dir.glob('*/vis_data/scalars.json'))
        return [json.loads(line) for file in files for line in file.read_text().splitlines()]

    def check(self, log: str) -> None:
        """The parts of the run join, and test says what validation said."""
        assert f'Auto resumed from the latest checkpoint {self.first}' in log
        assert (self.work_dir / 'last_checkpoint').read_text() == str(self.last)
        lines = self.scalars()
        losses = {line['iter']: line['loss'] for line in lines if 'loss' in line}
        assert list(losses) == [*range(1, len(losses) + 1)]  # each iteration once, none left out
        assert sum('loss' in line for line in lines) == len(losses)
        assert all(map(math.isfinite, losses.values()))
        tested = json.loads(self.metrics.read_text())
        assert tested and tested == {key: lines[-1][key] for key in tested}
        assert len([p for p in self.pictures.rglob('*') if p.suffix in ('.png', '.jpg')]) >= 6
        if self.task == 'segmentation':
            assert len(list(self.out.glob('*.png'))) == len(self.images())
        else:
            assert len(pickle.loads(self.out.read_bytes())) == len(self.images())


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


@pytest.fixture(scope='module')
def classifier(mini_root: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Job, str]:
    """A classifier that was trained, resumed and tested, and what that printed."""
    job = Job('classification', mini_root, tmp_path_factory.mktemp('classifier'))
    switches = '--amp', '--auto-scale-lr'
    train, resume = job.train(*switches), job.resume(*switches)
    tools = ['tools/train.py', *train], ['tools/train.py', *resume]
    return job, job.run(*tools, *job.tests())


def check_start(log: str) -> None:
    """All but the norms of the other three outputs came from the classifier."""
    loaded = re.search(
        r'VMINet from \S+ .*: (\d+) of (\d+) tensors loaded, 0 of them resized; (\d+) left', log
    )
    assert loaded, log[-3000:]
    assert int(loaded[2]) - int(loaded[1]) == int(loaded[3]) == 5 * 3


def test_classifier(classifier: tuple[Job, str]) -> None:
    job, log = classifier
    job.check(log)
    assert 'Scaling the original LR by 0.125' in log  # 4 images for 32


def test_detector_in_two_processes(
    classifier: tuple[Job, str], mini_root: Path, tmp_path: Path
) -> None:
    job = Job('detection', mini_root, tmp_path)
    launch = 'bash', 'tools/dist_train.sh', job.config, '2'
    train = job.train('--pretrained', str(classifier[0].last))
    check_start(run(*launch, *train[1:]))
    log = run(*launch, *job.resume()[1:])
    job.check(log + job.run(*job.tests()))


def test_segmentor(classifier: tuple[Job, str], mini_root: Path, tmp_path: Path) -> None:
    job = Job('segmentation', mini_root, tmp_path)
    train = job.train('--pretrained', str(classifier[0].last))
    tools = ['tools/train.py', *train], ['tools/train.py', *job.resume()]
    draw, save = job.tests()
    log = job.run(*tools, save)
    run(sys.executable, *draw)
    check_start(log)
    job.check(log)


def test_real_segmentor_on_classes_of_ones_own(mini_root: Path) -> None:
    """What docs/data.md says: the class count and the names are all that has to be told."""
    cfg = load_config(
        ROOT / 'configs/upernet/upernet_vminet-xs_8xb2-160k_ade20k-512x512.py',
        {
            'model.decode_head.num_classes': 6,
            'model.auxiliary_head.num_classes': 6,
            'train_dataloader.dataset.metainfo.classes': [*'abcdef'],
            # smaller than in earnest, to be quick
            'model.data_preprocessor.size': (64, 96),
            'train_dataloader.dataset.pipeline.3.crop_size': (64, 96),
        },
        data_root=str(mini_root / 'ade'),
    )
    with DefaultScope.overwrite_default_scope('mmseg'):
        dataset = DATASETS.build(cfg.train_dataloader.dataset)
        model = MODELS.build(cfg.model)
        batch = model.data_preprocessor(pseudo_collate([dataset[0], dataset[1]]), training=True)
        losses = model(**batch, mode='loss')
    assert [*dataset.metainfo['classes']] == [*'abcdef']
    assert all(torch.isfinite(loss) for name, loss in losses.items() if 'loss' in name)
