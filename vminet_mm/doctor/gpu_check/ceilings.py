"""Versions, and what the device can do at most: bytes and products a second."""

import torch

from ...analysis.benchmark_report import environment
from .part import parse_args, publish, seconds_of

DTYPES = (torch.float32, torch.float16, torch.bfloat16)


def bandwidth(device: str, tiny: bool) -> float:
    """GB/s of a copy, which reads and writes each byte."""
    source = torch.empty(2**20 if tiny else 2**28, dtype=torch.uint8, device=device)
    target = torch.empty_like(source)
    return 2 * len(source) / seconds_of(lambda: target.copy_(source), device, tiny) / 1e9


def products(dtype: torch.dtype, device: str, tiny: bool) -> float:
    """TFLOP/s of a square matrix product."""
    edge = 128 if tiny else 8192
    a, b = torch.randn(2, edge, edge, device=device).to(dtype)
    return 2 * edge**3 / seconds_of(lambda: a @ b, device, tiny) / 1e12


def main() -> None:
    """Measure, print and write."""
    args = parse_args(__doc__)
    host = environment(dict(device=args.device, threads=torch.get_num_threads()))
    rows = [dict(what=name, value=str(value)) for name, value in host.items() if value]
    rows.append(dict(what='copy, GB/s', value=bandwidth(args.device, args.tiny)))
    for dtype in DTYPES:
        name = str(dtype).removeprefix('torch.')
        found = products(dtype, args.device, args.tiny)
        rows.append(dict(what=f'matrix product, {name}, TFLOP/s', value=found))
    publish(args.json, rows)


if __name__ == '__main__':
    main()
