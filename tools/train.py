"""Train a detector, segmentor or classifier: python tools/train.py CONFIG [switches]."""

import argparse

from vminet_mm.engine import add_arguments, run_tool, train


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('config', help='config file')
    add_arguments(parser)
    parser.add_argument('--amp', action='store_true', help='train in mixed precision')
    parser.add_argument(
        '--auto-scale-lr',
        action='store_true',
        help="scale the learning rate from the config's base batch size to the actual one",
    )
    parser.add_argument(
        '--resume',
        nargs='?',
        const='auto',
        help='go on from this checkpoint, or without a value from the latest in the work dir',
    )
    parser.add_argument(
        '--show-groups',
        action='store_true',
        help='print learning rate and weight decay of the parameters, and do not train',
    )
    parser.add_argument(
        '--pretrained', metavar='CHECKPOINT', help='ImageNet weights that the backbone starts from'
    )
    return parser.parse_args()


if __name__ == '__main__':
    run_tool(train, parse_args())
