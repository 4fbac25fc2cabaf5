"""The main job in minutes: make the built-in data, train Mask R-CNN with VMINet-Ti, test it.

Runs the commands that one would type, prints them, and ends with a line such as
``demo: bbox_mAP_50=0.612 segm_mAP_50=0.580 train=301s pictures=work_dirs/demo/pictures``.
Data and results go below the current folder.
"""

import argparse
import json
import os
import shlex
import subprocess
import sys
import time
from pathlib import Path

import torch

CONFIG = 'configs/mask_rcnn/mask-rcnn_vminet-ti_fpn_mini.py'
BATCH_SIZE = 8  # of all processes together, as the config's schedule wants it
ROOT = Path(os.path.relpath(Path(__file__).resolve().parents[1]))
MAKE_DATA, TRAIN, TEST = (
    str(ROOT / 'tools' / name)
    for name in ('dataset_converters/make_mini_data.py', 'dist_train.sh', 'test.py')
)


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.partition('\n')[0])
    parser.add_argument('--config', default=CONFIG)
    parser.add_argument('--work-dir', default='work_dirs/demo')
    parser.add_argument(
        '--gpus',
        type=int,
        help='GPUs, or processes on the CPU; by default 2, or the one GPU there is',
    )
    return parser.parse_args()


def run(*command: str) -> None:
    """Print a command and run it; a failure ends the demo."""
    print(f'\n$ {shlex.join(command)}', flush=True)
    status = subprocess.run(command).returncode
    if status:
        sys.exit(f'demo: the command above failed with exit code {status}')


def main() -> None:
    args = parse_args()
    work_dir, python = Path(args.work_dir), sys.executable
    pictures, metrics = work_dir / 'pictures', work_dir / 'metrics.json'
    os.environ['PATH'] = f'{Path(python).parent}{os.pathsep}{os.environ["PATH"]}'

    run(python, MAKE_DATA, 'data/mini')
    gpus = args.gpus or min(2, torch.cuda.device_count()) or 2
    train = ['bash', TRAIN, args.config, str(gpus), '--work-dir', str(work_dir)]
    start = time.monotonic()
    run(*train, '--cfg-options', f'train_dataloader.batch_size={max(1, BATCH_SIZE // gpus)}')
    seconds = time.monotonic() - start
    checkpoint = (work_dir / 'last_checkpoint').read_text().strip()
    test = [python, TEST, args.config, checkpoint, '--work-dir', str(work_dir)]
    run(*test, '--show-dir', str(pictures), '--metrics', str(metrics))

    found = json.loads(metrics.read_text())
    box, mask = found['coco/bbox_mAP_50'], found['coco/segm_mAP_50']
    reached = f'bbox_mAP_50={box:.3f} segm_mAP_50={mask:.3f} train={seconds:.0f}s'
    print(f'\ndemo: {reached} pictures={pictures}')


if __name__ == '__main__':
    main()
