"""The fused matrix form against the definition: the output and every gradient."""

import subprocess
import sys
from collections.abc import Iterator

import pytest
import torch
from torch import Tensor

from vminet_mm.ops import make_mask, mask_spans, matrix_torch, matrix_triton, reference
from vminet_mm.ops.matrix_triton import separable_attention

# ((H, W), (H0, W0)): native, larger and smaller; one token; a single row and column
SIZES = [((3, 5), (3, 5)), ((7, 4), (3, 5)), ((2, 3), (3, 5)), ((1, 1), (1, 1)), ((1, 9), (4, 1))]
EPS = {torch.float32: 2e-5, torch.float16: 2e-3, torch.bfloat16: 2e-2}


@pytest.fixture(params=['one_tile', 'tiles'])
def tiles(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """All tokens in one tile and one kernel each way, or in tiles and two kernels."""
    if request.param == 'tiles':
        monkeypatch.setattr(matrix_triton, 'MAX_TILE', 0)
    return request.param


def inputs(
    size: tuple[int, int] = (3, 5),
    native: tuple[int, int] = (3, 5),
    mask: str = 'tril',
    device: torch.device | str = 'cpu',
    batch: int = 2,
    channels: int = 6,
) -> dict[str, Tensor]:
    x = dict(
        query=3 * torch.randn(batch, channels, *size),
        key=torch.randn(batch, channels, *size),
        alpha=torch.randn(native),
        mask=make_mask(mask, native[0] * native[1], channels),
        scale=torch.tensor([0.7]),
        beta=torch.tensor([1.3]),
    )
    return {name: value.to(device) for name, value in x.items()}


def results(op, x: dict[str, Tensor], grad: Tensor, *options) -> dict[str, Tensor]:
    """The output and the gradient of every input but the mask."""
    leaves = {k: v.detach().requires_grad_() for k, v in x.items() if k != 'mask'}
    out = op(**leaves, mask=x['mask'], context_resize=options[0], spans=options[1])
    grads = torch.autograd.grad(out, list(leaves.values()), grad)
    return dict(out=out.detach(), **dict(zip(leaves, grads, strict=True)))


def compare(
    x: dict[str, Tensor], resize: str = 'pool', spans: tuple[int, int] | None = None
) -> tuple[dict[str, Tensor], float]:
    """Ours on x, and its largest error against the definition in float64; 1 is allowed."""
    grad = torch.randn_like(x['query'])
    ours = results(separable_attention, x, grad, resize, spans)
    exact = {k: v if k == 'mask' else v.double() for k, v in x.items()}
    theirs = results(reference.separable_attention, exact, grad.double(), resize, None)
    errors = [torch.zeros(1)]
    for name, value in ours.items():
        assert value.dtype == x.get(name, x['query']).dtype
        assert value.shape == theirs[name].shape
        allowed = EPS[value.dtype] * (1 + theirs[name].abs())
        errors.append(((value - theirs[name]).abs() / allowed).flatten().cpu())
    return ours, float(torch.cat(errors).max())


# at the native size there is nothing to resize
RESIZED = [
    (sizes, resize)
    for sizes in SIZES
    for resize in ('pool', 'interpolate')
    if resize == 'pool' or len({*sizes}) == 2
]


@pytest.mark.parametrize('mask', ['tril', 'band', 'block', 'none'])
@pytest.mark.parametrize(('sizes', 'resize'), RESIZED, ids=str)
def test_masks_and_sizes(
    sizes: tuple, mask: str, resize: str, tiles: str, kernel_device: torch.device
) -> None:
    x = inputs(*sizes, mask, kernel_device)
    assert compare(x, resize, mask_spans(x['mask']))[1] <= 1


@pytest.mark.parametrize('mask', ['tril', 'band', 'block', 'none'])
def test_without_spans(mask: str, tiles: str, kernel_device: torch.device) -> None:
    """Every row of the mask is read then."""
    assert compare(inputs((7, 4), (3, 5), mask, kernel_device))[1] <= 1


@pytest.mark.parametrize('programs', [1, 10, 1024])
@pytest.mark.parametrize('last', [False, True])
def test_many_tiles(
    last: bool,
    programs: int,
    tiles: str,
    kernel_device: torch.device,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # 70 channels and 135 tokens fill no tile; a program takes all images, every second one, or one
    monkeypatch.setattr(matrix_triton, 'PROGRAMS', programs)
    x = inputs((9, 15), (3, 5), 'tril', kernel_device, batch=3, channels=70)
    if last:
        x.update({k: x[k].to(memory_format=torch.channels_last) for k in ('query', 'key')})
    assert compare(x, 'pool', mask_spans(x['mask']))[1] <= 1


def laid_out(x: dict[str, Tensor], layout: str) -> dict[str, Tensor]:
    """The same values with query and key laid out otherwise in memory."""
    query, key = x['query'], x['key']
    if layout.startswith('halves'):
        joint = torch.cat([query, key], 1)
        if layout == 'halves_last':
            joint = joint.to(memory_format=torch.channels_last)
        query, key = joint.chunk(2, 1)
    elif layout == 'channels_last':
        query, key = (t.to(memory_format=torch.channels_last) for t in (query, key))
    elif layout == 'unlike':
        key = key.to(memory_format=torch.channels_last)
    elif layout == 'swapped':  # whose tokens are not evenly spaced
        query, key = (t.mT.contiguous().mT for t in (query, key))
    return dict(x, query=query, key=key)


@pytest.mark.parametrize('dtype', [torch.float32, torch.float16, torch.bfloat16], ids=str)
@pytest.mark.parametrize(
    'layout', ['contiguous', 'channels_last', 'halves', 'halves_last', 'unlike', 'swapped']
)
def test_dtypes_and_layouts(
    layout: str, dtype: torch.dtype, tiles: str, kernel_device: torch.device
) -> None:
    x = inputs((7, 5), (3, 5), 'tril', kernel_device, channels=9)
    x.update({k: x[k].to(dtype) for k in ('query', 'key')})
    x = laid_out(x, layout)
    with torch.autocast(kernel_device.type, torch.bfloat16, enabled=dtype == torch.bfloat16):
        ours, error = compare(x, 'pool', mask_spans(x['mask']))
    assert error <= 1
    last = layout in ('channels_last', 'halves_last')
    expected = torch.channels_last if last else torch.contiguous_format
    for name in ('out', 'query', 'key'):
        assert ours[name].is_contiguous(memory_format=expected)


@pytest.mark.parametrize('layout', ['contiguous', 'channels_last', 'halves', 'halves_last'])
def test_inputs_are_not_copied(layout: str) -> None:
    x = laid_out(inputs(), layout)
    flat = matrix_triton._flat(x['query'], x['key'])
    assert [t.data_ptr() for t in flat] == [x[k].data_ptr() for k in ('query', 'key')]


@pytest.fixture
def poison() -> Iterator[None]:
    """Fill all memory that is allocated and not written with NaN."""
    filled = torch.utils.deterministic.fill_uninitialized_memory
    torch.utils.deterministic.fill_uninitialized_memory = True
    torch.use_deterministic_algorithms(True, warn_only=True)
    assert torch.ones(1).new_empty(3).isnan().all()
    yield
    torch.use_deterministic_algorithms(False)
    torch.utils.deterministic.fill_uninitialized_memory = filled


@pytest.mark.usefixtures('poison')
@pytest.mark.parametrize('mask', ['tril', 'band', 'none'])
@pytest.mark.parametrize('layout', ['halves', 'halves_last'])
def test_every_element_is_written(
    layout: str, mask: str, tiles: str, kernel_device: torch.device
) -> None:
    x = laid_out(inputs((9, 15), (3, 5), mask, kernel_device, 3, 35), layout)
    assert compare(x, 'pool', mask_spans(x['mask']))[1] <= 1


@pytest.mark.parametrize('size', [(3, 5), (4, 4)])
def test_empty_batch(size: tuple[int, int], kernel_device: torch.device) -> None:
    ours, error = compare(inputs(size, device=kernel_device, batch=0))
    assert error <= 1
    assert ours['out'].shape == (0, 6, *size)
    assert not any(ours[name].any() for name in ('alpha', 'scale', 'beta'))


def test_range_of_float16(tiles: str, kernel_device: torch.device) -> None:
    # E and its sum leave the range, what is made of them comes back: 1e-6 * 9 * 360000 = 3.24
    query = torch.full((1, 2, 3, 3), 60000.0, dtype=torch.float16, device=kernel_device)
    x = inputs((3, 3), (3, 3), 'none', kernel_device, channels=2)
    x.update(query=query, key=query.clone(), alpha=torch.ones_like(x['alpha']))
    x.update(scale=torch.full_like(x['scale'], 1e-6), beta=torch.zeros_like(x['beta']))
    ours, error = compare(x)
    assert error <= 1
    torch.testing.assert_close(ours['out'], torch.full_like(query, 3.24))
    x.update(scale=torch.ones_like(x['scale']), beta=torch.ones_like(x['beta']))
    ours, error = compare(x)
    assert error <= 1
    assert torch.equal(ours['out'], torch.full_like(query, 6.0))


@pytest.mark.parametrize('dtype', [torch.float16, torch.bfloat16], ids=str)
def test_low_precision_sums_in_float32(
    dtype: torch.dtype, tiles: str, kernel_device: torch.device
) -> None:
    # 12800 tokens of 0.5: float16 stops counting at 1024 and bfloat16 at 128
    query = torch.full((1, 1, 100, 128), 0.5, dtype=dtype, device=kernel_device)
    x = inputs((100, 128), (100, 128), 'none', kernel_device, channels=1)
    x.update(query=query, key=torch.ones_like(query), alpha=torch.ones_like(x['alpha']))
    x.update(scale=x['scale'].fill_(5 / 6400), beta=x['beta'].fill_(0))
    out = separable_attention(**x, spans=(0, 12800))
    torch.testing.assert_close(out, torch.full_like(out, 5.0))


def test_nan_is_not_hidden(tiles: str, kernel_device: torch.device) -> None:
    x = inputs(mask='none', device=kernel_device)
    x['query'][0, 1, 2, 3] = torch.nan
    out = separable_attention(**x)
    assert out[0, 1].isnan().all()
    torch.testing.assert_close(out, reference.separable_attention(**x), equal_nan=True)


@pytest.mark.parametrize('resize', ['pool', 'interpolate'])
def test_gradcheck(resize: str, tiles: str, kernel_device: torch.device) -> None:
    x = inputs((3, 2), (2, 2), 'tril', kernel_device, channels=2, batch=1)
    x = {k: v if k == 'mask' else v.double().requires_grad_() for k, v in x.items()}
    mask = x.pop('mask')
    options = dict(context_resize=resize, spans=mask_spans(mask))

    def attend(*values: Tensor) -> Tensor:
        return separable_attention(**dict(zip(x, values, strict=True)), mask=mask, **options)

    assert torch.autograd.gradcheck(attend, tuple(x.values()))


def test_first_order_only(kernel_device: torch.device) -> None:
    x = inputs(device=kernel_device)
    query = x.pop('query').requires_grad_()
    out = separable_attention(query, **x).sum()
    (grad,) = torch.autograd.grad(out, query, create_graph=True)
    with pytest.raises(RuntimeError, match='no autograd formula'):
        grad.sum().backward()


def test_gradients_repeat_bit_by_bit(tiles: str, kernel_device: torch.device) -> None:
    x = inputs((9, 15), (3, 5), device=kernel_device, batch=3, channels=35)
    grad = torch.randn_like(x['query'])
    first, second = (results(separable_attention, x, grad, 'pool', None) for _ in range(2))
    assert all(torch.equal(first[name], second[name]) for name in first)


def test_kept_for_backward(tiles: str, kernel_device: torch.device) -> None:
    x = inputs((9, 15), (3, 5), device=kernel_device)
    x = {k: v if k == 'mask' else v.requires_grad_() for k, v in x.items()}
    kept = []
    with torch.autograd.graph.saved_tensors_hooks(lambda t: kept.append(t) or t, lambda t: t):
        separable_attention(**x)
    given = {t.data_ptr() for t in x.values()}
    assert [t.shape for t in kept if t.data_ptr() not in given] == [(2, 6)]  # c


def test_registered_op(tiles: str, kernel_device: torch.device) -> None:
    x = laid_out(inputs((7, 5), (3, 5), device=kernel_device), 'halves_last')
    grads = {k: v if k == 'mask' else v.detach().requires_grad_() for k, v in x.items()}
    torch.library.opcheck(matrix_triton._attention, (*grads.values(), 'pool', 5, 15))
    grad, context = torch.randn_like(x['query']), x['query'].new_ones(2, 6)
    torch.library.opcheck(
        matrix_triton._attention_backward, (grad, *x.values(), context, 'pool', 5, 15)
    )
    joint = torch.cat([x.pop('query'), x.pop('key')], 1)
    torch.library.opcheck(
        matrix_triton._joint_backward, (grad, joint, *x.values(), context, 'pool', 5, 15)
    )


@pytest.mark.parametrize('dynamic', [False, True])
def test_compile_without_graph_breaks(dynamic: bool, kernel_device: torch.device) -> None:
    compiled = torch.compile(
        separable_attention, fullgraph=True, backend='aot_eager', dynamic=dynamic
    )
    for size in [(3, 5), (7, 4)]:
        x = inputs(size, device=kernel_device)
        grad, spans = torch.randn_like(x['query']), mask_spans(x['mask'])
        expected = results(separable_attention, x, grad, 'pool', spans)
        for name, value in results(compiled, x, grad, 'pool', spans).items():
            if size == (3, 5):  # native: a compiler is given the plain form, which it can fuse
                torch.testing.assert_close(value, expected[name])
            else:
                assert torch.equal(value, expected[name])


@pytest.mark.parametrize(
    'wrong', [dict(key=torch.ones(2, 6, 3, 4)), dict(mask=torch.ones(14, 6).bool())]
)
def test_shapes_that_do_not_fit(wrong: dict, kernel_device: torch.device) -> None:
    x = {k: v.to(kernel_device) for k, v in (inputs() | wrong).items()}
    with pytest.raises(ValueError, match=r'do not fit: give \(B, D, H, W\) twice'):
        separable_attention(**x)


def test_plain_torch_on_the_cpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(matrix_triton, 'INTERPRETED', False)
    x = inputs()
    expected = matrix_torch.separable_attention(**x, spans=(5, 15))
    monkeypatch.setattr(matrix_triton, '_attention', None)
    assert torch.equal(separable_attention(**x, spans=(5, 15)), expected)


def test_triton_is_imported_only_on_demand() -> None:
    code = "import sys, vminet_mm.ops; sys.exit('triton' in sys.modules)"
    subprocess.run([sys.executable, '-c', code], check=True)
