"""Losses and gradients of two processes, each with half of a batch, against those of one process.

A part of distributed_runs.py, whose processes are forked.
"""

import os
import traceback
from copy import deepcopy
from pathlib import Path

import torch
from mmengine.model import BaseModel, MMDistributedDataParallel
from mmengine.registry import DefaultScope
from mmengine.runner import Runner
from tiny_configs import random_model, tiny_config
from torch import Tensor
from torch import distributed as dist

from vminet_mm.datasets.config_parts import find_key
from vminet_mm.engine import set_data_root
from vminet_mm.engine.hooks import average_statistics, norms_with_statistics
from vminet_mm.engine.reliability.randomness import seed_generators

FOLDERS = dict(classification='imagenet', segmentation='ade', detection='coco')
Result = dict[str, Tensor]  # the loss, the gradients and the norms' statistics by name


def check_gradients(data: Path, work_dir: Path) -> None:
    """Compare for a model of each task, with norms as in evaluation and as in training."""
    for task, folder in FOLDERS.items():
        cfg = tiny_config(task)
        set_data_root(cfg, str(data / folder))
        for _, loss in find_key(cfg.model, 'loss_decode'):
            loss.class_weight = None  # or a process's loss is divided by the weight of its pixels
        cfg.train_dataloader.update(batch_size=4, num_workers=0, persistent_workers=False)
        with DefaultScope.overwrite_default_scope(cfg.default_scope):
            batch = next(iter(Runner.build_dataloader(cfg.train_dataloader, seed=0)))
            model = random_model(cfg)
            for training in (False, True):
                model.train(training)
                folder = work_dir / f'{task}-{"training" if training else "evaluation"}'
                folder.mkdir(parents=True)
                actual = in_two_processes(folder, model, batch)
                one, other = (step(deepcopy(model), half(batch, i), i) for i in (0, 1))
                mean = {name: (value + other[name]) / 2 for name, value in one.items()}
                compare(f'{folder.name}, halves one after the other', actual, mean)
                # mmdet divides the losses of a process by the number of its own boxes, and norms
                # that are not synchronized see their own images alone
                if task != 'detection' and not training:
                    whole = step(deepcopy(model), batch, 0)
                    compare(f'{folder.name}, whole batch', actual, whole)


def half(batch: dict, i: int) -> dict:
    return {key: value[2 * i : 2 * i + 2] for key, value in batch.items()}


def step(
    model: BaseModel, batch: dict, seed: int, wrapper: torch.nn.Module | None = None
) -> Result:
    """A forward and a backward pass."""
    seed_generators(seed)
    model.zero_grad()
    losses = (wrapper or model)(**model.data_preprocessor(batch, True), mode='loss')
    loss = model.parse_losses(losses)[0]
    loss.backward()
    result = {'loss': loss.detach()}
    result |= {name: parameter.grad.clone() for name, parameter in model.named_parameters()}
    statistics = ('running_mean', 'running_var')
    return result | {k: v.clone() for k, v in model.state_dict().items() if k.endswith(statistics)}


def in_two_processes(folder: Path, model: BaseModel, batch: dict) -> Result:
    """What rank 0 has in the end, with the mean of the losses."""
    pids = []
    for rank in (0, 1):
        if (pid := os.fork()) == 0:
            try:
                _process(rank, folder, model, half(batch, rank))
                os._exit(0)
            except BaseException:
                traceback.print_exc()
            finally:
                os._exit(1)
        pids.append(pid)
    if any(os.waitpid(pid, 0)[1] for pid in pids):
        raise SystemExit(f'{folder.name}: a process failed')
    one, other = (torch.load(folder / f'{rank}.pth') for rank in (0, 1))
    compare(f'{folder.name}, the other process', one | {'loss': 0}, other | {'loss': 0})
    return one | {'loss': (one['loss'] + other['loss']) / 2}


def _process(rank: int, folder: Path, model: BaseModel, batch: dict) -> None:
    torch.set_num_threads(1)
    store = f'file://{folder}/store'
    dist.init_process_group('gloo', init_method=store, rank=rank, world_size=2)
    wrapper = MMDistributedDataParallel(model, broadcast_buffers=False)
    result = step(model, batch, rank, wrapper)
    average_statistics(norms_with_statistics(model))
    result |= {name: model.state_dict()[name] for name in result if 'running_' in name}
    torch.save(result, folder / f'{rank}.pth')
    step(model, batch, rank, wrapper)  # fails if a parameter had no gradient in the first
    dist.destroy_process_group()


def compare(what: str, actual: Result, expected: Result) -> None:
    """Raise unless two results are the same up to rounding."""
    for name, value in expected.items():
        value = torch.as_tensor(value)
        atol = 1e-5 * value.abs().max().item() + 1e-8
        if not torch.allclose(torch.as_tensor(actual[name]), value, rtol=1e-4, atol=atol):
            raise SystemExit(f'{what}: {name} differs: {actual[name]} != {value}')
    print(f'{what}: {len(expected)} tensors agree')
