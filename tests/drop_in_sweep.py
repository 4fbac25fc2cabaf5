"""Put VMINet in place of the backbone in a config of every algorithm folder of mmdet and mmseg,
and see whether it learns from and predicts a random batch:

python tests/drop_in_sweep.py
"""

import argparse
import sys
from pathlib import Path

from drop_in import report, rules
from drop_in.folders import LIBRARIES, list_folders
from drop_in.run import run_folders

from vminet_mm.engine import run_tool
from vminet_mm.errors import ConfigError
from vminet_mm.models import VMINet


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__,
        epilog=rules.__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument('--library', choices=[*LIBRARIES, 'all'], default='all', help='which; all')
    parser.add_argument('--only', nargs='+', metavar='NAME', help='these folders and no others')
    parser.add_argument(
        '--arch', choices=VMINet.arch_settings, default='ti', help='of VMINet; %(default)s'
    )
    parser.add_argument('--jobs', type=int, default=1, help='folders at the same time; %(default)s')
    parser.add_argument(
        '--timeout', type=float, default=300, help='seconds for a folder; %(default)g'
    )
    parser.add_argument('--json', metavar='FILE', help='write the outcomes there, too')
    return parser.parse_args()


def main(args: argparse.Namespace) -> None:
    if args.jobs < 1 or args.timeout <= 0:
        raise ConfigError('--jobs and --timeout take positive numbers')
    libraries = LIBRARIES if args.library == 'all' else (args.library,)
    folders = [(library, path) for library in libraries for path in list_folders(library)]
    if args.only:
        unknown = set(args.only) - {path.name for _, path in folders}
        if unknown:
            raise ConfigError(f'--only: {", ".join(libraries)} have no folder {sorted(unknown)}')
        folders = [(library, path) for library, path in folders if path.name in args.only]
    outcomes = []
    for outcome in run_folders(folders, args.arch, args.jobs, args.timeout):
        outcomes.append(outcome)
        print(f'{len(outcomes):3}/{len(folders)} {report.to_line(outcome)}', file=sys.stderr)
        if args.json:  # as far as it has come
            Path(args.json).write_text(report.to_json(outcomes) + '\n')
    print(report.to_markdown(outcomes))
    if not report.reaches_bar(outcomes):
        raise SystemExit(1)


if __name__ == '__main__':
    run_tool(main, parse_args())
