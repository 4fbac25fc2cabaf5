"""Count bytes and launches of classifiers: python tools/analysis_tools/traffic.py MODEL..."""

import argparse
import json
from pathlib import Path

from vminet_mm.analysis import model_zoo
from vminet_mm.analysis.benchmark import DTYPES, MEMORY_FORMATS
from vminet_mm.analysis.traffic import count_model, to_json, to_table
from vminet_mm.analysis.traffic_compiled import count_compiled, to_compiled_table
from vminet_mm.engine import run_tool
from vminet_mm.errors import ConfigError

DEFAULT_MODELS = (
    'vminet-xs:impl=triton,deploy',
    'vminet-xs:impl=triton',
    'reference-xs',
    'starnet_s4',
)


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
    parser.add_argument('--batch', type=int, default=128, help='images in a batch; %(default)s')
    parser.add_argument('--size', type=int, nargs=2, default=[224, 224], metavar=('H', 'W'))
    parser.add_argument('--dtype', choices=DTYPES, default='fp16', help='of weights and images')
    parser.add_argument('--memory-format', choices=MEMORY_FORMATS, default='contiguous')
    either = parser.add_mutually_exclusive_group()
    either.add_argument('--gbps', type=float, help='bandwidth in GB/s: adds the time it allows')
    either.add_argument(
        '--compile', action='store_true', help="blocks in inference, by Inductor's own count"
    )
    parser.add_argument('--json', metavar='FILE', help='write the counts by block there')
    return parser.parse_args()


def main(args: argparse.Namespace) -> None:
    if min(args.batch, *args.size) < 1 or (args.gbps is not None and args.gbps <= 0):
        raise ConfigError('--batch, --size and --gbps take positive numbers')
    options = args.batch, tuple(args.size), DTYPES[args.dtype], MEMORY_FORMATS[args.memory_format]
    count = count_compiled if args.compile else count_model
    try:
        counts = [count(model_zoo.parse_spec(text), *options) for text in args.models]
    except ValueError as error:
        raise ConfigError(str(error)) from error
    print(to_compiled_table(counts) if args.compile else to_table(counts, args.gbps))
    if args.json:
        path = Path(args.json)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(to_json(counts), indent=2) + '\n')
        print(f'written: {path}')


if __name__ == '__main__':
    run_tool(main, parse_args())
