"""Test a checkpoint: python tools/test.py CONFIG CHECKPOINT [switches]."""

import argparse

from vminet_mm.engine import add_arguments, run_tool, test


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('config', help='config file')
    parser.add_argument('checkpoint', help='checkpoint file')
    add_arguments(parser)
    parser.add_argument('--out', help='keep the predictions: FILE.pkl, or a folder (segmentation)')
    parser.add_argument('--metrics', metavar='FILE.json', help='write the metrics there, too')
    parser.add_argument('--show', action='store_true', help='show predictions in a window')
    parser.add_argument(
        '--show-dir', help='draw predictions beside the ground truth into this folder'
    )
    parser.add_argument('--wait-time', type=float, default=2.0, help='seconds a window stays')
    parser.add_argument('--tta', action='store_true', help='test-time augmentation')
    parser.add_argument(
        '--deploy', action='store_true', help='fold the backbone first, for the same result faster'
    )
    return parser.parse_args()


if __name__ == '__main__':
    run_tool(test, parse_args())
