"""Operators of a block alone: depth-wise 7x7, 1x1 convolution against linear, VMI-SA, and more."""

from collections.abc import Callable, Iterator

import torch
import torch.nn.functional as F
from torch import Tensor

from ...ops import choose_op, make_mask, mask_spans
from .ceilings import bandwidth
from .part import parse_args, publish, seconds_of

LAYOUTS = dict(NCHW=torch.contiguous_format, NHWC=torch.channels_last)
DTYPES = (torch.float32, torch.float16, torch.bfloat16)
STAGES = ((48, 56), (96, 28), (192, 14), (384, 7))  # channels and edge of XS at 224 x 224
EXPANSION = 2
ELEMENTS_PER_THREAD = (4, 8, 16, 32)  # swept: fewer warps each time


class Bench:
    """Times operators on one device.

    Args:
        device (str): ``'cuda'`` or ``'cpu'``.
        tiny (bool): Whether to cut everything small.
    """

    def __init__(self, device: str, tiny: bool) -> None:
        self.device, self.tiny = device, tiny
        self.batch = 1 if tiny else 128
        self.stages = ((4, 7),) if tiny else STAGES
        self.dtypes = DTYPES[:1] if tiny else DTYPES
        self.copy = bandwidth(device, tiny)

    def row(self, what: str, function: object, tensors: list[Tensor]) -> dict:
        """A call's time, and that of a copy at the ceiling of the bytes that it must move."""
        seconds = seconds_of(function, self.device, self.tiny)
        ideal = sum(x.numel() * x.element_size() for x in tensors) / self.copy / 1e9
        return {'operator': what, 'ms': seconds * 1e3, 'times the ceiling': seconds / ideal}

    def images(self, channels: int, edge: int, dtype: torch.dtype, layout: str) -> Tensor:
        """Noise (B, C, edge, edge) in a memory format."""
        x = torch.randn(self.batch, channels, edge, edge, device=self.device, dtype=dtype)
        return x.contiguous(memory_format=LAYOUTS[layout])


def convolutions(bench: Bench) -> Iterator[dict]:
    """Depth-wise 7x7: forward, gradient of the input and of the weight."""
    for dtype in bench.dtypes:
        for layout in LAYOUTS:
            for channels, edge in bench.stages:
                x = bench.images(channels, edge, dtype, layout)
                weight = torch.randn(channels, 1, 7, 7, device=bench.device, dtype=dtype)
                name = f'{channels} x {edge}^2 {layout} {dtype}'.replace('torch.', '')
                options = dict(padding=3, groups=channels)
                forward = lambda: F.conv2d(x, weight, **options)  # noqa: B023, E731
                yield bench.row(f'dw7x7 forward {name}', forward, [x, x])
                for part, wanted in (('dgrad', [True, False]), ('wgrad', [False, True])):
                    backward = lambda: torch.ops.aten.convolution_backward(  # noqa: E731
                        x, x, weight, None, [1, 1], [3, 3], [1, 1], False, [0, 0],  # noqa: B023
                        channels, [*wanted, False],  # noqa: B023
                    )  # fmt: skip
                    yield bench.row(f'dw7x7 {part} {name}', backward, [x, x])


def projections(bench: Bench) -> Iterator[dict]:
    """W1 and W2 as a 1x1 convolution, and as a linear layer on the NHWC view."""
    for dtype in bench.dtypes:
        for channels, edge in bench.stages:
            x = bench.images(channels, edge, dtype, 'NHWC')
            weight = torch.randn(2 * EXPANSION * channels, channels, device=bench.device).to(dtype)
            bias, name = weight[:, 0].contiguous(), f'{channels} x {edge}^2 {dtype}'
            moved = [x] * (1 + 2 * EXPANSION)
            conv = lambda: F.conv2d(x, weight[..., None, None], bias)  # noqa: B023, E731
            linear = lambda: F.linear(x.permute(0, 2, 3, 1), weight, bias)  # noqa: B023, E731
            yield bench.row(f'1x1 convolution {name}'.replace('torch.', ''), conv, moved)
            yield bench.row(f'linear {name}'.replace('torch.', ''), linear, moved)


def attention(bench: Bench) -> Iterator[dict]:
    """VMI-SA of each stage, forward and with its backward pass; the fused kernels only on a GPU."""
    for layout in LAYOUTS:
        for channels, edge in bench.stages:
            yield from _attention(bench, EXPANSION * channels, edge, layout)


def _attention(bench: Bench, hidden: int, edge: int, layout: str) -> Iterator[dict]:
    both = bench.images(2 * hidden, edge, bench.dtypes[-1], layout).requires_grad_()
    grad = bench.images(hidden, edge, bench.dtypes[-1], layout)
    mask = make_mask('tril', edge * edge, hidden)
    ones = torch.ones(1, device=bench.device)
    alpha = torch.randn(edge, edge, device=bench.device, requires_grad=True)
    rest = (alpha, mask.to(bench.device), ones, ones, 'pool', mask_spans(mask))
    for name, op in _implementations(bench.device):
        name = f'VMI-SA {name} {hidden} x {edge}^2 {layout}'
        forward = lambda: op(*both.chunk(2, 1), *rest)  # noqa: B023, E731
        step = lambda: torch.autograd.grad(forward(), (both, alpha), grad)  # noqa: B023, E731
        yield bench.row(f'{name} forward', forward, [both, grad])
        both_passes = torch.enable_grad()(step)
        yield bench.row(f'{name} both passes', both_passes, [both, grad, both, grad, both])


def blocks(bench: Bench) -> Iterator[dict]:
    """From U to a block's output: by parts of torch, and on a GPU in the two fused kernels."""
    impls = ('torch', 'triton') if bench.device == 'cuda' else ('torch',)
    dtype = bench.dtypes[-1]
    for channels, edge in bench.stages:
        hidden = EXPANSION * channels
        x, both = (bench.images(c, edge, dtype, 'NHWC') for c in (channels, 2 * hidden))
        edges = ((hidden, channels), (hidden, channels), (channels, hidden))
        weights = [torch.randn(*e, 1, 1, device=bench.device).to(dtype) for e in edges]
        linears = [t for weight in weights for t in (weight, weight[:, 0, 0, 0].contiguous())]
        mask = make_mask('tril', edge * edge, hidden)
        ones = torch.ones(1, device=bench.device)
        alpha = torch.randn(edge, edge, device=bench.device)
        rest = (alpha, mask.to(bench.device), ones, ones), x, None, 'pool', mask_spans(mask)
        for impl in impls:
            project = choose_op('matrix', impl).passes[0]
            call = lambda: project(x, linears, *rest)  # noqa: B023, E731
            moved = [x, both, both, x, x]
            yield bench.row(f'U to output {impl} {hidden} x {edge}^2 NHWC', call, moved)


def _implementations(device: str) -> Iterator[tuple[str, Callable]]:
    """Plain torch, and the fused kernels by the number of elements that a thread holds."""
    yield 'torch', choose_op('matrix', 'torch')
    if device != 'cuda':
        return
    from ...ops import matrix_triton

    usual = matrix_triton.ELEMENTS_PER_THREAD
    for elements in ELEMENTS_PER_THREAD:
        matrix_triton.ELEMENTS_PER_THREAD = elements
        yield f'triton, {elements} a thread', choose_op('matrix', 'triton')
    matrix_triton.ELEMENTS_PER_THREAD = usual


PARTS = (convolutions, projections, attention, blocks)


def main() -> None:
    """Measure, print and write."""
    args = parse_args(__doc__)
    bench = Bench(args.device, args.tiny)
    with torch.no_grad():
        rows = [row for part in PARTS for row in part(bench)]
    publish(args.json, rows)


if __name__ == '__main__':
    main()
