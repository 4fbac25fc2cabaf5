"""The operators that take most of a training step and of an inference of XS."""

import json
from pathlib import Path

import torch
from torch.profiler import ProfilerActivity, profile

from ...analysis.benchmark import Case, Settings
from ...analysis.model_zoo import parse_spec
from .part import parse_args

ROWS = 15


def main() -> None:
    """Print a table of each; write the names and times of its rows."""
    args = parse_args(__doc__)
    is_cuda = torch.device(args.device).type == 'cuda'
    numbers = dict(batch=2 if args.tiny else 128, amp=True, dtype='fp16' if is_cuda else 'bf16')
    settings = Settings(device=args.device, **numbers)
    size = (32, 32) if args.tiny else (224, 224)
    activities = [ProfilerActivity.CPU] + [ProfilerActivity.CUDA] * is_cuda
    kind, found = ('device' if is_cuda else 'cpu'), {}
    for mode in ('infer', 'train'):
        case = Case(parse_spec('vminet-xs'), mode, size, 'channels_last', settings)
        case()
        with profile(activities=activities) as profiler:
            case()
        averages = profiler.key_averages()
        by = f'self_{kind}_time_total'
        print(mode, averages.table(sort_by=by, row_limit=ROWS, max_name_column_width=60), sep='\n')
        found[mode] = {row.key: getattr(row, by) for row in averages}
    Path(args.json).write_text(json.dumps(found, indent=2))


if __name__ == '__main__':
    main()
