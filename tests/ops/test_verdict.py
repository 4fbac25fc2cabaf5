"""The comparison of the fused kernels with torch: right ones, wrong ones, and where it is kept."""

import json
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import torch
from torch import Tensor

from vminet_mm.ops import matrix_project_triton, matrix_torch, matrix_triton, verdict
from vminet_mm.ops.verdict import Verdict

DTYPES = (torch.float32, torch.float16)


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Inputs for interpreted kernels, one tile and several; a cache folder of the test's own."""
    monkeypatch.setattr(verdict, 'SIZES', ((2, 3), (4, 5)))
    monkeypatch.setattr(verdict, 'NATIVE', (2, 3))
    monkeypatch.setattr(verdict, 'CHANNELS', 6)
    monkeypatch.setattr(matrix_triton, 'MAX_TILE', 128)  # 6 channels of 20 tokens, padded, are 256
    monkeypatch.setenv('XDG_CACHE_HOME', str(tmp_path / 'cache'))
    monkeypatch.setattr(torch.cuda, 'get_device_capability', lambda: (9, 0))


def stand_in(monkeypatch: pytest.MonkeyPatch, op: Callable[..., Tensor]) -> list[str]:
    """Put a function in place of the kernels, on the CPU; returns a list of the comparisons."""
    load, examine, done = verdict._op, verdict._examine, []

    def on_the_cpu(form: str, dtypes: tuple, device: str) -> tuple[Verdict, bool]:
        done.append(form)
        return examine(form, dtypes, 'cpu')

    monkeypatch.setattr(
        verdict, '_op', lambda form, impl: op if impl == 'triton' else load(form, impl)
    )
    monkeypatch.setattr(verdict, '_examine', on_the_cpu)
    return done


def right(*args, **kwargs) -> Tensor:
    return matrix_torch.separable_attention(*args, **kwargs)


def wrong_output(*args, **kwargs) -> Tensor:
    return right(*args, **kwargs) + 0.1


def wrong_gradient(*args, beta: Tensor, **kwargs) -> Tensor:
    return right(*args, beta=beta.detach() + 0 * beta, **kwargs)


def not_finite(*args, query: Tensor, **kwargs) -> Tensor:
    return right(*args, query=query, **kwargs) * torch.where(query == query.max(), torch.nan, 1)


def no_compiler(*args, **kwargs) -> Tensor:
    raise RuntimeError('Failed to find C compiler.\nPlease specify via CC')


@pytest.mark.parametrize('form', ['matrix', 'recurrent'])
def test_the_kernels_are_right(form: str, kernel_device: torch.device) -> None:
    state = torch.get_rng_state()
    found = verdict.full_verdict(form, kernel_device.type)
    assert found == Verdict(True, 'right in 12 cases (float32, float16, bfloat16)')
    assert torch.equal(torch.get_rng_state(), state)


def test_one_tile_and_several_are_compared(
    monkeypatch: pytest.MonkeyPatch, kernel_device: torch.device
) -> None:
    seen, choose_grid = set(), matrix_triton.choose_grid

    def note(*args) -> matrix_triton.Grid:
        grid = choose_grid(*args)
        seen.add(grid.one_tile)
        return grid

    monkeypatch.setattr(matrix_triton, 'choose_grid', note)
    verdict.full_verdict('matrix', kernel_device.type)
    assert seen == {True, False}


@pytest.mark.parametrize(
    ('op', 'message'),
    [
        (wrong_output, 'the output of the matrix kernels differs from torch (float32, contiguous'),
        (not_finite, 'the output of the matrix kernels differs'),
        (wrong_gradient, 'the gradient of beta of the matrix kernels differs'),
        (no_compiler, 'the matrix kernels do not run: RuntimeError: Failed to find C compiler. Pl'),
    ],
)
def test_wrong_kernels_mean_torch_and_a_line(
    op: Callable, message: str, monkeypatch: pytest.MonkeyPatch, log: list[str]
) -> None:
    stand_in(monkeypatch, op)
    verdict.kernels_are_right.cache_clear()
    assert not verdict.kernels_are_right('matrix')
    assert not verdict.kernels_are_right('matrix')
    verdict.kernels_are_right.cache_clear()
    (line,) = log
    assert line.startswith("impl='auto' takes torch: ") and message in line


def test_passes_of_a_block_are_compared(
    monkeypatch: pytest.MonkeyPatch, kernel_device: torch.device
) -> None:
    project, backward, can_fuse = matrix_project_triton.separable_attention.passes

    def wrong(part: int) -> Callable:
        def pass_of(*args) -> tuple:
            found = (project if part < 3 else backward)(*args)
            return *found[: part % 3], found[part % 3] + 0.1, *found[part % 3 + 1 :]

        return pass_of

    for part, name in enumerate(('output', 'Q and K', 'context', 'gradient of Q and K')):
        passes = (wrong(part), backward) if part < 3 else (project, wrong(part))
        op = matrix_project_triton.separable_attention
        monkeypatch.setattr(op, 'passes', (*passes, can_fuse))
        found = verdict.full_verdict('matrix', kernel_device.type)
        assert not found.right and f'{name} of a block of the matrix kernels' in found.reason


@pytest.mark.parametrize('op', [right, wrong_output])
def test_a_comparison_is_kept(op: Callable, monkeypatch: pytest.MonkeyPatch) -> None:
    done = stand_in(monkeypatch, op)
    first = verdict.kept_verdict('matrix', DTYPES)
    assert verdict.kept_verdict('matrix', DTYPES) == first and done == ['matrix']
    (path,) = verdict.cache_folder().glob('*.json')
    assert json.loads(path.read_text()) == dict(right=op is right, reason=first.reason)
    for part in ('matrix-float32-float16-sm90', f'torch{torch.__version__}', 'triton'):
        assert part in path.name
    path.write_text('{"right": tr')  # cut off
    assert verdict.kept_verdict('matrix', DTYPES) == first and len(done) == 2


def test_what_a_verdict_depends_on(monkeypatch: pytest.MonkeyPatch) -> None:
    keys = {verdict.cache_key(form, DTYPES) for form in ('matrix', 'recurrent')}
    keys.add(verdict.cache_key('matrix', DTYPES[:1]))
    monkeypatch.setattr(torch.cuda, 'get_device_capability', lambda: (8, 0))
    keys.add(verdict.cache_key('matrix', DTYPES))
    monkeypatch.setattr(Path, 'read_bytes', lambda path: b'another kernel')
    keys.add(verdict.cache_key('matrix', DTYPES))
    monkeypatch.setattr(torch, '__version__', '3.0')
    keys.add(verdict.cache_key('matrix', DTYPES))
    assert len(keys) == 6


def test_an_error_is_not_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch:
        stand_in(patch, no_compiler)
        assert not verdict.kept_verdict('matrix', DTYPES).right
    assert list(verdict.cache_folder().glob('*.json')) == []
    stand_in(monkeypatch, right)
    assert verdict.kept_verdict('matrix', DTYPES).right


def test_no_folder_to_write_in(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / 'file').touch()
    monkeypatch.setenv('XDG_CACHE_HOME', str(tmp_path / 'file'))
    done = stand_in(monkeypatch, right)
    assert verdict.kept_verdict('matrix', DTYPES).right and done == ['matrix']


def test_ranks_that_start_together_compare_once(monkeypatch: pytest.MonkeyPatch) -> None:
    done = stand_in(monkeypatch, wrong_output)
    with ThreadPoolExecutor(4) as ranks:
        found = set(ranks.map(lambda _: verdict.kept_verdict('matrix', DTYPES), range(4)))
    assert len(found) == 1 and done == ['matrix']
    assert [path.suffix for path in verdict.cache_folder().iterdir() if path.suffix != '.lock'] == [
        '.json'
    ]
