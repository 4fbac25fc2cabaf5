"""Export a classifier, a segmentor or a detector, from image to result, as ONNX or torch.export.

Of a detector, torch.export takes backbone and neck alone.
"""

import argparse

from vminet_mm.engine import add_cfg_options, load_config, run_tool
from vminet_mm.errors import ConfigError
from vminet_mm.export import export, require_small


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('config', help='config file')
    parser.add_argument('checkpoint', help='checkpoint file')
    parser.add_argument('--out', metavar='FILE', help='what to write; by default CHECKPOINT.onnx')
    parser.add_argument(
        '--format', choices=['onnx', 'pt2'], default='onnx', help='ONNX, or torch.export'
    )
    parser.add_argument('--opset', type=int, default=20, help="version of ONNX's operators")
    parser.add_argument(
        '--shape',
        type=int,
        nargs=2,
        metavar=('H', 'W'),
        help='size to trace and verify with; any other can be fed to the file',
    )
    parser.add_argument(
        '--fixed-size', action='store_true', help='images of --shape alone, which is quicker'
    )
    parser.add_argument(
        '--outputs',
        nargs='+',
        default=[],
        metavar='NAME',
        help='logits, probabilities (classifier); logits, classes (segmentor); boxes, scores, '
        'labels, image_index, masks (detector), or maps, or stride4, stride8, ... for its backbone '
        'and neck; by default all',
    )
    parser.add_argument(
        '--verify', action='store_true', help='compare with torch at three sizes, to rounding'
    )
    parser.add_argument(
        '--paste', action='store_true', help='masks of a detector over the whole image'
    )
    parser.add_argument(
        '--simplify-input',
        choices=['uint8'],
        help='take pictures as they are, (B, H, W, 3) uint8 RGB, and prepare them',
    )
    parser.add_argument(
        '--int8', action='store_true', help='quantize; with --calibrate and --simplify-input uint8'
    )
    parser.add_argument(
        '--calibrate', metavar='DIR', help='folder of images like those that will be seen'
    )
    add_cfg_options(parser)
    return parser.parse_args()


def main(args: argparse.Namespace) -> None:
    if args.int8 != (args.calibrate is not None):
        raise ConfigError('--int8 and --calibrate DIR go together')
    done = export(
        load_config(args.config, args.cfg_options),
        args.checkpoint,
        args.out,
        args.format,
        args.opset,
        args.shape,
        args.outputs,
        args.verify,
        args.paste,
        args.simplify_input == 'uint8',
        args.calibrate,
        args.fixed_size,
    )
    print(done)
    require_small(done.differences)


if __name__ == '__main__':
    run_tool(main, parse_args())
