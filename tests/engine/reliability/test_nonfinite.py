"""A run stops at the first loss that is not finite, and says where that began."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from mmengine.config import Config
from mmengine.dataset import pseudo_collate
from mmengine.hooks import Hook
from mmengine.model import BaseModel
from mmengine.structures import BaseDataElement
from torch import Tensor, nn
from torch.utils.data import Dataset

from vminet_mm.compat.safe_load import safe_load
from vminet_mm.engine.reliability.nonfinite import NON_FINITE, NonFiniteLossHook
from vminet_mm.engine.reliability.nonfinite_search import search
from vminet_mm.engine.reliability.resume import ResumableRunner, ResumePoint, resume_from
from vminet_mm.errors import ConfigError, NonFiniteError

STEPS = 3  # an epoch


class Block(nn.Module):
    """Layers, and something between them that no layer computes."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.norm, self.last = nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Conv2d(4, 2, 1)
        self.between: Callable[[Tensor], Tensor] = torch.relu

    def forward(self, x: Tensor) -> Tensor:
        return self.last(self.between(self.norm(self.first(x))))


class Model(BaseModel):
    """Draws random numbers, as drop path does."""

    def __init__(self) -> None:
        super().__init__()
        self.block, self.drop = Block(), nn.Dropout(0.3)
        self.factor = 1.0

    def forward(self, inputs: Tensor, data_samples: list, mode: str = 'loss') -> dict:
        maps = self.drop(self.block(torch.stack(inputs)))
        return dict(loss_a=maps.square().mean() * self.factor, loss_b=maps.abs().mean())


class Images(Dataset):
    """Images, one of them with a pixel that is not a number."""

    def __init__(self, number: int = 2 * STEPS, poisoned: int | None = None) -> None:
        self.images = torch.randn(number, 3, 6, 5, generator=torch.Generator().manual_seed(5))
        if poisoned is not None:
            self.images[poisoned, 1, 2, 3] = float('nan')

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, i: int) -> dict:
        sample = BaseDataElement(metainfo=dict(img_path=f'{"abcdef"[i]}.jpg'))
        return dict(inputs=self.images[i], data_samples=sample)


class At(Hook):
    """Do something before an iteration."""

    priority = 'LOWEST'

    def __init__(self, iteration: int, act: Callable[[Model], None]) -> None:
        self.iteration, self.act = iteration, act

    def before_train_iter(self, runner: ResumableRunner, *args, **kwargs) -> None:
        if runner.iter == self.iteration:
            self.act(runner.model)


def runner(work_dir: Path, *hooks: Hook, data: Images | None = None, **settings):
    """Two epochs of three iterations with two images each."""
    torch.manual_seed(0)
    options = dict(
        model=Model(),
        work_dir=str(work_dir),
        train_dataloader=dict(
            batch_size=2,
            dataset=data or Images(),
            sampler=dict(type='DefaultSampler', shuffle=False),
            collate_fn=dict(type='pseudo_collate'),
        ),
        train_cfg=dict(by_epoch=True, max_epochs=2),
        optim_wrapper=dict(optimizer=dict(type='AdamW', lr=0.01)),
        randomness=dict(seed=3),
        custom_hooks=list(hooks),
        experiment_name=str(work_dir),
        log_level='ERROR',
    )
    return ResumableRunner(**options | settings)


def stopped(run: ResumableRunner) -> tuple[str, list[str]]:
    """What the error says, and what was logged."""
    logged: list[str] = []
    run.logger.error = logged.append
    with pytest.raises(NonFiniteError) as caught:
        run.train()
    (text,) = logged
    return str(caught.value), [line.strip() for line in text.splitlines()]


def spoil_weight(model: Model) -> None:
    model.block.last.weight.data[0] = float('inf')


def test_layer_with_a_damaged_weight(tmp_path: Path) -> None:
    said, lines = stopped(runner(tmp_path, At(4, spoil_weight)))
    assert said.startswith('stopped at iteration 5 (in epoch 2), whose loss is not finite')
    assert f'{tmp_path}/{NON_FINITE}' in said
    assert '--resume' in said and 'bfloat16' not in said
    assert lines == [
        'The loss of iteration 5 (in epoch 2) is not finite',
        'terms: loss nan, loss_a nan, loss_b nan',
        '1 weights are not finite since the update before, the first block.last.weight',
        'first layer with an output that is not finite: block.last (Conv2d)',
        'images of the batch: c.jpg, d.jpg',
    ]


def test_image_with_a_damaged_pixel(tmp_path: Path) -> None:
    _, lines = stopped(runner(tmp_path, data=Images(poisoned=3)))
    assert lines[0] == 'The loss of iteration 2 (in epoch 1) is not finite'
    assert lines[2:] == [
        'first layer with an output that is not finite: data_preprocessor (BaseDataPreprocessor)',
        'images at which it is not: d.jpg',
        'images of the batch: c.jpg, d.jpg',
    ]


def overflow(model: Model) -> None:
    model.block.between = lambda x: x / 0


def test_operation_between_layers(tmp_path: Path) -> None:
    _, lines = stopped(runner(tmp_path, At(0, overflow)))
    assert lines[2] == (
        'first layer with an output that is not finite: block.last (Conv2d); its input is not '
        'finite either and no layer gave it, so it is what block (Block) computes before it'
    )


def test_loss_itself_by_iteration(tmp_path: Path) -> None:
    run = runner(
        tmp_path,
        At(2, lambda model: setattr(model, 'factor', float('inf'))),
        train_cfg=dict(by_epoch=False, max_iters=4),
    )
    said, lines = stopped(run)
    assert said.startswith('stopped at iteration 3, whose loss')
    assert lines[1:3] == [
        'terms: loss inf, loss_a inf',
        'first layer with an output that is not finite: the model (Model)',
    ]


def final(run: ResumableRunner) -> dict[str, Tensor]:
    state = run.model.state_dict()
    momenta = run.optim_wrapper.state_dict()['state'].values()
    return state | {f'{i}': m['exp_avg_sq'] for i, m in enumerate(momenta)}


@pytest.mark.parametrize('iteration', [0, 4])
def test_saved_state_is_the_one_before(tmp_path: Path, iteration: int) -> None:
    """Norms' statistics among it: without the fault, the run goes on as if nothing had been."""
    whole = runner(tmp_path / 'whole')
    whole.train()
    broken = runner(tmp_path / 'broken', At(iteration, overflow))
    with pytest.raises(NonFiniteError):
        broken.train()
    path = tmp_path / 'broken' / NON_FINITE
    assert safe_load(path)['meta']['iter'] == iteration
    # what --resume takes by itself is a regular checkpoint, where there is one
    latest = resume_from(Config(dict(work_dir=broken.work_dir, train_cfg=dict(max_epochs=2))), None)
    assert (latest and latest.epoch) == (None if iteration == 0 else 1)

    resumed = runner(tmp_path / 'resumed', resume=True, load_from=str(path))
    resumed.resume_point = ResumePoint(str(path), 3, iteration // STEPS, iteration % STEPS)
    resumed.train()
    expected, actual = final(whole), final(resumed)
    assert expected.keys() == actual.keys()
    assert all(torch.equal(actual[name], value) for name, value in expected.items())


def test_checkpoint_with_damaged_weights_is_refused(tmp_path: Path) -> None:
    run = runner(
        tmp_path,
        data=Images(2),  # so that the first update is the last
        train_cfg=dict(by_epoch=True, max_epochs=1),
        optim_wrapper=dict(optimizer=dict(type='SGD', lr=float('inf'))),
    )
    with pytest.raises(ConfigError, match=r'6 weights .*block\.fi'):
        run.train()
    assert not list(tmp_path.glob('*.pth'))


def test_mixed_precision_leaves_infinite_gradients_to_the_scaler(tmp_path: Path) -> None:
    wrapper = dict(type='AmpOptimWrapper', dtype='bfloat16', optimizer=dict(type='SGD', lr=0.1))
    scaler = torch.amp.GradScaler('cpu', init_scale=2.0**127)  # the scaled loss is infinite
    states = []

    class Scale(Hook):
        def before_train(self, runner: ResumableRunner) -> None:
            runner.optim_wrapper.loss_scaler = scaler

        def before_train_iter(self, runner: ResumableRunner, *args, **kwargs) -> None:
            states.append((scaler.get_scale(), runner.model.block.last.weight.detach().clone()))

    large = At(0, lambda model: setattr(model, 'factor', 100.0))
    loop = dict(by_epoch=False, max_iters=30)
    runner(tmp_path, Scale(), large, optim_wrapper=wrapper, train_cfg=loop).train()
    scales = [scale for scale, _ in states]
    assert scales[1] == scales[0] / 2 and torch.equal(states[0][1], states[1][1])
    assert not torch.equal(states[0][1], states[-1][1])


def test_hint_for_half_precision(tmp_path: Path) -> None:
    wrapper = dict(type='AmpOptimWrapper', optimizer=dict(type='SGD', lr=0.1))

    class Half(Hook):
        def before_train(self, runner: ResumableRunner) -> None:
            runner.optim_wrapper.cast_dtype = None  # on a GPU, that is float16

    with pytest.raises(NonFiniteError, match='optim_wrapper.dtype=bfloat16'):
        runner(tmp_path, Half(), At(1, overflow), optim_wrapper=wrapper).train()


def test_several_optimizers(tmp_path: Path) -> None:
    class Pair(Model):
        def train_step(self, data: dict, optim_wrapper: dict) -> dict:
            for name in ('one', 'two'):
                with optim_wrapper[name].optim_context(self):
                    losses = self(**self.data_preprocessor(data, True))
                loss, terms = self.parse_losses(losses)
                optim_wrapper[name].update_params(loss)
            return terms

    from mmengine.optim import OptimWrapper, OptimWrapperDict

    model = Pair()
    parts = dict(one=model.block.first, two=model.block.last)
    wrappers = {
        name: OptimWrapper(torch.optim.SGD(part.parameters(), lr=0.1))
        for name, part in parts.items()
    }
    run = runner(
        tmp_path, At(1, spoil_weight), model=model, optim_wrapper=OptimWrapperDict(**wrappers)
    )
    _, lines = stopped(run)
    assert lines[3].endswith('block.last (Conv2d)')


def test_compiled_training_step(tmp_path: Path) -> None:
    run = runner(
        tmp_path, At(1, spoil_weight), cfg=dict(compile=dict(backend='eager')), resume=False
    )
    _, lines = stopped(run)
    assert lines[3].endswith('block.last (Conv2d)')


def test_full_disk_is_told_and_the_run_ends(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from vminet_mm.errors import CheckpointWriteError

    def refuse(*args, **kwargs) -> None:
        raise CheckpointWriteError('non_finite.pth could not be written: No space left')

    run = runner(tmp_path, At(1, spoil_weight))
    monkeypatch.setattr(run, 'save_checkpoint', refuse)
    said, lines = stopped(run)
    assert 'could not be written: No space left' in said and len(lines) == 5


def hooks(work_dir: Path, **settings) -> list[str]:
    return [type(hook).__name__ for hook in runner(work_dir, **settings).hooks]


def test_is_on_unless_the_config_says_otherwise(tmp_path: Path) -> None:
    assert hooks(tmp_path / 'a').count('NonFiniteLossHook') == 1
    assert hooks(tmp_path / 'b', default_hooks=dict(timer=None)).count('NonFiniteLossHook') == 1
    off = hooks(tmp_path / 'c', default_hooks=dict(non_finite=None))
    assert 'NonFiniteLossHook' not in off and 'SafeCheckpointHook' in off
    named = dict(non_finite=dict(type='NonFiniteLossHook', priority='LOW'))
    assert hooks(tmp_path / 'd', default_hooks=named).count('NonFiniteLossHook') == 1


def test_search_of_a_finite_pass_and_of_one_that_fails() -> None:
    from mmengine.optim import OptimWrapper

    model = Model()
    wrapper = OptimWrapper(torch.optim.SGD(model.parameters(), lr=1))
    batch = pseudo_collate([Images()[i] for i in range(4)])
    found = search(model, batch, wrapper)
    assert found.lines() == [] and found.images[0] == 'a.jpg' and not found.layer
    model.block.between = lambda x: x.no_such_thing
    assert 'AttributeError' in search(model, batch, wrapper).lines()[0]
    assert not any(module._forward_hooks for module in model.modules())


def test_hook_can_be_named_in_a_config_of_another_runner(tmp_path: Path) -> None:
    from mmengine.runner import Runner

    run = runner(tmp_path)
    plain = Runner(
        model=Model(),
        work_dir=str(tmp_path),
        train_dataloader=run._train_dataloader,
        train_cfg=dict(by_epoch=True, max_epochs=1),
        optim_wrapper=dict(optimizer=dict(type='SGD', lr=0.1)),
        custom_hooks=[dict(type='NonFiniteLossHook'), At(1, spoil_weight)],
        experiment_name='plain',
    )
    assert any(isinstance(hook, NonFiniteLossHook) for hook in plain.hooks)
    with pytest.raises(NonFiniteError, match='iteration 2'):
        plain.train()
    assert (tmp_path / NON_FINITE).is_file()
