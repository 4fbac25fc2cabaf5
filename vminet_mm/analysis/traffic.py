"""Bytes that a model moves and kernels that it launches, counted and not measured.

Every operation of torch reads each of its inputs and writes each of its outputs once, in one
launch; views move nothing. Exceptions are what CUDA does otherwise:

- A bias after a convolution is a pass of its own, and a convolution's backward is one kernel for
  each gradient, each of which reads the gradient of the output.
- A batch norm in training mode reads its input twice, forward and backward.
- Our kernels read what the tables in ``vminet_mm/ops/README.md`` say.
- A 1x1 convolution in channels_last is a matrix product with its bias, see
  ``vminet_mm/ops/pointwise.py``; a convolution before a batch norm in training has no bias, see
  ``vminet_mm/models/conv_norm.py``; and half precision is computed in channels_last by default.

Caches are not considered. Nothing is computed: the tensors are fake, so that no GPU is needed and a
batch of 128 costs no memory.
"""

import copy
import math
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass

import torch
from torch import Tensor, nn
from torch._subclasses.fake_tensor import (
    FakeCopyMode,
    FakeTensorMode,
    unset_fake_temporarily,
)
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from ..compat.patching import temporarily
from ..models import VMISABlock, conv_norm, vminet
from . import authors_model
from .model_zoo import ModelSpec, Size, build_model
from .tables import text_table

# of vminet_mm.ops.matrix_triton
MATRIX_OPS = (
    'vminet_mm::separable_attention',
    'vminet_mm::separable_attention_backward',
    'vminet_mm::separable_attention_joint_backward',
)
EMBED_OP = 'vminet_mm::embed'  # of vminet_mm.ops.matrix_project_triton
HALVES = (torch.float16, torch.bfloat16)
# they only allocate
ALLOCATIONS = ('empty', 'empty_like', 'empty_strided', 'new_empty', 'new_empty_strided')
# they take the shape or the dtype of what they do not read
FILLERS = ('zeros_like', 'ones_like', 'full_like', 'new_zeros', 'new_ones', 'new_full')


@dataclass(frozen=True)
class Traffic:
    """Bytes read and written, and kernels launched."""

    bytes: int = 0
    launches: int = 0

    def __add__(self, other: 'Traffic') -> 'Traffic':
        return Traffic(self.bytes + other.bytes, self.launches + other.launches)


@dataclass(frozen=True)
class Passes:
    """Traffic of an inference, and of both halves of a training step without its optimizer."""

    infer: Traffic
    forward: Traffic = Traffic()
    backward: Traffic = Traffic()


@dataclass(frozen=True)
class BlockTraffic:
    """The blocks of a model with one shape of input.

    Attributes:
        shape: (B, C, H, W) of the input.
        unit: P in bytes, one pass over that input.
        times: How many such blocks there are.
        passes: The traffic of one of them; zero for what was not counted.
    """

    shape: tuple[int, ...]
    unit: int
    times: int
    passes: Passes


@dataclass(frozen=True)
class ModelTraffic:
    """The traffic of a model of a spec, and of its blocks where they are known.

    Attributes:
        model: The spec.
        total: The traffic of the whole model; None where its blocks alone are counted.
        blocks: The blocks by the shape of their input.
    """

    model: str
    total: Passes | None
    blocks: list[BlockTraffic]

    def in_units(self, part: Callable[[Passes], int]) -> float:
        """Bytes over P, of all blocks together."""
        units = sum(block.times * block.unit for block in self.blocks)
        return sum(block.times * part(block.passes) for block in self.blocks) / units


class TrafficCounter(TorchDispatchMode):
    """Count what is run under it; :attr:`total` has the sum."""

    def __init__(self) -> None:
        super().__init__()
        self.total = Traffic()

    def __torch_dispatch__(
        self,
        func: torch._ops.OpOverload,
        types: tuple,
        args: tuple = (),
        kwargs: dict | None = None,
    ) -> object:
        out = func(*args, **(kwargs or {}))
        name = func.overloadpacket._qualified_op_name
        if name in MATRIX_OPS:
            self.total += _matrix_kernels(func, args, out)
        elif name == EMBED_OP:
            self.total += _embed_kernel(args, out)
        else:
            self.total += _operation(func, args, kwargs or {}, out)
        return out


def _operation(func: torch._ops.OpOverload, args: tuple, kwargs: dict, out: object) -> Traffic:
    """What one operation of torch moves."""
    name = func.overloadpacket.__name__
    if func.namespace == 'prim' or func.is_view or name in (*ALLOCATIONS, '_unsafe_view'):
        return Traffic()
    written = _bytes(out)
    if not written and not func._schema.is_mutable:
        return Traffic()  # of numbers
    if name == 'convolution':
        _, _, bias = args[:3]
        passes = 2 if bias is not None else 0
        return Traffic(_bytes(args[:3]) + written + passes * written, 1 + (bias is not None))
    if name == 'convolution_backward':
        grad, x, weight = args[:3]
        to_input, to_weight, to_bias = args[-1]
        read = to_input * _bytes((grad, weight)) + to_weight * _bytes((grad, x))
        read += to_bias * _bytes(grad)
        return Traffic(read + written, to_input + to_weight + to_bias)
    if name == 'native_batch_norm':
        again = bool(args[5])
        return Traffic(_bytes(args) + again * _bytes(args[0]) + written, 1 + again)
    if name == 'native_batch_norm_backward':
        again = bool(args[7])
        return Traffic(_bytes(args) + again * _bytes(args[:2]) + written, 1 + again)
    read = [x for x in args if isinstance(x, (Tensor, list, tuple))]
    read += [x for key, x in kwargs.items() if key != 'out']
    if name in ('fill_', 'zero_', 'copy_', *FILLERS):  # what they change is not read
        read = read[1:]
    return Traffic(_bytes(read) + written, 1)


def _matrix_kernels(func: torch._ops.OpOverload, args: tuple, out: tuple) -> Traffic:
    """The kernels of :mod:`vminet_mm.ops.matrix_triton`, as its functions launch them."""
    from ..ops import matrix_triton
    from ..ops.context_weights import tap_counts

    part = MATRIX_OPS.index(func.overloadpacket._qualified_op_name)
    grad, args = (args[0], args[1:]) if part else (None, args)
    if part == 2:
        args = (*args[0].chunk(2, 1), *args[1:])
    query, key, alpha, mask = args[:4]
    resize = args[-3]
    limit = matrix_triton.MAX_TILE // (2 if part else 1)
    grid = matrix_triton.choose_grid(query.flatten(2), limit)
    traffic = Traffic(_bytes((query, key, alpha, mask, grad)) + _bytes(out), 1)
    if not grid.one_tile:  # a kernel makes the sums of tiles, and torch adds them
        traffic += Traffic(_bytes((query, key, grad)), 2)
    if part:  # torch adds what programs found of the fields, and of the bias
        with unset_fake_temporarily():
            taps = math.prod(tap_counts(alpha.shape, query.shape[2:], resize))
        fields = grid.tiles[2] * grid.tiles[1] * query[0, 0].numel() * taps
        traffic += Traffic(2 * 4 * fields, 1)
        if query.shape[2:] != alpha.shape:  # to float64, two products, back, and one tensor
            traffic += Traffic(8 * 4 * taps * query[0, 0].numel(), 5)
        traffic += Traffic(0, part - 1)
    return traffic


def _embed_kernel(args: tuple, out: tuple) -> Traffic:
    """U read once; the context of each token tile, which torch adds where there are several."""
    from ..ops import matrix_project_triton

    query_key, context = out
    tiles = matrix_project_triton.embed_grid(query_key.flatten(2).chunk(2, 1)[0])[0][0]
    traffic = Traffic(_bytes(args) + _bytes(out), 1)
    if tiles > 1:
        traffic += Traffic(2 * tiles * _bytes(context), 1)
    return traffic


def _bytes(tree: object) -> int:
    """The bytes of the distinct tensors of a tree; what is expanded counts once."""
    tensors = {id(x): x for x in tree_leaves(tree) if isinstance(x, Tensor)}
    return sum(_size(x) for x in tensors.values())


def _size(x: Tensor) -> int:
    edges = [size for size, stride in zip(x.shape, x.stride(), strict=True) if stride]
    return math.prod(edges) * x.element_size() * (x.numel() > 0)


def count_passes(module: nn.Module, x: Tensor, trains: bool = True) -> Passes:
    """Count a module's inference on an input, and its training step unless it is folded."""
    with torch.no_grad(), TrafficCounter() as infer:
        module.eval()(x)
    if not trains:
        return Passes(infer.total)
    for leaf in (x, *module.parameters()):
        leaf.grad = None  # to which the new gradient would be added
    with TrafficCounter() as forward:
        y = module.train()(x)
    grad = torch.empty_like(y)
    with TrafficCounter() as backward:
        y.backward(grad)
    return Passes(infer.total, forward.total, backward.total)


def count_model(
    spec: ModelSpec,
    batch: int = 128,
    size: Size = (224, 224),
    dtype: torch.dtype = torch.float16,
    memory_format: torch.memory_format = torch.contiguous_format,
) -> ModelTraffic:
    """Count the model of a spec as on CUDA, with the Triton kernels where ``impl`` says so."""
    model = build_model(spec, size).to(dtype=dtype, memory_format=memory_format)
    with as_on_cuda() as fake:
        with FakeCopyMode(fake):
            model = copy.deepcopy(model)
        images = torch.empty(batch, 3, *size, dtype=dtype).to(memory_format=memory_format)
        inputs: dict[nn.Module, Tensor] = {}
        with torch.no_grad(), ExitStack() as hooks:
            for block in filter(is_block, model.modules()):
                hooks.enter_context(
                    block.register_forward_pre_hook(lambda block, x: inputs.update({block: x[0]}))
                )
            model.eval()(images)
        trains = not spec.deploy
        total = count_passes(model, images, trains)
        return ModelTraffic(spec.text, total, _count_blocks(inputs, trains))


def _count_blocks(inputs: dict[nn.Module, Tensor], trains: bool) -> list[BlockTraffic]:
    """One entry for each shape; blocks of a shape do not differ."""
    by_shape: dict[tuple, list[nn.Module]] = {}
    for block, x in inputs.items():
        by_shape.setdefault(tuple(x.shape), []).append(block)
    rows = []
    for shape, blocks in by_shape.items():
        x = inputs[blocks[0]].detach()
        passes = count_passes(blocks[0], x.requires_grad_(trains), trains)
        rows.append(BlockTraffic(shape, _bytes(x), len(blocks), passes))
    return rows


def is_block(module: nn.Module) -> bool:
    """Whether a module is a block of VMINet, of the authors' implementation, or of StarNet."""
    is_star = type(module).__name__ == 'Block' and type(module).__module__ == 'timm.models.starnet'
    return is_star or isinstance(module, (VMISABlock, authors_model.Block))


@contextmanager
def as_on_cuda() -> Iterator[FakeTensorMode]:
    """Fake tensors, which our operators take to their kernels."""
    try:
        from ..ops import matrix_torch, matrix_triton, pointwise, recurrent_triton
    except ImportError:  # without Triton there are no kernels to count
        with FakeTensorMode(allow_non_fake_inputs=True) as fake:
            yield fake
        return
    with (
        temporarily(matrix_triton, INTERPRETED=True),
        temporarily(recurrent_triton, INTERPRETED=True),
        temporarily(pointwise, is_product=pointwise.is_last),
        temporarily(conv_norm, _on_cuda=lambda x: True),
        temporarily(matrix_torch, _on_cuda=lambda x: True),
        temporarily(vminet, auto_is_last=lambda x: x.dtype in HALVES),
        FakeTensorMode(allow_non_fake_inputs=True) as fake,
    ):
        yield fake


def to_table(models: list[ModelTraffic], gbps: float | None = None) -> str:
    """The counts as text: blocks in units of P, models in MB, with the time at a bandwidth."""
    rows = [
        ('', 'block, inference', '', 'block, training', '', 'model, MB', ''),
        ('', 'P', 'launches', 'P', 'launches', 'infer', 'train'),
    ]
    for model in models:
        total = model.total
        train = total.forward + total.backward if total.backward.launches else None
        rows.append(
            (
                model.model,
                *_block_cells(model, train is not None),
                _cell(total.infer, gbps),
                _cell(train, gbps) if train else '-',
            )
        )
    return '\n'.join(text_table(rows))


def _block_cells(model: ModelTraffic, trains: bool) -> tuple[str, str, str, str]:
    """P and launches of inference and of training; the largest number of launches."""
    if not model.blocks:
        return '-', '-', '-', '-'
    infer = f'{model.in_units(lambda p: p.infer.bytes):.1f}'
    launches = max(block.passes.infer.launches for block in model.blocks)
    if not trains:
        return infer, str(launches), '-', '-'
    train = model.in_units(lambda p: p.forward.bytes + p.backward.bytes)
    forward = max(block.passes.forward.launches for block in model.blocks)
    backward = max(block.passes.backward.launches for block in model.blocks)
    return infer, str(launches), f'{train:.1f}', f'{forward} / {backward}'


def _cell(traffic: Traffic, gbps: float | None) -> str:
    text = f'{traffic.bytes / 1e6:.0f}'
    return f'{text} ({traffic.bytes / gbps / 1e6:.2f} ms)' if gbps else text


def to_json(models: list[ModelTraffic]) -> list[dict]:
    """The counts as dicts with the names of the fields."""
    return [asdict(model) for model in models]
