"""Two processes on one machine: that they compute what one does, and what becomes of a run when one
of them dies, hangs or has a loss that is not finite.

    python tests/distributed_runs.py [--cases gradients training dies hangs non_finite script]
"""

import argparse
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from itertools import count
from pathlib import Path

from distributed_gradients import check_gradients
from mmpretrain.models import GlobalAveragePooling
from resume_runs import CASES, CLASSIFIER, CONFIGS, Run, prepare
from torch import Tensor

from vminet_mm.compat.safe_load import safe_load
from vminet_mm.datasets import make_mini_data
from vminet_mm.engine.reliability.nonfinite import NON_FINITE

CONFIG = 'cls/vminet-ti_mini'
TIMEOUT = 10  # seconds, of the processes for each other
BOUNDED = CLASSIFIER | {'env_cfg.dist_cfg.timeout': TIMEOUT}
# nothing random for each process, norms that do not see the batch, steps that magnify no rounding
SAME = CLASSIFIER | {
    'custom_hooks': [],
    'model.backbone.drop_path_rate': 0.0,
    'model.backbone.norm_eval': True,
    'model.train_cfg': None,
    'optim_wrapper': dict(_delete_=True, optimizer=dict(type='SGD', lr=0.05)),
    'param_scheduler': [],
    'train_cfg.max_epochs': 2,
    'train_dataloader.drop_last': True,  # the last batch is not shared out evenly
}
CASES |= {
    'one': (CONFIG, 'imagenet', SAME | {'train_dataloader.batch_size': 8}, 1),
    'two': (CONFIG, 'imagenet', SAME | {'train_dataloader.batch_size': 4}, 2),
    'faults': (CONFIG, 'imagenet', BOUNDED, 2),
}


class FaultyRun(Run):
    """A run of two processes.

    Args:
        fault: What the second does before it begins.
    """

    def __init__(self, data: Path, work_dir: Path, fault: Callable[[], None] | None = None) -> None:
        super().__init__('faults', data, work_dir)
        self.fault = fault

    def _run(self, rank: int, port: int, fault: Callable[[], None] | None) -> None:
        if rank == 1 and self.fault:
            self.fault()
        super()._run(rank, port, fault)

    def start_training(self) -> None:
        """Start, and return when the first iterations are done."""
        self.start()
        while not self.times_said(r'Epoch\(train\) +\[2\]'):
            if self.wait(0.02) or self.codes:
                raise SystemExit(f'{self.work_dir}: {self.output.read_text()[-4000:]}')

    def wait_for_first(self) -> None:
        """Wait for the end of the first process, which is to be soon and with an error."""
        deadline = time.monotonic() + TIMEOUT + 60
        while 0 not in self.codes and time.monotonic() < deadline:
            self.wait(0.02)
        if self.codes.get(0) in (None, 0):
            raise SystemExit(f'{self.work_dir}: process 0 waits or ends well, {self.codes}')

    def go_on(self) -> None:
        """Resume without a fault, to the end."""
        self.kill()
        self.fault = None
        self.finish()


def check_training(data: Path, work_dir: Path) -> None:
    """Two processes train as one with batches of twice the size does."""
    ends = []
    for case in ('one', 'two'):
        run = Run(case, data, work_dir / case)
        run.finish()
        ends.append(safe_load(run.work_dir / 'epoch_2.pth')['state_dict'])
    before = safe_load(run.work_dir / 'epoch_1.pth')['state_dict']
    one, two = ends
    moved = max((two[name] - before[name]).abs().max().item() for name in two)
    apart = max((two[name] - one[name]).abs().max().item() for name in two)
    # rounding, which eight steps magnify
    if not (moved > 1e-3 and apart < 0.01 * moved):
        raise SystemExit(f'training: weights that move by {moved} differ by {apart}')
    print(f'training: weights that move by {moved:.2g} in an epoch differ by {apart:.2g}')


def check_death(data: Path, work_dir: Path) -> None:
    """When a process is killed, the other ends, and the run can be resumed."""
    run = FaultyRun(data, work_dir)
    run.start_training()
    os.kill(run.pids[1], signal.SIGKILL)
    run.wait_for_first()
    print(f'dies: the other process ends with {run.codes[0]}')
    run.go_on()


def check_hang(data: Path, work_dir: Path) -> None:
    """When a process hangs, the other ends after the time-out."""
    run = FaultyRun(data, work_dir)
    run.start_training()
    os.kill(run.pids[1], signal.SIGSTOP)
    run.wait_for_first()
    print(f'hangs: the other process ends with {run.codes[0]} after {TIMEOUT} s')
    run.go_on()


def spoil_features(iteration: int) -> None:
    """From an iteration on, no number comes out of the pooling."""
    forward, calls = GlobalAveragePooling.forward, count()

    def damaged(self: GlobalAveragePooling, x: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        out = forward(self, x)
        late = self.training and next(calls) >= iteration
        return tuple(y * float('nan') for y in out) if late else out

    GlobalAveragePooling.forward = damaged


def check_non_finite(data: Path, work_dir: Path) -> None:
    """When the loss of one process is not finite, both stop, and the run can be resumed."""
    images = len([*(data / 'imagenet/train').rglob('*.jpg')])
    iteration = -(-images // 16) + 1  # the second of the second epoch, from 0
    run = FaultyRun(data, work_dir, partial(spoil_features, iteration))
    run.start()
    run.wait(90)
    said = run.output.read_text()
    latest = Path((run.work_dir / 'last_checkpoint').read_text()).name
    expected = (
        f'The loss of iteration {iteration + 1} (in epoch 2) is not finite',
        'process 1: first layer with an output that is not finite: neck (GlobalAveragePooling)',
        'process 1: images of the batch: ',
        f'{run.work_dir / NON_FINITE} holds the state before that iteration',
    )
    missing = [line for line in expected if line not in said]
    if run.codes != {0: 1, 1: 1} or missing or latest != 'epoch_1.pth' or 'process 0' in said:
        raise SystemExit(f'{run.codes} {latest} {missing}\n{said[-4000:]}')
    safe_load(run.work_dir / NON_FINITE)
    print('non_finite: both processes stop')
    run.go_on()


def check_script(data: Path, work_dir: Path) -> None:
    """tools/dist_train.sh ends with an error when one of its processes is killed."""
    work_dir.mkdir(parents=True)
    (work_dir / 'deadly.py').write_text(DEADLY)
    config = work_dir / 'deadly_config.py'
    config.write_text(
        f"_base_ = ['{CONFIGS / CONFIG}.py']\n"
        "custom_imports = dict(imports=['vminet_mm', 'deadly'])\n"
        "custom_hooks = [dict(type='Deadly')]\n"
    )
    path = os.pathsep.join(filter(None, [str(work_dir), os.environ.get('PYTHONPATH')]))
    programs = f'{Path(sys.executable).parent}:{os.environ["PATH"]}'
    done = subprocess.run(
        ['bash', 'tools/dist_train.sh', config, '2', '--data-root', data / 'imagenet',
         '--work-dir', work_dir / 'run'],
        cwd=CONFIGS.parent,
        env=os.environ | {'PATH': programs, 'PYTHONPATH': path, 'OMP_NUM_THREADS': '1'},
        capture_output=True, text=True, timeout=300,
    )  # fmt: skip
    if done.returncode == 0 or 'SIGKILL' not in done.stderr:
        raise SystemExit(f'{done.returncode}\n{done.stderr[-4000:]}')
    print(f'script: tools/dist_train.sh ends with {done.returncode}')


DEADLY = """
import os, signal
from mmengine.dist import get_rank
from mmengine.hooks import Hook
from mmengine.registry import HOOKS

@HOOKS.register_module()
class Deadly(Hook):
    def after_train_iter(self, runner, *args, **kwargs):
        if get_rank() == 1 and runner.iter == 1:
            os.kill(os.getpid(), signal.SIGKILL)
"""
CHECKS = dict(
    gradients=check_gradients,
    training=check_training,
    dies=check_death,
    hangs=check_hang,
    non_finite=check_non_finite,
    script=check_script,
)


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('--cases', nargs='+', default=[*CHECKS], choices=CHECKS)
    parser.add_argument('--data', type=Path, help='the built-in data; made if not given')
    parser.add_argument('--work-dir', type=Path, help='by default a temporary folder')
    return parser.parse_args()


def main() -> None:
    args = parse_args()
    prepare()
    with tempfile.TemporaryDirectory() as folder:
        work_dir, data = args.work_dir or Path(folder), args.data or Path(folder) / 'data'
        if not data.exists():
            make_mini_data(data, num_train=16, num_val=6, seed=3)
        for case in args.cases:
            CHECKS[case](data, work_dir / case)
    print(f'{len(args.cases)} cases as they should be')


if __name__ == '__main__':
    main()
