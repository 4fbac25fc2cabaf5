"""Draw what VMI-SA looks at: python tools/visualization/context.py CONFIG [CHECKPOINT] --images ...

Up to four PNG files: the token weights of the blocks, how much the context counts in each block and
at each token, and the effective receptive field.
"""

import argparse
from pathlib import Path

import torch.nn.functional as F

from vminet_mm.engine import add_cfg_options, load_config, run_tool
from vminet_mm.errors import ConfigError
from vminet_mm.inference.loading import add_device, load_model
from vminet_mm.models import set_image_sizes
from vminet_mm.visualization.context_maps import (
    area_of,
    find_attentions,
    find_backbone,
    measure_context,
    receptive_field,
    token_fields,
)
from vminet_mm.visualization.context_plots import (
    AREAS,
    save_fields,
    save_fraction_maps,
    save_fractions,
    save_receptive_field,
)
from vminet_mm.visualization.context_ranks import context_ranks, ranks_as_table
from vminet_mm.visualization.loading import LoadedModel, Sample


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('config', help='config file')
    parser.add_argument('checkpoint', nargs='?', help='checkpoint file; without it random weights')
    parser.add_argument(
        '--images',
        nargs='+',
        default=[],
        metavar='IMAGE',
        help='image files; without them only the token weights are drawn',
    )
    parser.add_argument(
        '--blocks',
        nargs='+',
        metavar='STAGE.BLOCK',
        help='counted from 1, such as 3.18; by default all, for maps the last one of each stage',
    )
    parser.add_argument(
        '--channels', nargs='+', type=int, default=[], help='hidden channels drawn beside the mean'
    )
    parser.add_argument(
        '--rank', action='store_true', help='print the ranks of E under the masks of Table 4'
    )
    parser.add_argument('--out-dir', metavar='DIR', help='by default work_dirs/<config>/context')
    add_device(parser)
    add_cfg_options(parser)
    return parser.parse_args()


def main(args: argparse.Namespace) -> None:
    cfg = load_config(args.config, args.cfg_options)
    out = Path(args.out_dir or Path(cfg.work_dir) / 'context')
    loaded = LoadedModel.of(load_model(cfg, args.checkpoint, args.device))
    try:
        backbone = find_backbone(loaded.model)
        blocks = find_attentions(backbone, args.blocks)
        fields = {name: token_fields(block, args.channels) for name, block in blocks.items()}
    except ValueError as error:
        raise ConfigError(str(error)) from error
    print(f'token weights: {save_fields(out / "fields.png", fields)}')
    if args.images:
        samples = [loaded.read(image) for image in args.images]
        last = {name.split('.')[0]: name for name in blocks}  # the last of each stage
        draw_fractions(out, backbone, samples, args.blocks or list(last.values()))
        draw_receptive_field(out, backbone, samples, loaded.name)
        if args.rank:
            print(ranks_as_table(context_ranks(backbone, [sample.inputs for sample in samples])))
    elif args.rank:
        raise ConfigError('--rank is of what the blocks see: give --images')


def draw_fractions(out: Path, backbone, samples: list[Sample], blocks: list[str]) -> None:
    measured = [measure_context(backbone, sample.inputs) for sample in samples]
    for name in measured[0]:
        fractions = [float(found[name].fractions[0]) for found in measured]
        print(f'block {name:>5}: context fraction {sum(fractions) / len(fractions):.3f}')
    print(f'context fraction of the blocks: {save_fractions(out / "fraction.png", measured)}')
    maps = save_fraction_maps(out / 'fraction_maps.png', samples, measured, blocks)
    print(f'context fraction of the tokens: {maps}')


def draw_receptive_field(out: Path, backbone, samples: list[Sample], name: str) -> None:
    size = samples[0].inputs.shape[2:]
    inputs = [
        # the gradients of all can be added up in one size only
        set_image_sizes(
            F.interpolate(sample.inputs, size=size, mode='bilinear', antialias=True), [size]
        )
        for sample in samples
    ]
    field = receptive_field(backbone, inputs)
    for fraction in AREAS:
        print(
            f'{fraction:.0%} of the receptive field in {area_of(field, fraction):.1%} of the pixels'
        )
    title = f'{name}\neffective receptive field, {len(samples)} image(s) of {size[0]} x {size[1]}'
    print(f'receptive field: {save_receptive_field(out / "receptive_field.png", field, title)}')


if __name__ == '__main__':
    run_tool(main, parse_args())
