"""Write a page of a run's results: python tools/report.py WORK_DIR

One HTML file with curves, metrics beside the paper's, values by class, the best and the worst
predictions, the environment and the config. It needs no network to be read.
"""

import argparse
import sys
from pathlib import Path

from vminet_mm.engine import load_config, run_tool
from vminet_mm.errors import CheckpointError, ConfigError
from vminet_mm.visualization.report import predict, read_work_dir, write_report

CONFIGS = Path(__file__).parents[1] / 'configs'


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('work_dir', help='folder that tools/train.py wrote')
    parser.add_argument('--out', metavar='FILE.html', help='by default WORK_DIR/report.html')
    parser.add_argument('--checkpoint', help='by default that of the best validation')
    parser.add_argument(
        '--num-images',
        type=int,
        default=100,
        metavar='N',
        help='validation images, evenly spread, to predict for; 0 for no predictions; %(default)s',
    )
    parser.add_argument('--data-root', help='folder that every data set of the config is read from')
    parser.add_argument('--device', default='auto', help='cpu, cuda or cuda:N; %(default)s')
    args = parser.parse_args()
    if args.num_images < 0:
        parser.error('--num-images takes 0 or a positive number')
    return args


def main(args: argparse.Namespace) -> None:
    work = read_work_dir(args.work_dir)
    out = Path(args.out or work.folder / 'report.html')
    if out.is_dir():
        raise ConfigError(f'--out {out} is a folder; give a file that ends with .html')
    predictions, remark = None, '--num-images 0 was given'
    if args.num_images:
        try:
            cfg = load_config(work.config_file, data_root=args.data_root)
            checkpoint = args.checkpoint or work.checkpoint()
            predictions = predict(cfg, checkpoint, args.num_images, args.device)
        except (ConfigError, CheckpointError) as error:
            if args.checkpoint or args.data_root:
                raise  # what was asked for cannot be had
            remark = str(error).splitlines()[0]
            print(f'no predictions: {error}', file=sys.stderr)
    write_report(out, work, CONFIGS, predictions, remark)
    print(f'written: {out} ({out.stat().st_size / 2**20:.1f} MiB)')


if __name__ == '__main__':
    run_tool(main, parse_args())
