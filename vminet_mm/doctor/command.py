"""The command line of the doctor."""

import argparse
import faulthandler
import io
import json
import sys
import warnings
from contextlib import redirect_stderr, redirect_stdout

from .diagnosis import diagnose
from .report import as_dict, as_text, can_train


def parse_args() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description='Say what is installed, what is wrong and what fixes it.',
        epilog='The exit code is 0 if training can run, else 1.',
    )
    parser.add_argument('--config', help='look at what this config needs, too')
    parser.add_argument('--data-root', help='folder that every data set of the config is read from')
    parser.add_argument('--json', action='store_true', help='print JSON')
    return parser.parse_args()


def main(installed: bool = True) -> int:
    """Print the diagnosis; the exit code is 0 if training can run."""
    args = parse_args()
    faulthandler.enable(sys.__stderr__)  # if a library ends the process, this says which
    noise = io.StringIO()
    with warnings.catch_warnings(), redirect_stdout(noise), redirect_stderr(noise):
        warnings.simplefilter('ignore')
        sections = diagnose(args.config, args.data_root, installed)
    print(json.dumps(as_dict(sections), indent=2) if args.json else as_text(sections))
    return 0 if can_train(sections) else 1
