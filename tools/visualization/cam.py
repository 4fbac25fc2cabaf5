"""Draw class activation maps: python tools/visualization/cam.py IMAGE... --model CONFIG CHECKPOINT

A grid over images (rows), models and layers (columns) in one PNG file.
"""

import argparse

from vminet_mm.engine import add_cfg_options, load_config, run_tool
from vminet_mm.errors import ConfigError
from vminet_mm.inference.loading import add_device, load_model
from vminet_mm.visualization.cam import (
    METHODS,
    Column,
    choose_layers,
    explain,
    save_grid,
)
from vminet_mm.visualization.cam_scores import REGIONS, Settings
from vminet_mm.visualization.loading import LoadedModel


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('images', nargs='+', metavar='IMAGE', help='image files')
    parser.add_argument(
        '--model',
        nargs='+',
        action='append',
        required=True,
        metavar=('CONFIG', 'CHECKPOINT'),
        help='a config and its checkpoint, or random weights without one; may be repeated',
    )
    parser.add_argument('--method', choices=METHODS, default='gradcam', help='%(default)s')
    parser.add_argument(
        '--layers',
        nargs='+',
        metavar='NAME',
        help='modules such as backbone.stages.3.2; by default the last block of each stage',
    )
    parser.add_argument(
        '--target-category',
        metavar='CLASS',
        help='name or number; by default what each model predicts most',
    )
    parser.add_argument(
        '--region',
        choices=REGIONS,
        default='predicted',
        help='the locations of a segmentor whose logits of the class count; %(default)s',
    )
    parser.add_argument(
        '--score-thr',
        type=float,
        default=0.3,
        help="the score from which a detector's detections count; %(default)s",
    )
    parser.add_argument(
        '--out', default='work_dirs/cam.png', metavar='FILE.png', help='%(default)s'
    )
    add_device(parser)
    add_cfg_options(parser)
    args = parser.parse_args()
    if any(len(pair) > 2 for pair in args.model):
        parser.error('--model takes a config and one checkpoint; repeat it for another model')
    return args


def main(args: argparse.Namespace) -> None:
    models = [
        LoadedModel.of(
            load_model(
                load_config(config, args.cfg_options), *checkpoint or [None], device=args.device
            )
        )
        for config, *checkpoint in args.model
    ]
    settings = Settings(args.method, args.target_category, args.region, args.score_thr)
    columns = []
    try:
        chosen = choose_layers([loaded.model for loaded in models], args.layers)
        for loaded, layers in zip(models, chosen, strict=True):
            samples = [loaded.read(image) for image in args.images]
            explanations = [explain(loaded, sample, layers, settings) for sample in samples]
            columns.append(Column(loaded.name, samples, explanations))
    except ValueError as error:
        raise ConfigError(str(error)) from error
    print(f'written: {save_grid(args.out, columns, args.method)}')


if __name__ == '__main__':
    run_tool(main, parse_args())
