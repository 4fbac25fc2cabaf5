"""Autocast in block and backbone at 1333 x 1333, and training with a scaled loss."""

from copy import deepcopy

import pytest
import torch
from mmengine.optim import AmpOptimWrapper
from tiny_models import TINY
from torch import Tensor

from vminet_mm.models import VMINet, VMISABlock

SIZE = (334, 334)  # of the first stage for 1333 x 1333: 111,556 tokens
DTYPES = [torch.float16, torch.bfloat16]
FORMS = ['matrix', 'recurrent']


def block(form: str) -> VMISABlock:
    return VMISABlock(4, (56, 56), attn_cfg=dict(form=form))


@pytest.mark.parametrize('dtype', DTYPES, ids=str)
@pytest.mark.parametrize('form', FORMS)
def test_block_in_the_whole_range_of_float16(form: str, dtype: torch.dtype) -> None:
    """Where K is as large as float16 allows, E is larger than that."""
    model, x = block(form).train(), torch.randn(1, 4, *SIZE, requires_grad=True)
    with torch.no_grad():
        features = deepcopy(model).dwconv(x)
        factor = 65000 / model.attn.key(features).abs().max()
        for weight in model.attn.key.parameters():
            weight.mul_(factor)
        embedding = model.attn.query(features).clamp(0, 6) * model.attn.key(features)
        assert embedding.abs().max() > 65504
    with torch.autocast('cpu', dtype):
        out = model(x)
    assert out.isfinite().all() and (out - x).abs().max() > 0.1
    out.mean().backward()
    assert all(t.grad.isfinite().all() for t in (x, *model.parameters()))


@pytest.mark.parametrize('dtype', DTYPES, ids=str)
@pytest.mark.parametrize('form', FORMS)
def test_block_is_that_of_float64(form: str, dtype: torch.dtype) -> None:
    model, x = block(form).train(), torch.randn(1, 4, *SIZE)
    torch.nn.init.uniform_(model.attn.alpha, 0, 2 / 56**2)  # a context of the size of a token
    exact = deepcopy(model).double()
    with torch.no_grad(), torch.autocast('cpu', dtype):
        branch = model(x) - x
    with torch.no_grad():
        expected = exact(x.double()) - x
    error = (branch - expected).norm() / expected.norm()
    assert error < 8 * torch.finfo(dtype).eps


@pytest.mark.parametrize('dtype', DTYPES, ids=str)
@pytest.mark.parametrize('form', FORMS)
def test_backbone_trains_at_1333(form: str, dtype: torch.dtype) -> None:
    model = VMINet(TINY, form=form, out_indices=(0, 1, 2, 3)).train()
    x = torch.rand(1, 3, 1333, 1333) * 255  # not even normalized
    with torch.autocast('cpu', dtype):
        outputs = model(x)
    assert outputs[0].shape[2:] == SIZE
    assert all(y.isfinite().all() for y in outputs)
    sum(y.float().square().mean() for y in outputs).backward()
    assert all(p.grad.isfinite().all() for p in model.parameters())


class Training:
    """Steps of a tiny model in mixed precision, with the loss scaler that a GPU would have.

    Args:
        dtype: Of autocast.
        scale: The scale to begin with; it grows after 1000 good steps, so never.
        **options: Of AmpOptimWrapper.
    """

    def __init__(self, dtype: torch.dtype, scale: float, **options: object) -> None:
        torch.manual_seed(1)
        self.dtype, self.model = dtype, VMINet(TINY, img_size=64).train()
        optimizer = torch.optim.AdamW(self.model.parameters(), lr=0.01, fused=False)
        self.optim = AmpOptimWrapper(optimizer=optimizer, dtype='bfloat16', **options)
        # on the CPU, compat switches it off
        self.optim.loss_scaler = torch.amp.GradScaler('cpu', init_scale=scale, growth_interval=1000)

    def step(self, number: int, factor: float = 1.0) -> None:
        random = torch.Generator().manual_seed(number)
        x = torch.randn(4, 3, 64, 64, generator=random)
        with torch.autocast('cpu', self.dtype):  # MMEngine's allows the CPU no float16
            (y,) = self.model(x)
        target = torch.randn(y.shape, generator=random)
        self.optim.update_params((y.float() * target).mean() * factor)

    @property
    def scale(self) -> float:
        return self.optim.loss_scaler.get_scale()

    def weights(self) -> list[Tensor]:
        return [p.detach().clone() for p in self.model.parameters()]

    def moments(self) -> list[Tensor]:
        return [v.clone() for s in self.optim.optimizer.state.values() for v in s.values()]


@pytest.mark.parametrize(
    'options', [{}, dict(clip_grad=dict(max_norm=0.1)), dict(accumulative_counts=2)], ids=str
)
def test_scale_changes_nothing(options: dict) -> None:
    """Powers of two are exact as long as nothing leaves the range, which is float32's here."""
    plain, scaled = (Training(torch.bfloat16, scale, **options) for scale in (1.0, 2.0**16))
    start = plain.weights()
    for number in range(4):
        plain.step(number), scaled.step(number)
    assert scaled.scale == 2.0**16
    assert all(map(torch.equal, plain.weights(), scaled.weights()))
    assert not all(map(torch.equal, plain.weights(), start))


def test_scale_saves_small_gradients_of_float16() -> None:
    """A loss of 1e-6 has gradients that float16 rounds to zero, unless they are scaled."""
    lost = []
    for dtype, scale in ((torch.float16, 1.0), (torch.float16, 2.0**16), (torch.bfloat16, 1.0)):
        run = Training(dtype, scale)
        run.optim.should_update = lambda: False  # so that the gradients stay
        run.step(0, factor=1e-6)
        lost.append(sum((p.grad == 0).sum().item() for p in run.model.parameters()))
    plain, scaled, wide = lost
    assert scaled <= 1.1 * wide + 10 and plain > 2 * scaled


@pytest.mark.parametrize('dtype', DTYPES, ids=str)
def test_overflow_skips_steps_until_the_scale_fits(dtype: torch.dtype) -> None:
    too_large = 2.0**30 if dtype == torch.float16 else 2.0**127
    run = Training(dtype, too_large)
    skipped = 0
    while skipped < 40:
        weights, scale = run.weights(), run.scale
        run.step(0, factor=8.0)
        if run.scale == scale:
            break
        skipped += 1
        assert run.scale == scale / 2
        assert all(map(torch.equal, run.weights(), weights)) and not run.moments()
    assert skipped >= 1
    # it goes on as a run that had this scale from the beginning
    other = Training(dtype, run.scale)
    other.step(0, factor=8.0)
    for number in (1, 2):
        run.step(number), other.step(number)
    # but for the norms' statistics, which saw the skipped images
    assert all(map(torch.equal, run.weights(), other.weights()))
    assert all(map(torch.equal, run.moments(), other.moments()))


def test_scale_is_part_of_a_checkpoint() -> None:
    run, resumed = Training(torch.bfloat16, 2.0**9), Training(torch.bfloat16, 1.0)
    run.step(0)
    resumed.optim.load_state_dict(deepcopy(run.optim.state_dict()))
    assert resumed.scale == 2.0**9
