"""Random numbers that depend on the position in a run, and not on how it was reached.

MMEngine seeds its generators once, so what a random number is depends on all that were drawn
before, in a process that may be gone. Here the generators are seeded anew for every sample, from
the run's seed and the sample's index in the training, and for every iteration. So there is no state
to save, and neither the number of workers nor how far they read ahead makes a difference.
"""

import random
from collections.abc import Callable, Iterator
from functools import partial
from itertools import count
from typing import Any

import numpy as np
import torch
from mmengine.dist import get_dist_info, get_rank
from mmengine.hooks import Hook
from mmengine.runner import Runner
from torch.utils.data import DataLoader, Dataset

_SAMPLE, _ITERATION = 0, 1  # the first part of a key, so that no two uses share one

Key = tuple[int, ...]


def seed_generators(*key: int, device: torch.device | None = None) -> None:
    """Seed the generators of Python, NumPy and PyTorch from some numbers.

    Args:
        key: Not negative. Keys that differ in one number give unrelated random numbers.
        device: PyTorch's generator of the current device of this kind is seeded beside the CPU's,
            and no other device is touched. Defaults to None, the CPU's alone.
    """
    words = np.random.SeedSequence(key).generate_state(4)
    random.seed(words.tobytes())
    np.random.seed(words)
    seed = int.from_bytes(words[:2].tobytes(), 'little')
    torch.default_generator.manual_seed(seed)
    if device is not None and device.type != 'cpu':
        getattr(torch, device.type).manual_seed(seed)


class IterationSeedHook(Hook):
    """Seed the generators for what an iteration draws in this process: drop path, mixup, samplers
    of anchors and proposals."""

    priority = 'HIGHEST'

    def before_train_iter(self, runner: Runner, *args, **kwargs) -> None:
        """Seed from the run's seed, the process and the iteration."""
        device = next(runner.model.parameters()).device
        seed_generators(_ITERATION, runner.seed, get_rank(), runner.iter, device=device)


class NumberedBatches:
    """The batches of a batch sampler, each index with the key that its sample is seeded from.

    A sample's key is its index among the draws of all processes together, so a run in two processes
    sees the same augmented images as a run in one process with batches of twice the size.

    Args:
        batches (Any): The batch sampler.
        seed (int): The run's.
        progress (Callable[[], tuple[int, int]]): Gives the epoch, and how many of its batches are
            done and left out, when asked at the start of a pass.
    """

    def __init__(self, batches: Any, seed: int, progress: Callable[[], tuple[int, int]]) -> None:
        self.batches, self.seed, self.progress = batches, seed, progress
        self.sampler = getattr(batches, 'sampler', None)  # hooks look for its `set_epoch`

    def __iter__(self) -> Iterator[list[tuple[int, Key]]]:
        epoch, done = self.progress()
        rank, processes = get_dist_info()
        drawn = 0
        for number, batch in enumerate(self.batches):
            if number >= done:
                draws = (drawn + i for i in range(len(batch)))
                keys = ((_SAMPLE, self.seed, epoch, draw * processes + rank) for draw in draws)
                yield list(zip(batch, keys, strict=True))
            drawn += len(batch)

    def __len__(self) -> int:
        return len(self.batches)


class EndlessBatches:
    """Repeats a batch sampler forever, for iteration-based training with a sampler that ends.

    Args:
        batches (Any): The batch sampler.
    """

    def __init__(self, batches: Any) -> None:
        self.batches, self.sampler = batches, getattr(batches, 'sampler', None)

    def __iter__(self) -> Iterator[list[int]]:
        for epoch in count() if len(self.batches) else ():
            if hasattr(self.sampler, 'set_epoch'):
                self.sampler.set_epoch(epoch)
            yield from self.batches

    def __len__(self) -> int:
        return len(self.batches)


def number_draws(
    loader: DataLoader, seed: int, progress: Callable[[], tuple[int, int]], endless: bool
) -> None:
    """Have a data loader, not yet iterated, seed the generators before each sample.

    For ``progress`` see :class:`NumberedBatches`; endless batches go on after a pass over the data.
    """
    if loader.batch_sampler is None:  # samples are not batched: nothing that can be numbered
        return
    batches = EndlessBatches(loader.batch_sampler) if endless else loader.batch_sampler
    # past DataLoader's own __setattr__, which allows no change of it
    object.__setattr__(loader, 'batch_sampler', NumberedBatches(batches, seed, progress))
    # what torch's fetcher calls; a wrapped data set would hide the attributes that hooks change
    loader.dataset.__getitems__ = partial(_draw, loader.dataset)


def _draw(dataset: Dataset, batch: list[tuple[int, Key]]) -> list[Any]:
    """The samples of a batch, each with generators of its own seed."""
    samples = []
    for index, key in batch:
        seed_generators(*key)
        samples.append(dataset[index])
    return samples
