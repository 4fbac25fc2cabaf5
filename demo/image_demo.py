"""Predict for images, folders, videos or a camera, with a detector, segmentor or classifier.

python demo/image_demo.py INPUT [INPUT ...] --config CONFIG --checkpoint CHECKPOINT [switches]
python demo/image_demo.py INPUT [INPUT ...] --model mask-rcnn_vminet-ti_nuclei [switches]
"""

import argparse

from vminet_mm.engine import add_cfg_options, run_tool
from vminet_mm.inference.demo import predict


def fraction(text: str) -> float:
    """A number from 0 to 1."""
    value = float(text)
    if not 0 <= value <= 1:
        raise ValueError
    return value


def count(text: str) -> int:
    """A whole number from 1."""
    value = int(text)
    if value < 1:
        raise ValueError
    return value


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.partition('\n')[0])
    parser.add_argument(
        'inputs',
        nargs='+',
        metavar='INPUT',
        help="image, folder, pattern such as 'photos/**/*.jpg', video, or number of a camera",
    )
    parser.add_argument('--config', help='config file')
    parser.add_argument('--checkpoint', help='checkpoint file')
    parser.add_argument(
        '--model', metavar='NAME', help='a shipped model, instead of --config and --checkpoint'
    )
    parser.add_argument(
        '--out-dir', default='work_dirs/predictions', help='where the drawn pictures go'
    )
    parser.add_argument('--no-pictures', action='store_true', help='draw nothing')
    parser.add_argument('--json', metavar='FILE', help='write the predictions there')
    parser.add_argument(
        '--coco-json', metavar='FILE', help="write all objects there, in COCO's format of results"
    )
    parser.add_argument(
        '--coco-ann',
        metavar='FILE',
        help='annotation file whose numbers of images and classes --coco-json takes',
    )
    parser.add_argument(
        '--save-labels', metavar='DIR', help='write a label map (PNG) of each image there'
    )
    parser.add_argument(
        '--score-thr',
        type=fraction,
        default=0.3,
        help='minimum score, drawn and in --json',
    )
    parser.add_argument('--batch-size', type=count, default=1, help='images at a time')
    parser.add_argument('--device', default='auto', help='auto, cpu, cuda, cuda:1, ...')
    parser.add_argument('--deploy', action='store_true', help='fold the backbone, to be faster')
    parser.add_argument(
        '--max-frames', type=count, metavar='N', help='end a video or camera after N frames'
    )
    add_cfg_options(parser)
    args = parser.parse_args()
    if args.model and (args.config or args.checkpoint):
        parser.error('--model stands for --config and --checkpoint: give it alone')
    if not args.model and not (args.config and args.checkpoint):
        parser.error('give --config and --checkpoint, or the --model of a shipped model')
    return args


if __name__ == '__main__':
    run_tool(predict, parse_args())
