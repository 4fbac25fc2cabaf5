"""Test an exported ONNX file: python tools/deployment/test_onnx.py CONFIG FILE.onnx [switches].

The config's test set goes through onnxruntime, and its evaluators report top-1, mIoU, or box and
mask AP, as tools/test.py does of a checkpoint.
"""

import argparse
import json
from pathlib import Path

from vminet_mm.engine import add_cfg_options, load_config, run_tool
from vminet_mm.export import score


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('config', help='config file')
    parser.add_argument('model', help='file of tools/deployment/export_onnx.py')
    parser.add_argument('--work-dir', help='where the log goes')
    parser.add_argument('--data-root', help='folder that every data set of the config is read from')
    parser.add_argument('--metrics', metavar='FILE.json', help='write the metrics there, too')
    parser.add_argument(
        '--provider', default='CPUExecutionProvider', help="onnxruntime's execution provider"
    )
    add_cfg_options(parser)
    return parser.parse_args()


def main(args: argparse.Namespace) -> None:
    cfg = load_config(args.config, args.cfg_options, args.data_root, args.work_dir)
    metrics = score(cfg, args.model, args.provider)
    if args.metrics:
        Path(args.metrics).write_text(json.dumps(metrics, indent=2))


if __name__ == '__main__':
    run_tool(main, parse_args())
