"""What hooks cost: counted in real short trainings; the figures themselves are not judged."""

from pathlib import Path

import pytest
from mmengine.config import Config
from two_processes import start_forked

from vminet_mm.analysis.hook_costs import HookCost, LoopCosts, measure
from vminet_mm.engine import load_config

CONFIG = Path(__file__).parents[2] / 'configs/cls/vminet-ti_mini.py'
TINY = {
    'model.backbone.arch': dict(_delete_=True, base_channels=4, expansion=2, depths=[1, 1, 1, 1]),
    'model.head.in_channels': 32,
    'train_dataloader.batch_size': 2,
    'train_dataloader.num_workers': 0,
    'train_dataloader.persistent_workers': False,
}


@pytest.fixture
def cfg(mini_root: Path) -> Config:
    return load_config(CONFIG, TINY, str(mini_root / 'imagenet'))


def test_one_process(cfg: Config) -> None:
    costs = measure(cfg, processes=1, iterations=3, rounds=1)
    ours = {cost.hook: cost for cost in costs.hooks if cost.is_ours}
    assert {*ours} == {
        *('NonFiniteLossHook', 'NothingLearnedHook', 'IterationSeedHook'),
        *('SafeCheckpointHook', 'NormStatisticsHook'),
    }
    assert {cost.hook for cost in costs.hooks} >= {'RuntimeInfoHook', 'ParamSchedulerHook'}
    assert all(cost.seconds > 0 and cost.messages == 0 for cost in costs.hooks)
    assert costs.ratio == pytest.approx(costs.seconds / costs.stock_seconds)
    assert cfg.train_cfg.max_epochs == 15  # the config is left as it was


@pytest.mark.slow
def test_messages_of_two_processes(cfg: Config, monkeypatch: pytest.MonkeyPatch) -> None:
    """One of the loss and the signals, one of the norms; no other hook of ours sends any."""
    monkeypatch.setattr('vminet_mm.analysis.hook_costs.spawn', start_forked)
    costs = measure(cfg, processes=2, iterations=3, rounds=1)
    sent = {cost.hook: cost.messages for cost in costs.hooks if cost.messages}
    assert costs.processes == 2
    assert sent == {'NonFiniteLossHook': 1, 'NormStatisticsHook': 1}


def test_table() -> None:
    hooks = [HookCost('NonFiniteLossHook', True, 0.0012, 1), HookCost('Other', False, 0.0005, 0)]
    lines = LoopCosts(2, 0.03, 0.02, 1.5, hooks).table().splitlines()
    assert lines[1].split() == ['NonFiniteLossHook', 'yes', '1.200', '1']
    assert lines[2].split() == ['Other', '0.500', '0']
    assert '30.00 ms an iteration, 20.00 ms' in lines[3] and lines[3].endswith('take 1.200 ms')
