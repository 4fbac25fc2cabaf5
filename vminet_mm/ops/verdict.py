"""Verify the fused kernels on this GPU against the torch implementation before they are used.

A comparison that ran to its end is kept in the user's cache folder, by what could change it. An
error (no compiler, no memory) is not kept: what caused it may be gone in the next process.
"""

import hashlib
import json
import os
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import asdict, dataclass
from functools import cache
from importlib import import_module
from itertools import product
from pathlib import Path

import torch
from filelock import FileLock, Timeout
from mmengine.logging import print_log
from torch import Tensor

from .masks import make_mask, mask_spans

# (H, W) of the input; by MAX_TILE of the matrix form one tile holds the first, and not the second
SIZES = ((7, 7), (130, 130))
NATIVE = (7, 7)
BATCH, CHANNELS = 2, 32
HALVES = (torch.float16, torch.bfloat16)
# relative to 1 + |expected|; both compute in float32 from the same inputs, then round
TOLERANCES = {torch.float32: 1e-4, torch.float16: 4e-3, torch.bfloat16: 3e-2}
# of the elements may differ by more: rounding decides on which side of a ReLU6's edge they are
MAX_OUTLIERS = 1e-3
MAX_SUM_ERROR = 2e-2  # of the sums over all tokens, relative, by norm
LOCK_SECONDS = 120  # that other processes of the machine may take for the same comparison


@dataclass(frozen=True)
class Verdict:
    """Whether the kernels of a form may be used.

    Attributes:
        right: Whether they compute what torch computes.
        reason: What was compared, or what is wrong, in one line.
    """

    right: bool
    reason: str


@cache
def kernels_are_right(form: str) -> bool:
    """Whether the kernels of a form are right on this GPU; a line in the log says why they are not.

    Float32 and the dtype of autocast are compared. Processes of a machine that start together wait
    for the first, so that they agree.
    """
    verdict = kept_verdict(form, (torch.float32, torch.get_autocast_dtype('cuda')))
    if not verdict.right:
        print_log(f"impl='auto' takes torch: {verdict.reason}", logger='current', level=30)
    return verdict.right


def kept_verdict(form: str, dtypes: tuple[torch.dtype, ...]) -> Verdict:
    """The verdict in the cache folder, or else a new one, which is put there."""
    path = cache_folder() / f'{cache_key(form, dtypes)}.json'
    with suppress(OSError, Timeout):  # without a folder that can be written, each process compares
        path.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(path.with_suffix('.lock'), timeout=LOCK_SECONDS):
            with suppress(OSError, ValueError, TypeError):  # no file yet, or not one of ours
                return Verdict(**json.loads(path.read_text()))
            verdict, is_final = _examine(form, dtypes, 'cuda')
            if is_final:
                _write(path, verdict)
            return verdict
    return _examine(form, dtypes, 'cuda')[0]


def full_verdict(form: str, device: str = 'cuda') -> Verdict:
    """Compare in float32, float16 and bfloat16, without reading or writing the cache folder.

    On the CPU only where Triton interprets its kernels.
    """
    return _examine(form, (torch.float32, *HALVES), device)[0]


def cache_folder() -> Path:
    """Where verdicts are kept."""
    base = os.environ.get('XDG_CACHE_HOME') or Path.home() / '.cache'
    return Path(base) / 'vminet_mm' / 'kernels'


def cache_key(form: str, dtypes: tuple[torch.dtype, ...]) -> str:
    """What a verdict depends on: the GPU's capability, torch, Triton and the source of the ops."""
    import triton

    digest = hashlib.sha256()
    for path in sorted(Path(__file__).parent.glob('*.py')):
        digest.update(path.read_bytes())
    capability = 'sm' + ''.join(map(str, torch.cuda.get_device_capability()))
    names = '-'.join(str(dtype).removeprefix('torch.') for dtype in dtypes)
    versions = f'torch{torch.__version__}-triton{triton.__version__}'
    return f'{form}-{names}-{capability}-{versions}-{digest.hexdigest()[:16]}'


def _write(path: Path, verdict: Verdict) -> None:
    """Write atomically, also for a reader that does not lock."""
    temporary = path.with_suffix(f'.{os.getpid()}')
    temporary.write_text(json.dumps(asdict(verdict)))
    os.replace(temporary, path)


def _examine(form: str, dtypes: tuple[torch.dtype, ...], device: str) -> tuple[Verdict, bool]:
    """The verdict, and whether the comparison ran to its end."""
    cases = list(product(dtypes, (torch.contiguous_format, torch.channels_last), SIZES))
    try:
        ours = _op(form, 'triton')
        for dtype, layout, size in cases:
            wrong = _compare(ours, _op(form, 'torch'), form, dtype, layout, size, device)
            if not wrong and _has_passes(ours, dtype, layout):
                wrong = _compare_passes(ours, _op(form, 'torch'), dtype, size, device)
                wrong = wrong and f'{wrong} of a block'
            if wrong:
                where = f'{dtype}, {layout}, {size[0]} x {size[1]}'.replace('torch.', '')
                reason = f'{wrong} of the {form} kernels differs from torch ({where})'
                return Verdict(False, reason), True
    except Exception as error:  # of Triton, the C compiler that it calls, or the driver
        text = ' '.join(str(error).split())[:200]
        return Verdict(
            False, f'the {form} kernels do not run: {type(error).__name__}: {text}'
        ), False
    names = ', '.join(str(dtype).removeprefix('torch.') for dtype in dtypes)
    return Verdict(True, f'right in {len(cases)} cases ({names})'), True


def _op(form: str, impl: str) -> Callable[..., Tensor]:
    function = {'matrix': 'separable_attention', 'recurrent': 'recurrent_attention'}[form]
    module = 'matrix_project_triton' if (form, impl) == ('matrix', 'triton') else f'{form}_{impl}'
    return getattr(import_module(f'.{module}', __package__), function)


def _compare(
    ours: Callable[..., Tensor],
    theirs: Callable[..., Tensor],
    form: str,
    dtype: torch.dtype,
    layout: torch.memory_format,
    size: tuple[int, int],
    device: str,
) -> str | None:
    """The name of the first result that differs: of the output, or of a gradient."""
    inputs, grad = _make_inputs(form, dtype, layout, size, device)
    found = zip(_results(ours, inputs, grad), _results(theirs, inputs, grad), strict=True)
    for (name, value), (_, expected) in found:
        if _differs(value, expected, dtype):
            return name
    return None


def _has_passes(op: Callable[..., Tensor], dtype: torch.dtype, layout: torch.memory_format) -> bool:
    """Whether an operator has kernels from U to a block's output."""
    return hasattr(op, 'passes') and dtype in HALVES and layout == torch.channels_last


def _compare_passes(
    ours: Callable[..., Tensor],
    theirs: Callable[..., Tensor],
    dtype: torch.dtype,
    size: tuple[int, int],
    device: str,
) -> str | None:
    """As :func:`_compare`, of the passes from U to a block's output and back."""
    inputs, grad = _make_inputs('matrix', dtype, torch.channels_last, size, device)
    x, linears = inputs['query'].contiguous(memory_format=torch.channels_last), []
    generator = torch.Generator().manual_seed(0)
    for _ in range(3):  # W1, W2, W3
        weight = torch.rand(CHANNELS, CHANNELS, 1, 1, generator=generator) / CHANNELS
        bias = torch.rand(CHANNELS, generator=generator) - 0.3
        linears += [weight.to(device, dtype), bias.to(device, dtype)]
    fields = [inputs[name] for name in ('alpha', 'mask', 'scale', 'beta')]
    with torch.no_grad(), torch.autocast(device, enabled=False):
        options = 'pool', inputs['spans']
        outs = [op.passes[0](x, linears, fields, x, None, *options) for op in (ours, theirs)]
        _, query_key, context = outs[1]
        backs = [op.passes[1](grad, query_key, *fields, context, *options) for op in (ours, theirs)]
    # torch leaves the sum of the gradient of Q and K to a convolution
    names = (
        *('the output', 'Q and K', 'the context', 'the gradient of Q and K', None),
        *('the input of W3', 'the gradient of alpha', 'the gradient of scale'),
        'the gradient of beta',
    )
    pairs = zip((*outs[0], *backs[0]), (*outs[1], *backs[1]), strict=True)
    for name, (value, expected) in zip(names, pairs, strict=True):
        if name and _differs(value, expected, dtype):
            return name
    return None


def _differs(value: Tensor, expected: Tensor, dtype: torch.dtype) -> bool:
    value, expected = value.double(), expected.double()
    if value.shape != expected.shape or not bool(value.isfinite().all()):
        return True
    if value.ndim == 4:
        allowed = TOLERANCES[dtype] * (1 + expected.abs())
        return bool(((value - expected).abs() > allowed).double().mean() > MAX_OUTLIERS)
    return bool((value - expected).norm() > MAX_SUM_ERROR * (1e-6 + expected.norm()))


def _make_inputs(
    form: str, dtype: torch.dtype, layout: torch.memory_format, size: tuple[int, int], device: str
) -> tuple[dict, Tensor]:
    """The arguments of an op, query and key as halves of one tensor, and the output's gradient.

    The sums that gradients are do not cancel out: their relative error is meaningful. The state
    of torch's generators stays as it is.
    """
    generator = torch.Generator().manual_seed(0)

    def random(*shape: int) -> Tensor:
        """Numbers of the comparison's own generator."""
        return torch.rand(*shape, generator=generator)

    both = torch.cat(
        [random(BATCH, CHANNELS, *size) * 8 - 1, random(BATCH, CHANNELS, *size) - 0.2], 1
    )
    query, key = both.to(device, dtype).contiguous(memory_format=layout).chunk(2, 1)
    grad = random(BATCH, CHANNELS, *size).to(device, dtype).contiguous(memory_format=layout)
    mask = make_mask('tril', NATIVE[0] * NATIVE[1], CHANNELS)
    inputs = dict(query=query, key=key, alpha=(random(*NATIVE) / mask.shape[0]).to(device))
    inputs['mask'] = mask.to(device)
    if form == 'recurrent':
        inputs['beta'] = random(*NATIVE).to(device)
    else:
        inputs |= dict(scale=torch.ones(1, device=device), beta=torch.ones(1, device=device))
        inputs['spans'] = mask_spans(mask)
    return inputs, grad


def _results(op: Callable[..., Tensor], inputs: dict, grad: Tensor) -> Iterator[tuple[str, Tensor]]:
    names = [name for name in inputs if name not in ('mask', 'spans')]
    leaves = {name: inputs[name].detach().requires_grad_() for name in names}
    with torch.enable_grad(), torch.autocast(grad.device.type, enabled=False):
        out = op(**inputs | leaves)
        grads = torch.autograd.grad(out, list(leaves.values()), grad)
    yield 'the output', out.detach()
    yield from zip([f'the gradient of {name}' for name in names], grads, strict=True)
