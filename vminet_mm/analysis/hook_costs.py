"""Time that the hooks of a training take per iteration, and MMEngine's own loop for comparison."""

import os
import tempfile
import time
import warnings
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any

import torch
from mmengine.config import Config
from mmengine.fileio import dump, load
from mmengine.hooks import Hook
from mmengine.runner import Runner
from torch import distributed as dist
from torch.multiprocessing.spawn import spawn

from ..compat.patching import temporarily
from ..engine.reliability.nonfinite import NonFiniteLossHook
from ..engine.reliability.resume import ResumableRunner
from .tables import text_table

WARMUP = 5  # iterations that are not counted
OURS = 'vminet_mm'


@dataclass(frozen=True)
class HookCost:
    """One hook.

    Attributes:
        hook: Its class.
        is_ours: Whether it is a hook of this package.
        seconds: Its time per iteration in one process, the median.
        messages: Messages per iteration to the other processes.
    """

    hook: str
    is_ours: bool
    seconds: float
    messages: float


@dataclass(frozen=True)
class LoopCosts:
    """The time of a training loop.

    Attributes:
        processes: How many trained together.
        seconds: Time per iteration, data loading included; the median of all rounds.
        stock_seconds: The same in MMEngine's runner without hooks of this package.
        ratio: The ratio of the two, the median of the rounds.
        hooks: The hooks, the most expensive first.
    """

    processes: int
    seconds: float
    stock_seconds: float
    ratio: float
    hooks: list[HookCost]

    def table(self) -> str:
        """Lines to print."""
        rows = [
            (c.hook, 'yes' if c.is_ours else '', f'{c.seconds * 1e3:.3f}', f'{c.messages:g}')
            for c in self.hooks
        ]
        lines = text_table([('hook', 'ours', 'ms', 'messages'), *rows])
        ours = sum(cost.seconds for cost in self.hooks if cost.is_ours)
        return '\n'.join(
            [
                *lines,
                f'{self.processes} process(es): {self.seconds * 1e3:.2f} ms an iteration, '
                f"{self.stock_seconds * 1e3:.2f} ms in MMEngine's own loop, "
                f'ratio {self.ratio:.3f}; our hooks take {ours * 1e3:.3f} ms',
            ]
        )


def measure(cfg: Config, processes: int, iterations: int, rounds: int) -> LoopCosts:
    """Train with and without the hooks of this package, in turn, so many iterations in each round.

    Several processes on this machine talk by what ``env_cfg.dist_cfg`` says.
    """
    with tempfile.TemporaryDirectory() as folder:
        job = (_shortened(cfg, iterations).to_dict(), processes, rounds, folder)
        if processes == 1:
            _train_in_turn(0, *job)
        else:
            spawn(_train_in_turn, args=job, nprocs=processes)
        found = load(f'{folder}/costs.json')
    hooks = [HookCost(**cost) for cost in found.pop('hooks')]
    return LoopCosts(**found, hooks=hooks)


def _shortened(cfg: Config, iterations: int) -> Config:
    """A training of some iterations that neither validates nor saves."""
    cfg = Config(cfg.to_dict())
    cfg.train_cfg = dict(by_epoch=False, max_iters=WARMUP + iterations, val_interval=10**9)
    cfg.param_scheduler = []
    for name in ('val_cfg', 'val_dataloader', 'val_evaluator'):
        cfg[name] = None
    for name in ('test_cfg', 'test_dataloader', 'test_evaluator', 'load_from'):
        cfg[name] = None
    cfg.setdefault('default_hooks', {})
    cfg.default_hooks.checkpoint = dict(type='CheckpointHook', interval=-1, save_last=False)
    cfg.default_hooks.pop('visualization', None)
    cfg.log_level = 'ERROR'
    return cfg


def _train_in_turn(rank: int, cfg: dict, processes: int, rounds: int, folder: str) -> None:
    """The work of each process; the first one writes the results."""
    cfg = Config(cfg)
    warnings.simplefilter('ignore')  # of upstream code, again in each round
    if processes > 1:
        _join(rank, processes, folder)
        cfg.launcher = 'pytorch'
    stock, ours, costs = [], [], defaultdict(list)
    for number in range(rounds):
        loops = ((Runner, stock), (ResumableRunner, ours))
        for kind, seconds in loops[:: -1 if number % 2 else 1]:  # none is always the first
            name = f'{kind.__name__}{number}'
            run = _build(cfg, kind, Path(folder, name))
            clock = _Clock(run)
            run.train()
            seconds.append(median(clock.iterations()))
            if kind is ResumableRunner:
                for key, values in clock.costs().items():
                    costs[key] += values
    if rank == 0:
        ratio = median(mine / other for mine, other in zip(ours, stock, strict=True))
        report = LoopCosts(processes, median(ours), median(stock), ratio, _summary(costs))
        dump(asdict(report), f'{folder}/costs.json')
    if processes > 1:
        dist.barrier()
        dist.destroy_process_group()


def _join(rank: int, processes: int, folder: str) -> None:
    """Make the process one of several, through a file and without a port."""
    os.environ |= {'LOCAL_RANK': str(rank), 'RANK': str(rank), 'WORLD_SIZE': str(processes)}
    torch.set_num_threads(max(1, (os.cpu_count() or 1) // processes))
    is_gpu = torch.cuda.is_available()
    if is_gpu:
        torch.cuda.set_device(rank)
    dist.init_process_group(
        'nccl' if is_gpu else 'gloo',
        init_method=f'file://{folder}/store',
        rank=rank,
        world_size=processes,
    )


def _build(cfg: Config, kind: type[Runner], work_dir: Path) -> Runner:
    """The run of a loop; that of MMEngine has none of our hooks."""
    cfg = Config(cfg.to_dict())
    cfg.work_dir, cfg.experiment_name = str(work_dir), work_dir.name
    if kind is Runner:
        hooks = cfg.get('custom_hooks') or []
        cfg.custom_hooks = [hook for hook in hooks if hook['type'] != 'NormStatisticsHook']
        for name in ('non_finite', 'nothing_learned'):
            cfg.default_hooks.pop(name, None)
    return kind.from_cfg(cfg)


def _summary(costs: dict[tuple[str, bool], list[tuple[float, int]]]) -> list[HookCost]:
    """Medians over all iterations, the most expensive hook first."""
    rows = []
    for (hook, is_ours), calls in costs.items():
        seconds, messages = zip(*calls, strict=True)
        rows.append(HookCost(hook, is_ours, median(seconds), median(messages)))
    return sorted(rows, key=lambda row: -row.seconds)


class _Clock(Hook):
    """Times a run's hooks from within it.

    Args:
        runner: Not yet trained.
    """

    priority = 'HIGHEST'

    def __init__(self, runner: Runner) -> None:
        self.begins: list[float] = []
        self.spent: dict[tuple[str, bool], list[list]] = {}
        for hook in runner.hooks:
            self._watch(hook)
        runner.register_hook(self)

    def iterations(self) -> list[float]:
        """Seconds of each iteration after the first few."""
        counted = self.begins[WARMUP:]
        return [end - begin for begin, end in zip(counted, counted[1:], strict=False)]

    def costs(self) -> dict[tuple[str, bool], list[tuple[float, int]]]:
        """Seconds and messages of each hook and iteration after the first few."""
        return {key: [*map(tuple, calls[WARMUP:])] for key, calls in self.spent.items()}

    def before_train_iter(self, runner: Runner, *args: Any, **kwargs: Any) -> None:
        """Begin an iteration."""
        self.begins.append(time.perf_counter())
        for calls in self.spent.values():
            calls.append([0.0, 0])

    def _watch(self, hook: Hook) -> None:
        """Time what a hook does before and after an iteration."""
        key = (type(hook).__name__, type(hook).__module__.startswith(OURS))
        self.spent[key] = []
        for name in ('before_train_iter', 'after_train_iter'):
            setattr(hook, name, partial(self._timed, key, getattr(hook, name)))
        if isinstance(hook, NonFiniteLossHook):
            hook._backward = partial(self._timed_around, key, hook._backward)

    def _timed(self, key: tuple[str, bool], method: Callable, *args: Any, **kwargs: Any) -> None:
        """Call a method of a hook, and add its time and messages."""
        with _counted() as messages:
            begin = time.perf_counter()
            method(*args, **kwargs)
            self._add(key, time.perf_counter() - begin, len(messages))

    def _timed_around(
        self,
        key: tuple[str, bool],
        method: Callable,
        runner: Runner,
        model: Any,
        wrapper: Any,
        backward: Callable,
        *args: Any,
        **kwargs: Any,
    ) -> None:
        """Time what a hook does before and after the backward pass, without that."""
        within = 0.0

        def timed_backward(*args: Any, **kwargs: Any) -> None:
            """The backward pass, whose time is not the hook's."""
            nonlocal within
            begin = time.perf_counter()
            backward(*args, **kwargs)
            within = time.perf_counter() - begin

        with _counted() as messages:
            begin = time.perf_counter()
            method(runner, model, wrapper, timed_backward, *args, **kwargs)
            self._add(key, time.perf_counter() - begin - within, len(messages))

    def _add(self, key: tuple[str, bool], seconds: float, messages: int) -> None:
        """Add to what a hook took in this iteration."""
        if self.spent[key]:
            self.spent[key][-1][0] += seconds
            self.spent[key][-1][1] += messages


@contextmanager
def _counted() -> Iterator[list[str]]:
    """Note the messages to other processes; DDP's own are sent below Python."""
    names, sent = [], dist.all_reduce

    def all_reduce(*args: Any, **kwargs: Any) -> Any:
        """Note a message and send it."""
        names.append('all_reduce')
        return sent(*args, **kwargs)

    with temporarily(dist, all_reduce=all_reduce):
        yield names
