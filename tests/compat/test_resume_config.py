"""Checkpoints which mmengine's Runner really writes are loaded and resumed by it, safely."""

import itertools

import pytest
import torch
from mmengine.evaluator import BaseMetric, Evaluator
from mmengine.hooks import Hook
from mmengine.model import BaseModel
from mmengine.runner import Runner

import vminet_mm  # noqa: F401
from vminet_mm.compat.safe_load import safe_load
from vminet_mm.errors import UnsafeCheckpointError


class Model(BaseModel):
    def __init__(self):
        super().__init__()
        self.layers = torch.nn.Sequential(torch.nn.Linear(4, 3), torch.nn.BatchNorm1d(3))

    def forward(self, inputs, mode='tensor'):
        outputs = self.layers(torch.stack(inputs).to(next(self.parameters()).device))
        return {'loss': outputs.float().square().sum()} if mode == 'loss' else list(outputs)


class Metric(BaseMetric):
    def process(self, data_batch, data_samples):
        self.results.extend(data_samples)

    def compute_metrics(self, results):
        return {'size': float(len(results))}


class Witness(Hook):
    """Remembers how training starts."""

    def before_train(self, runner):
        self.epoch, self.iter = runner.epoch, runner.iter
        self.weight = runner.model.layers[0].weight.detach().clone()
        self.losses = len(runner.message_hub.get_scalar('train/loss').data[0])


numbers = itertools.count()


def build(work_dir, max_epochs, hooks=(), **options):
    torch.manual_seed(0)
    data = [{'inputs': torch.randn(4)} for _ in range(4)]
    loader = {
        'batch_size': 2,
        'dataset': data,
        'sampler': {'type': 'DefaultSampler', 'shuffle': True},
    }
    return Runner(
        model=Model(),
        work_dir=str(work_dir),
        train_dataloader=loader,
        val_dataloader=loader,
        val_evaluator=Evaluator([Metric()]),
        val_cfg={},
        train_cfg={'by_epoch': True, 'max_epochs': max_epochs, 'val_interval': 1},
        optim_wrapper={
            'type': 'AmpOptimWrapper',
            'dtype': 'bfloat16',
            'optimizer': {'type': 'AdamW', 'lr': 0.01},
        },
        param_scheduler=[{'type': 'CosineAnnealingLR', 'T_max': 4}],
        default_hooks={
            'checkpoint': {'type': 'CheckpointHook', 'save_best': 'size', 'rule': 'greater'}
        },
        custom_hooks=[{'type': 'EMAHook'}, *hooks],
        experiment_name=f'resume_{next(numbers)}',
        log_level='ERROR',
        **options,
    )


@pytest.fixture(scope='module')
def trained(tmp_path_factory):
    """The folder of a finished first epoch, and its runner."""
    folder = tmp_path_factory.mktemp('trained')
    runner = build(folder, 1)
    runner.train()
    return folder, runner


def test_the_checkpoint_holds_what_it_should(trained):
    folder, runner = trained
    checkpoint = safe_load(folder / 'epoch_1.pth')
    assert checkpoint['meta']['epoch'] == 1
    assert checkpoint['message_hub']['runtime_info']['best_score'] == 4.0
    loss = checkpoint['message_hub']['log_scalars']['train/loss']
    assert loss.mean() == runner.message_hub.get_scalar('train/loss').mean()
    assert 'ema_state_dict' in checkpoint
    assert 'loss_scaler' in checkpoint['optimizer']


def test_training_resumes(trained, tmp_path):
    folder, _ = trained
    checkpoint = safe_load(folder / 'epoch_1.pth')
    start, source = Witness(), str(folder / 'epoch_1.pth')
    runner = build(tmp_path, 2, [start], load_from=source, resume=True)
    runner.train()
    assert (start.epoch, start.iter, start.losses) == (1, 2, 2)
    # EMAHook swaps: what a checkpoint calls the state dict is the average, to be tested with.
    weight = checkpoint['ema_state_dict']['module.layers.0.weight']
    torch.testing.assert_close(start.weight.cpu(), weight)
    assert runner.epoch == 2
    assert safe_load(tmp_path / 'epoch_2.pth')['meta']['iter'] == 4


def test_a_hostile_checkpoint_stops_the_runner(tmp_path, trained):
    class Hostile:
        def __reduce__(self):
            return open, (str(tmp_path / 'trace'), 'w')

    path = tmp_path / 'hostile.pth'
    torch.save({'state_dict': {}, 'meta': {'x': Hostile()}}, path)
    for number, resume in enumerate((True, False)):
        work_dir = tmp_path / f'run{number}'
        runner = build(work_dir, 1, load_from=str(path), resume=resume)
        with pytest.raises(UnsafeCheckpointError, match='hostile.pth .*io.open'):
            runner.train()
    assert not (tmp_path / 'trace').exists()


def test_an_initialization_cannot_run_code_either(tmp_path):
    class Pretrained(Model):
        def __init__(self, checkpoint):
            super().__init__()
            self.init_cfg = {'type': 'Pretrained', 'checkpoint': checkpoint}

    path = tmp_path / 'hostile.pth'
    torch.save({'state_dict': torch.nn.Linear(1, 1)}, path)  # a whole module is code, too
    with pytest.raises(UnsafeCheckpointError, match=r'torch\.nn\.modules\.linear\.Linear'):
        Pretrained(str(path)).init_weights()


@pytest.fixture
def hostile(tmp_path):
    """A checkpoint that can be resumed and holds code in `meta`, and the file it would write."""
    build(tmp_path / 'first', 1).train()
    path, trace = tmp_path / 'first' / 'epoch_1.pth', tmp_path / 'trace'
    checkpoint = safe_load(path)
    checkpoint['meta']['config'] = f'x = bool(open({str(trace)!r}, "w"))'
    torch.save(checkpoint, path)
    return path, trace


def test_resuming_does_not_run_it(hostile, tmp_path):
    path, trace = hostile
    runner = build(tmp_path / 'second', 2, load_from=str(path), resume=True)
    runner.train()
    assert runner.epoch == 2
    assert not trace.exists()


def test_it_would_run(hostile):
    """Else the test above would prove nothing."""
    from mmengine.config import Config

    path, trace = hostile
    Config.fromstring(safe_load(path)['meta']['config'], file_format='.py')
    assert trace.exists()
