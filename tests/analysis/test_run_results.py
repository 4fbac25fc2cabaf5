"""Runs are read from what MMEngine really writes, and from folders written by hand."""

from pathlib import Path

import pytest
import torch
from mmengine.config import Config
from mmengine.evaluator import BaseMetric, Evaluator
from mmengine.model import BaseModel
from mmengine.runner import Runner
from table_inputs import ACCURACY, write_run
from torch import nn
from torch.utils.data import Dataset

from vminet_mm.analysis.run_results import Run, Score, find_runs


class Numbers(Dataset):
    def __len__(self) -> int:
        return 4

    def __getitem__(self, index: int) -> torch.Tensor:
        return torch.tensor([float(index)])


class Toy(BaseModel):
    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(1, 1)

    def forward(self, *inputs: torch.Tensor, mode: str = 'tensor') -> dict | list:
        output = self.layer(torch.stack(inputs))
        return dict(loss=output.mean()) if mode == 'loss' else [output]


class Planned(BaseMetric):
    """An accuracy that is known beforehand, one value for each validation."""

    default_prefix = 'accuracy'

    def __init__(self, values: list[float]) -> None:
        super().__init__()
        self.values = iter(values)

    def process(self, data_batch: object, data_samples: object) -> None:
        self.results.append(0)

    def compute_metrics(self, results: list) -> dict[str, float]:
        return dict(top1=next(self.values))


def train(work_dir: Path, values: list[float]) -> None:
    config = work_dir.parent / 'toy.py'
    config.write_text("model = dict(type='Toy')\ntrain_cfg = dict(by_epoch=True, max_epochs=3)\n")
    cfg = Config.fromfile(config)
    loader = dict(batch_size=2, sampler=dict(type='DefaultSampler', shuffle=False))
    Runner(
        model=Toy(),
        work_dir=str(work_dir),
        train_dataloader=dict(loader, dataset=Numbers()),
        val_dataloader=dict(loader, dataset=Numbers()),
        val_evaluator=Evaluator(Planned(values)),
        train_cfg=cfg.train_cfg,
        val_cfg=dict(),
        optim_wrapper=dict(optimizer=dict(type='SGD', lr=0.01)),
        default_hooks=dict(
            checkpoint=dict(type='CheckpointHook', max_keep_ckpts=1, save_best=ACCURACY)
        ),
        visualizer=dict(type='Visualizer', vis_backends=[dict(type='LocalVisBackend')]),
        log_level='ERROR',
        experiment_name='toy',
        cfg=cfg,
    ).train()


def test_a_run_of_mmengine(tmp_path: Path) -> None:
    work_dir = tmp_path / 'work_dirs' / 'mine'
    work_dir.parent.mkdir()
    train(work_dir, [50.0, 80.0, 70.0])
    (run,) = find_runs(tmp_path)
    assert (run.folder, run.config, run.unit, run.length) == (work_dir, 'toy', 'epoch', 3)
    assert [(score.step, score.metrics[ACCURACY]) for score in run.scores] == [
        (1, 50.0),
        (2, 80.0),
        (3, 70.0),
    ]
    assert run.best(ACCURACY).checkpoint == work_dir / 'best_accuracy_top1_epoch_2.pth'
    assert run.last.checkpoint == work_dir / 'epoch_3.pth'
    assert run.scores[0].checkpoint is None  # max_keep_ckpts


def test_starts_of_a_work_dir_are_one_run_and_the_later_start_counts(tmp_path: Path) -> None:
    training = {'lr': 0.1, 'loss': 1.0, 'epoch': 1, 'iter': 1, 'step': 1, 'acc': 9.0}
    first = [training, {ACCURACY: 1.0, 'step': 1}, {ACCURACY: 2.0, 'step': 2}]
    write_run(tmp_path, first, '20250101_000000')
    write_run(tmp_path, [{ACCURACY: 2.5, 'step': 2}, {ACCURACY: 2.5, 'step': 3}], '20250102_000000')
    (run,) = find_runs(tmp_path)
    assert [(score.step, score.metrics) for score in run.scores] == [
        (1, {ACCURACY: 1.0}),
        (2, {ACCURACY: 2.5}),
        (3, {ACCURACY: 2.5}),
    ]
    assert run.best(ACCURACY).step == 3  # the later one of equal ones


def test_another_model_in_the_same_folder_is_not_mixed_in(tmp_path: Path) -> None:
    write_run(tmp_path, [{ACCURACY: 9.0, 'step': 1}], '20250101_000000', model="dict(type='B')")
    write_run(tmp_path, [{ACCURACY: 2.0, 'step': 2}], '20250102_000000')
    (run,) = find_runs(tmp_path)
    assert [score.metrics for score in run.scores] == [{ACCURACY: 2.0}]


def test_of_several_configs_in_a_folder_the_latest_start_tells(tmp_path: Path) -> None:
    write_run(tmp_path, [], '20250101_000000', model="dict(type='B')", name='older')
    write_run(tmp_path, [{ACCURACY: 2.0, 'step': 1}], '20250102_000000', name='newer')
    (run,) = find_runs(tmp_path)
    assert run.config == 'newer'


def test_iterations_are_steps_of_an_iteration_based_run(tmp_path: Path) -> None:
    lines = [{'mIoU': 10.0, 'step': 16000}, {'mIoU': 30.0, 'step': 32000}]
    loop = "dict(type='IterBasedTrainLoop', max_iters=160000, val_interval=16000)"
    write_run(tmp_path, lines, train_cfg=loop)
    (tmp_path / 'iter_32000.pth').touch()
    (run,) = find_runs(tmp_path)
    assert (run.unit, run.length, run.last.step) == ('iter', 160000, 32000)
    assert run.last.checkpoint == tmp_path / 'iter_32000.pth'


def test_best_passes_over_what_is_not_finite() -> None:
    scores = [Score(1, {'mIoU': 5.0}, None), Score(2, {'mIoU': float('nan')}, None)]
    run = Run(Path(), 'name', 'epoch', 2, scores)
    assert run.best('mIoU').step == 1
    assert run.best('no such metric') is None


def test_half_a_line_of_a_killed_run_is_passed_over(tmp_path: Path) -> None:
    scalars = write_run(tmp_path, [{ACCURACY: 2.0, 'step': 1}])
    with scalars.open('a') as file:
        file.write('{"accuracy/top1": 3.')
    (run,) = find_runs(tmp_path)
    assert run.last.step == 1


@pytest.mark.parametrize(
    'lines',
    [[], [{'lr': 0.1, 'loss': 1.0, 'step': 1}], [{ACCURACY: 2.0, 'step': 0}]],
    ids=['nothing', 'training alone', 'validated without training'],
)
def test_a_folder_without_validations_has_no_run(lines: list[dict], tmp_path: Path) -> None:
    write_run(tmp_path, lines)
    assert find_runs(tmp_path) == []


def test_no_config_no_run(tmp_path: Path) -> None:
    scalars = write_run(tmp_path, [{ACCURACY: 2.0, 'step': 1}])
    scalars.with_name('config.py').unlink()
    assert find_runs(tmp_path) == []
    assert find_runs(tmp_path / 'no such folder') == []
