"""Shipped configs for tests: read once, built as the Runner builds them, their learning rates."""

from copy import deepcopy
from functools import cache
from pathlib import Path

import torch
from mmengine.config import Config
from mmengine.model import BaseModel
from mmengine.registry import MODELS, PARAM_SCHEDULERS, DefaultScope

from vminet_mm.engine import load_config

CONFIG_DIR = Path(__file__).parents[1] / 'configs'
EPOCH = 1500  # iterations an epoch in these tests; longer than any warm-up by iterations


@cache
def _read(path: Path) -> Config:
    return load_config(path)


def load(path: Path) -> Config:
    """A config of one's own; reading one takes a second."""
    return deepcopy(_read(path))


def build(cfg: Config) -> BaseModel:
    """The model as the Runner builds it."""
    with DefaultScope.overwrite_default_scope(cfg.default_scope):
        cfg.model.setdefault('data_preprocessor', cfg.get('data_preprocessor'))
        return MODELS.build(cfg.model)


def learning_rates(cfg: Config) -> list[float]:
    """The learning rate of every iteration, in the order in which the Runner's hooks step."""
    optimizer = torch.optim.SGD(
        [torch.zeros(1, requires_grad=True)], cfg.optim_wrapper.optimizer.lr
    )
    arguments = dict(optimizer=optimizer, epoch_length=EPOCH)
    schedulers = [PARAM_SCHEDULERS.build(s, default_args=arguments) for s in cfg.param_scheduler]
    optimizer.step()  # or the schedulers warn
    total = cfg.train_cfg.get('max_iters') or cfg.train_cfg.max_epochs * EPOCH
    rates = []
    for iteration in range(1, total + 1):
        rates.append(optimizer.param_groups[0]['lr'])
        for scheduler in schedulers:
            if not scheduler.by_epoch or iteration % EPOCH == 0:
                scheduler.step()
    return rates
