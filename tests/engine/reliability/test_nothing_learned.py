"""A run says once when its loss or its gradients have been exactly 0 for a while."""

from pathlib import Path

import pytest
import torch
from mmengine.model import BaseModel
from torch import Tensor, nn
from torch.utils.data import Dataset

from vminet_mm.engine.reliability.nothing_learned import NothingLearnedHook
from vminet_mm.engine.reliability.resume import ResumableRunner

NUMBER = 12  # iterations of a run


class Nothing(Dataset):
    """As many samples as a run has iterations."""

    def __len__(self) -> int:
        return NUMBER

    def __getitem__(self, index: int) -> dict:
        return dict(inputs=torch.zeros(1))


class Model(BaseModel):
    """A loss whose value and gradient are set, at each iteration."""

    def __init__(self, values: list[float], slopes: list[float]) -> None:
        super().__init__()
        self.layer, self.unused = nn.Linear(2, 1), nn.Linear(1, 1)
        self.values, self.slopes = iter(values), iter(slopes)

    def forward(self, inputs: Tensor, data_samples: object = None, mode: str = 'loss') -> dict:
        out = self.layer.weight.sum() * next(self.slopes)
        return dict(loss=out - out.detach() + next(self.values))


def warnings(
    folder: Path,
    values: list[float] | float,
    slopes: list[float] | float,
    off: bool = False,
    **hook: int,
) -> list[str]:
    """What a run of 12 iterations warns of."""
    values, slopes = ([x] * NUMBER if isinstance(x, float) else x for x in (values, slopes))
    run = ResumableRunner(
        Model(values, slopes),
        str(folder),
        train_dataloader=dict(
            batch_size=1,
            dataset=Nothing(),
            sampler=dict(type='DefaultSampler', shuffle=False),
        ),
        train_cfg=dict(by_epoch=True, max_epochs=1),
        optim_wrapper=dict(optimizer=dict(type='SGD', lr=0.5)),
        default_hooks=dict(
            nothing_learned=None if off else dict(type='NothingLearnedHook', **hook)
        ),
        experiment_name=str(folder),
        log_level='ERROR',
    )
    said: list[str] = []
    run.logger.warning = said.append
    run.train()
    return [text for text in said if 'exactly 0' in text]


def test_loss_of_zero(tmp_path: Path) -> None:
    (text,) = warnings(tmp_path, 0.0, 1.0, iterations=3, interval=2)
    assert text.startswith('The loss has been exactly 0 for') and 'vminet_mm check-data' in text


def test_gradients_of_zero(tmp_path: Path) -> None:
    (text,) = warnings(tmp_path, 2.0, 0.0, iterations=3, interval=2)
    assert text.startswith('The gradient of every parameter has been exactly 0 for')


def test_both_are_told_once(tmp_path: Path) -> None:
    assert len(warnings(tmp_path, 0.0, 0.0, iterations=1, interval=1)) == 2


def test_short_run_is_judged_at_its_end(tmp_path: Path) -> None:
    loss, gradient = warnings(tmp_path, 0.0, 0.0)  # 50 iterations by default
    assert '0 for 12 iterations' in loss and '0 for 12 iterations' in gradient


@pytest.mark.parametrize(
    ('values', 'slopes'),
    [
        (1.0, 1.0),
        (1e-30, 1e-30),  # tiny is not 0, though its square is
        ([0.0, 0.0, 1.0] * 4, 1.0),  # never more than two in a row
        ([1.0] * NUMBER, [0.0, 0.0, 1.0] * 4),
    ],
)
def test_what_learns_is_left_alone(tmp_path: Path, values: object, slopes: object) -> None:
    assert warnings(tmp_path, values, slopes, iterations=3, interval=1) == []


def test_a_loss_of_zero_from_some_iteration_on(tmp_path: Path) -> None:
    values = [1.0] * 4 + [0.0] * 8
    assert len(warnings(tmp_path / 'a', values, 1.0, iterations=6, interval=1)) == 1
    assert warnings(tmp_path / 'b', values, 1.0, iterations=9, interval=1) == []


def test_switched_off(tmp_path: Path) -> None:
    assert warnings(tmp_path, 0.0, 0.0, off=True) == []


def test_optimizer_is_left_as_it_was(tmp_path: Path) -> None:
    hook = NothingLearnedHook()
    optimizer = torch.optim.SGD(nn.Linear(1, 1).parameters(), lr=1.0)
    wrapper = type('Wrapper', (), dict(optimizer=optimizer))()
    runner = type('Runner', (), dict(optim_wrapper=wrapper, cfg={}))()
    hook.before_train(runner)
    assert len(optimizer._optimizer_step_pre_hooks) == 1
    hook.after_train(runner)
    assert len(optimizer._optimizer_step_pre_hooks) == 0
