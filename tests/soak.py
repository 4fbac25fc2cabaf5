"""Train for long, with validations and checkpoints in between, and see whether memory and file
handles stay what they are.

    python tests/soak.py [--iterations 2000] [switches]
"""

import argparse
import tempfile
import time
from dataclasses import astuple
from pathlib import Path

from resume_runs import CASES, Run
from usage import Usage, UsageHook, growth

from vminet_mm.datasets import make_mini_data
from vminet_mm.engine import run_tool, train

TOLERANCE = 0.05
SAMPLES = 100  # of a run
CYCLES = 20  # validations and checkpoints of a run, so two in a tenth of it


def soak(case: str, iterations: int, data: Path, work_dir: Path) -> list[Usage]:
    """Train so many iterations; returns the usage at some of them."""
    args = Run(case, data, work_dir).args
    args.resume = None
    cycle = max(1, iterations // CYCLES)
    options = {k: v for k, v in args.cfg_options.items() if not k.startswith('train_cfg')}
    watch = dict(type='UsageHook', interval=max(1, iterations // SAMPLES))
    args.cfg_options = options | {
        'randomness.seed': 7,
        'param_scheduler': [],
        'train_cfg': dict(
            _delete_=True, type='IterBasedTrainLoop', max_iters=iterations, val_interval=cycle
        ),
        'train_dataloader.sampler': dict(_delete_=True, type='InfiniteSampler', shuffle=True),
        'default_hooks.logger.interval': 10,
        'default_hooks.checkpoint.by_epoch': False,
        'default_hooks.checkpoint.interval': cycle,
        'custom_hooks': [*options['custom_hooks'], watch],
    }
    run_tool(train, args)
    return UsageHook.seen


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('--iterations', type=int, default=2000)
    cases = [case for case in CASES if case.endswith('-1')]  # of one process
    parser.add_argument('--case', default='iterations-1', choices=cases)
    parser.add_argument('--data', type=Path, help='the built-in data; made if not given')
    parser.add_argument('--work-dir', type=Path, help='by default a temporary folder')
    return parser.parse_args()


def main() -> None:
    args = parse_args()
    began = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        work_dir, data = args.work_dir or Path(folder), args.data or Path(folder) / 'data'
        if not data.exists():
            make_mini_data(data, num_train=16, num_val=6, seed=3)
        seen = soak(args.case, args.iterations, data, work_dir / 'run')
    seconds = time.monotonic() - began
    print('iteration | memory in MiB | file handles | processes')
    tenth = max(1, len(seen) // 10)
    for one in seen[tenth - 1 :: tenth]:
        print(' | '.join(f'{value:.0f}' for value in astuple(one)))
    changes = {
        'memory': growth([one.memory for one in seen]),
        'file handles': growth([one.handles for one in seen]),
    }
    told = ', '.join(f'{name} {change:+.2%}' for name, change in changes.items())
    print(f'{args.case}: {args.iterations} iterations in {seconds:.0f} s: {told}')
    if max(map(abs, changes.values())) > TOLERANCE:
        raise SystemExit(f'not stable within {TOLERANCE:.0%}')


if __name__ == '__main__':
    main()
