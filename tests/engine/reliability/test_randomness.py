"""Seeds of samples and iterations, and data loaders that go on where a run was."""

import random

import numpy as np
import pytest
import torch
from torch.utils.data import BatchSampler, DataLoader, Dataset, SequentialSampler

from vminet_mm.engine.reliability import randomness
from vminet_mm.engine.reliability.randomness import (
    EndlessBatches,
    IterationSeedHook,
    NumberedBatches,
    number_draws,
    seed_generators,
)


class Noise(Dataset):
    """Samples of the index and a random number of each generator."""

    def __init__(self) -> None:
        self.read: list[int] = []

    def __len__(self) -> int:
        return 7

    def __getitem__(self, index: int) -> tuple[int, float, float, float]:
        self.read.append(index)
        return index, random.random(), np.random.rand(), torch.rand(()).item()


class Passes(SequentialSampler):
    """A sampler that records the epochs it is given."""

    epochs: list[int] = []

    def set_epoch(self, epoch: int) -> None:
        self.epochs.append(epoch)


def batches(of: int = 7, size: int = 3) -> BatchSampler:
    return BatchSampler(Passes(range(of)), size, drop_last=False)


def numbers() -> tuple[float, float, float]:
    return random.random(), np.random.rand(), torch.rand(()).item()


def loaded(workers: int, done: int = 0, epoch: int = 0, endless: bool = False) -> list[list]:
    """What a numbered loader gives, up to five batches."""
    loader = DataLoader(
        Noise(), 3, num_workers=workers, persistent_workers=workers > 0, collate_fn=list
    )
    number_draws(loader, 5, lambda: (epoch, done), endless)
    assert len(loader) == 3
    return [batch for _, batch in zip(range(5), loader, strict=False)]


def test_equal_keys_and_only_those_give_equal_numbers() -> None:
    drawn = {}
    for key in ((0, 1, 2, 3), (0, 1, 3, 2), (1, 1, 2, 3), (0, 2**40, 2, 3)):
        seed_generators(*key)
        drawn[key] = numbers()
        seed_generators(*key)
        assert numbers() == drawn[key]
    assert all(len(set(column)) == 4 for column in zip(*drawn.values(), strict=True))


def test_iterations_and_processes_have_seeds_of_their_own(monkeypatch: pytest.MonkeyPatch) -> None:
    seen = []
    for rank, iteration in ((0, 0), (0, 1), (1, 0), (0, 0)):
        monkeypatch.setattr(randomness, 'get_rank', lambda rank=rank: rank)
        runner = type('Runner', (), dict(seed=9, iter=iteration, model=torch.nn.Linear(1, 1)))()
        IterationSeedHook().before_train_iter(runner, 0, data_batch=None)
        seen.append(numbers())
    assert seen[0] == seen[3] and len(set(seen)) == 3


def test_of_the_devices_only_the_current_one_is_seeded(monkeypatch: pytest.MonkeyPatch) -> None:
    """And none where nothing is drawn on a device."""
    seeds = []
    monkeypatch.setattr(torch.cuda, 'manual_seed', seeds.append)
    monkeypatch.setattr(torch.cuda, 'manual_seed_all', lambda seed: pytest.fail('all devices'))
    seed_generators(4, 2)
    seed_generators(4, 2, device=torch.device('cpu'))
    assert seeds == []
    seed_generators(4, 2, device=torch.device('cuda', 1))
    assert seeds == [torch.default_generator.initial_seed()]


def test_keys_are_places_among_the_draws_of_all_processes(monkeypatch: pytest.MonkeyPatch) -> None:
    keys = {}
    for processes in (1, 2):
        for rank in range(processes):
            monkeypatch.setattr(randomness, 'get_dist_info', lambda r=rank, n=processes: (r, n))
            numbered = NumberedBatches([[4, 2], [3]], 8, lambda: (6, 0))
            keys[processes, rank] = [[key for _, key in batch] for batch in numbered]
            assert [[index for index, _ in batch] for batch in numbered] == [[4, 2], [3]]
    assert keys[1, 0] == [[(0, 8, 6, 0), (0, 8, 6, 1)], [(0, 8, 6, 2)]]
    assert keys[2, 0] == [[(0, 8, 6, 0), (0, 8, 6, 2)], [(0, 8, 6, 4)]]
    assert keys[2, 1] == [[(0, 8, 6, 1), (0, 8, 6, 3)], [(0, 8, 6, 5)]]


def test_what_is_done_is_left_out_and_keeps_its_numbers() -> None:
    whole = [*NumberedBatches(batches(), 1, lambda: (0, 0))]
    for done in range(4):
        assert [*NumberedBatches(batches(), 1, lambda done=done: (0, done))] == whole[done:]


def test_batches_without_end() -> None:
    Passes.epochs = []
    endless = iter(EndlessBatches(batches()))
    assert [next(endless) for _ in range(5)] == [[0, 1, 2], [3, 4, 5], [6], [0, 1, 2], [3, 4, 5]]
    assert Passes.epochs == [0, 1]
    assert [*EndlessBatches(batches(of=0))] == []


def test_samples_do_not_depend_on_workers_or_where_the_run_began() -> None:
    for endless in (False, True):
        whole = loaded(0, endless=endless)
        assert [sample[0] for sample in whole[1]] == [3, 4, 5]
        assert len(whole) == (5 if endless else 3)
        assert loaded(2, endless=endless) == whole
        assert loaded(2, done=2, endless=endless)[: len(whole) - 2] == whole[2:]
    assert whole[3] != whole[0]  # another pass, other numbers
    assert loaded(0, epoch=1) != loaded(0)


def test_what_is_done_is_not_read_again() -> None:
    loader = DataLoader(Noise(), 3, collate_fn=list)
    number_draws(loader, 5, lambda: (0, 4), endless=True)
    next(iter(loader))
    assert loader.dataset.read == [3, 4, 5]  # the second batch of the second pass


def test_hooks_still_find_what_they_look_for() -> None:
    loader = DataLoader(Noise(), batch_sampler=batches())
    number_draws(loader, 0, lambda: (0, 0), endless=False)
    assert isinstance(loader.batch_sampler.sampler, Passes)  # to set its epoch
    loader.dataset.pipeline = 'another'
    assert type(loader.dataset) is Noise and loader.dataset.pipeline == 'another'


def test_loader_without_batches_is_left_alone() -> None:
    loader = DataLoader(Noise(), batch_size=None)
    number_draws(loader, 0, lambda: (0, 0), endless=False)
    assert [sample[0] for sample in loader] == [0, 1, 2, 3, 4, 5, 6]
