"""Time classifiers against each other: python tools/analysis_tools/benchmark.py MODEL..."""

import argparse

from vminet_mm.analysis import model_zoo
from vminet_mm.analysis.benchmark import DEFAULT_MODELS, MEMORY_FORMATS, MODES, run_benchmark
from vminet_mm.analysis.benchmark_switches import add_switches, make_settings, publish
from vminet_mm.engine import run_tool
from vminet_mm.errors import ConfigError
from vminet_mm.visualization.benchmark_plots import save_plot

COMPILE_MODES = ['default', 'reduce-overhead', 'max-autotune', 'max-autotune-no-cudagraphs']


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__,
        epilog=model_zoo.__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        'models',
        nargs='*',
        default=DEFAULT_MODELS,
        metavar='MODEL',
        help=f'see below; by default {" ".join(DEFAULT_MODELS)}',
    )
    parser.add_argument(
        '--mode',
        choices=[*MODES, 'both'],
        default='infer',
        help='a forward pass, a training step (forward, loss, backward, SGD), or both',
    )
    parser.add_argument('--batch', type=int, help='images in a batch; by default 8, with --sizes 1')
    size = parser.add_mutually_exclusive_group()
    size.add_argument(
        '--size', type=int, nargs='+', default=[224], help='of the images: EDGE or H W; 224'
    )
    size.add_argument(
        '--sizes', type=int, nargs='+', metavar='EDGE', help='square images of several sizes'
    )
    parser.add_argument(
        '--memory-format',
        choices=[*MEMORY_FORMATS, 'best'],
        default='best',
        help='best tries both and takes for each model the faster one',
    )
    parser.add_argument(
        '--compile',
        nargs='?',
        const='default',
        choices=COMPILE_MODES,
        metavar='MODE',
        help='torch.compile the models, by default in its mode default',
    )
    parser.add_argument(
        '--baseline', metavar='MODEL', help='that ratios refer to; the reference, or the first'
    )
    add_switches(parser)
    parser.add_argument('--plot', metavar='FILE.png', help='draw time against accuracy or size')
    return parser.parse_args()


def main(args: argparse.Namespace) -> None:
    if len(args.size) > 2:
        raise ConfigError(f'--size takes one or two numbers, not {args.size}')
    sizes = [(edge, edge) for edge in args.sizes or ()] or [(args.size[0], args.size[-1])]
    try:
        settings = make_settings(
            args,
            memory_format=args.memory_format,
            compile=args.compile,
            batch=args.batch or (1 if args.sizes else 8),
            sizes=tuple(sizes),
            modes=MODES if args.mode == 'both' else (args.mode,),
        )
        specs = [model_zoo.parse_spec(text) for text in args.models]
        report = run_benchmark(specs, settings, args.baseline)
    except ValueError as error:
        raise ConfigError(str(error)) from error
    publish(report, args)
    if args.plot:
        print(f'written: {save_plot(args.plot, report)}')


if __name__ == '__main__':
    run_tool(main, parse_args())
