"""Make the code of every kernel for a GPU that need not be there, and print the kernels' names.

It is the first step of a compilation, which the interpreter does not take: types must agree.
"""

import os

os.environ['TRITON_INTERPRET'] = '0'  # read when triton is imported

import torch
import triton
from triton._C.libtriton import ir
from triton.backends.compiler import GPUTarget
from triton.compiler import make_backend
from triton.runtime import driver
from triton.runtime.jit import JITFunction

from vminet_mm.ops import make_mask, matrix_project_triton, matrix_triton, recurrent_triton

LAST, FIRST = torch.channels_last, torch.contiguous_format
names = set()


class Hopper:
    """The driver of a GPU that starts nothing."""

    def get_current_target(self) -> GPUTarget:
        return GPUTarget('cuda', 90, 32)

    def get_current_device(self) -> int:
        return 0

    def get_current_stream(self, device: int) -> int:
        return 0


def make_code(source: object, target: GPUTarget, options: dict) -> object:
    """Stand for ``triton.compile``."""
    backend, context = make_backend(target), ir.context()
    ir.load_dialects(context)
    backend.load_dialects(context)
    options = backend.parse_options(options | source.parse_options())
    functions = backend.get_codegen_implementation(options)
    source.make_ir(target, options, functions, backend.get_module_map(), context)
    function = source.fn.fn
    names.add(f'{function.__module__.rpartition(".")[2]}.{function.__name__}')
    return source


def run_matrix(dtype: torch.dtype, memory_format: torch.memory_format) -> None:
    """Both passes by themselves, and as a block runs them."""
    query_key = torch.randn(2, 70, 9, 15).to(dtype).to(memory_format=memory_format)
    fields = torch.randn(3, 5), make_mask('tril', 15, 35), torch.ones(1), torch.ones(1)
    grad = torch.randn(2, 35, 9, 15, dtype=dtype)
    leaf = query_key.requires_grad_()
    out = matrix_triton.separable_attention(*leaf.chunk(2, 1), *fields)
    out.backward(grad)
    options = 'pool', (5, 15)
    _, context = matrix_triton.attend(query_key.detach(), *fields, *options)
    matrix_triton.attend_backward(grad, query_key.detach(), *fields, context, *options)


def run_project(dtype: torch.dtype, residual: bool) -> None:
    """From U to the output of a block."""
    x = torch.randn(2, 8, 9, 15).to(dtype).to(memory_format=LAST)
    edges = (16, 8), (16, 8), (8, 16)
    weights = [t for out, size in edges for t in (torch.randn(out, size, 1, 1), torch.ones(out))]
    fields = torch.randn(3, 5), make_mask('tril', 15, 16), torch.ones(1), torch.ones(1)
    parts = (x, torch.ones(2, 1, 1, 1, dtype=dtype)) if residual else (None, None)
    linears = tuple(t.to(dtype) for t in weights)
    matrix_project_triton.project(x, linears, fields, *parts, 'pool', (5, 15))


def run_recurrent(recurrent_mask: str, memory_format: torch.memory_format) -> None:
    """Both passes."""
    query, key = torch.randn(2, 2, 6, 9, 15).to(torch.float16)
    query, key = (t.to(memory_format=memory_format).requires_grad_() for t in (query, key))
    alpha, beta = torch.randn(2, 9, 15)
    out = recurrent_triton.recurrent_attention(
        query, key, alpha, make_mask('tril', 135, 6), beta, recurrent_mask=recurrent_mask
    )
    out.float().sum().backward()


if __name__ == '__main__':
    triton.compiler.compile = make_code
    driver.set_active(Hopper())
    run = JITFunction.run
    JITFunction.run = lambda kernel, *args, warmup, **options: run(
        kernel, *args, warmup=True, **options
    )
    matrix_triton.INTERPRETED = recurrent_triton.INTERPRETED = True  # or CPUs take the plain form
    for max_tile in (matrix_triton.MAX_TILE, 0):
        matrix_triton.MAX_TILE = max_tile
        for dtype in (torch.float32, torch.float16):
            for memory_format in (FIRST, LAST):
                run_matrix(dtype, memory_format)
    for dtype in (torch.float16, torch.bfloat16):
        for residual in (False, True):
            run_project(dtype, residual)
    for recurrent_mask in ('readout', 'inside'):
        for memory_format in (FIRST, LAST):
            run_recurrent(recurrent_mask, memory_format)
    print(*sorted(names))
