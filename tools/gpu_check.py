"""Say what a GPU does with this package, right or wrong, and how fast:

python tools/gpu_check.py [--only STEPS] [--out DIR] [--minutes 8]
"""

import argparse
import sys
from pathlib import Path

import torch

from vminet_mm.doctor.gpu_check import STEPS, as_page, run_steps
from vminet_mm.doctor.gpu_check.steps import Plan
from vminet_mm.engine import run_tool
from vminet_mm.errors import ConfigError


def parse_args() -> argparse.Namespace:
    names = ', '.join(step.name for step in STEPS)
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument('--only', nargs='+', metavar='STEP', help=f'of {names}')
    parser.add_argument('--out', metavar='DIR', default='work_dirs/gpu_check', help='%(default)s')
    parser.add_argument('--minutes', type=float, default=8, help='for all steps; %(default)s')
    parser.add_argument('--tiny', action='store_true', help='small and on the CPU')
    return parser.parse_args()


def main(args: argparse.Namespace) -> None:
    unknown = {*(args.only or ())} - {step.name for step in STEPS}
    if unknown:
        names = ', '.join(step.name for step in STEPS)
        raise ConfigError(f'--only knows no {", ".join(sorted(unknown))}; choose of {names}')
    if not (args.tiny or torch.cuda.is_available()):
        raise ConfigError('torch sees no GPU here; --tiny runs everything small on the CPU')
    out = Path(args.out).absolute()
    out.mkdir(parents=True, exist_ok=True)
    plan = Plan(out, 'cpu' if args.tiny else 'cuda', args.tiny)
    steps = [step for step in STEPS if args.only is None or step.name in args.only]
    with (out / 'gpu_check.log').open('w') as log:
        outcomes = run_steps(steps, plan, args.minutes, log)
    page = as_page(outcomes, ' '.join(['python', *sys.argv]))
    (out / 'gpu_check.md').write_text(page)
    print(page)
    failed = [one.name for one in outcomes if one.code]
    if failed:
        raise SystemExit(f'failed: {", ".join(failed)}; see {out / "gpu_check.log"}')


if __name__ == '__main__':
    run_tool(main, parse_args())
