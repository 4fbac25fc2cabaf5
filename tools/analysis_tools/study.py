"""Train backbones on real pictures on equal terms: python tools/analysis_tools/study.py STUDY"""

import argparse
from collections.abc import Sequence
from pathlib import Path

import torch

from vminet_mm.analysis.study import STUDIES, StudyRun, study_rows, study_runs, to_table
from vminet_mm.analysis.study_training import train_unfinished
from vminet_mm.engine import run_tool
from vminet_mm.errors import ConfigError
from vminet_mm.visualization.curves import RunCurves, choose_keys, read_curves, save_curves


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('study', choices=STUDIES, help='the data set, or the ablation on CIFAR-10')
    parser.add_argument('--data-root', help='where it lies; by default where the configs say')
    parser.add_argument('--out', default='work_dirs/study', help='folder of all runs; %(default)s')
    parser.add_argument(
        '--full', action='store_true', help='train the configs as shipped: needs a GPU'
    )
    parser.add_argument('--only', nargs='+', default=(), metavar='NAME', help='these members alone')
    return parser.parse_args()


def main(args: argparse.Namespace) -> None:
    if args.full and not torch.cuda.is_available():
        raise ConfigError('--full needs a GPU, and there is none: leave it out')
    runs = study_runs(args.study, args.out, args.full, args.only)
    every = study_runs(args.study, args.out, args.full)
    for finished in train_unfinished(runs, args.data_root):
        if finished:  # the table is that of all members, also of those that --only leaves out
            done = [run for run in every if run.result() is not None]
            changed = [run for run in done if run.changes()]
            write_results(args, [run for run in done if run not in changed])
            for run in changed:
                print(f'left out: {run.folder} was trained with other settings than are set now')


def write_results(args: argparse.Namespace, finished: Sequence[StudyRun]) -> None:
    """Print the table, and write it and the curves beside the folders of the runs."""
    table = to_table(study_rows(finished), STUDIES[args.study].metric)
    folder = Path(args.out) / args.study / ('full' if args.full else 'small')
    (folder / 'table.md').write_text(f'{table}\n')
    curves = [
        RunCurves(f'{run.member}, seed {run.seed}', read_curves(run.folder).curves)
        for run in finished
    ]
    save_curves(folder / 'curves.png', curves, choose_keys(curves))
    print(f'{table}\nwritten: {folder}/table.md, {folder}/curves.png', flush=True)


if __name__ == '__main__':
    run_tool(main, parse_args())
