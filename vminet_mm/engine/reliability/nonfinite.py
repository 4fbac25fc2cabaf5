"""A training run ends at the first loss that is not finite, before that loss changes a weight."""

from collections.abc import Callable
from functools import partial
from itertools import groupby
from pathlib import Path
from typing import Any

import torch
from mmengine.dist import all_gather_object, get_world_size, is_main_process
from mmengine.hooks import Hook
from mmengine.model import is_model_wrapper
from mmengine.optim import AmpOptimWrapper, OptimWrapper, OptimWrapperDict
from mmengine.registry import HOOKS
from mmengine.runner import EpochBasedTrainLoop, Runner
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from ...errors import CheckpointWriteError, NonFiniteError
from .exchange import LargestOfAll
from .nonfinite_search import non_finite_weights, search
from .randomness import IterationSeedHook
from .stopping import StopSignals

NON_FINITE = 'non_finite.pth'  # no name that --resume looks for by itself


@HOOKS.register_module()
class NonFiniteLossHook(Hook):
    """Stop the run at the first loss that is not finite, in all processes at the same iteration.

    The state before that iteration is saved as ``non_finite.pth``, beside the run's other
    checkpoints and without becoming the latest. Then the forward pass is computed once more, with
    the same random numbers, to name the layer and the images at which it leaves the finite numbers.
    No checkpoint with weights that are not finite is written otherwise. Infinite gradients are left
    to the loss scaler of mixed precision.

    An iteration costs one test of a number and a copy of the norms' statistics, both on the device.
    The answer travels to the host while the backward pass is computed, so that no time is spent
    waiting; several processes exchange it as one message, which also says whether one of them was
    asked to stop.
    """

    def __init__(self) -> None:
        self.is_stopping = False

    def before_train(self, runner: Runner) -> None:
        """Look at every loss from now on."""
        model = runner.model.module if is_model_wrapper(runner.model) else runner.model
        self.statistics = _NormStatistics(model)
        # MMEngine's own runner has none
        self.signals: StopSignals = getattr(runner, 'stop_signals', StopSignals())
        self.signals.is_carried = True
        wrapper = runner.optim_wrapper
        self.watched = [*wrapper.values()] if isinstance(wrapper, OptimWrapperDict) else [wrapper]
        for one in self.watched:
            # of this object: there is no class of wrappers that all configs share
            backward = partial(self._backward, runner, model, one, one.backward)
            if runner.cfg.get('compile'):  # a compiler can make nothing of it
                backward = torch.compiler.disable(backward)
            one.backward = backward

    def before_train_epoch(self, runner: Runner) -> None:
        """Record where the epoch began, for the checkpoint."""
        done = getattr(runner, 'batches_done', lambda epoch: 0)  # MMEngine's own has no such thing
        self.epoch_began = runner.iter - done(runner.epoch)

    def before_train_iter(self, runner: Runner, batch_idx: int, data_batch: Any = None) -> None:
        """Keep what is needed to go back to here."""
        self.batch = data_batch
        self.statistics.keep()

    def after_train_iter(self, runner: Runner, *args, **kwargs) -> None:
        """Release the batch."""
        self.batch = None

    def after_train(self, runner: Runner) -> None:
        """Leave the optimizers as they were."""
        for one in self.watched:
            del one.backward
        self.signals.is_carried = False

    def before_save_checkpoint(self, runner: Runner, checkpoint: dict) -> None:
        """Refuse weights that are not finite: they would replace a checkpoint that is of use.

        Raises:
            NonFiniteError: Naming them.
        """
        model = runner.model.module if is_model_wrapper(runner.model) else runner.model
        weights = non_finite_weights(model)
        if weights and not self.is_stopping:
            raise NonFiniteError(
                f'{len(weights)} weights are not finite, the first of them {weights[0]}, so no '
                'checkpoint is written. Try a lower learning rate or optim_wrapper.clip_grad, and '
                'go on from the checkpoint before with --resume'
            )

    def _backward(
        self,
        runner: Runner,
        model: nn.Module,
        optim_wrapper: OptimWrapper,
        backward: Callable,
        loss: Tensor,
        **kwargs,
    ) -> None:
        """The backward pass; after it, and before the weights change, the answer is there."""
        message = LargestOfAll(_message(loss, self.signals.asked))
        backward(loss, **kwargs)
        is_bad, self.signals.agreed = message.read()
        if is_bad:
            self._stop(runner, model, optim_wrapper)

    def _stop(self, runner: Runner, model: nn.Module, optim_wrapper: OptimWrapper) -> None:
        """Save the state, log the finding and raise. All processes call it together."""
        self.statistics.put_back()
        saved = self._save(runner)
        IterationSeedHook().before_train_iter(runner)
        found = search(model, self.batch, optim_wrapper)
        where = f'iteration {runner.iter + 1}'
        if isinstance(runner.train_loop, EpochBasedTrainLoop):
            where += f' (in epoch {runner.epoch + 1})'
        lines = [f'The loss of {where} is not finite']
        for rank, finding in enumerate(all_gather_object(found)):
            process = f'process {rank}: ' if get_world_size() > 1 else ''
            lines += [f'  {process}{line}' for line in finding.lines()]
        if is_main_process():
            runner.logger.error('\n'.join(lines))
        raise NonFiniteError(
            f'stopped at {where}, whose loss is not finite; the lines above say where that began. '
            f'{saved}. {_fix(optim_wrapper)}, then go on from the latest checkpoint with '
            '--resume, or from that state with its name after --resume'
        )

    def _save(self, runner: Runner) -> str:
        """Save the state before the iteration; returns a sentence about it."""
        done = runner.iter - self.epoch_began
        meta = dict(epoch=runner.epoch, iter=runner.iter, batches_done=done)
        self.is_stopping = True
        try:
            runner.save_checkpoint(runner.work_dir, NON_FINITE, meta=meta)
        except CheckpointWriteError as error:  # in one process, for which the others wait
            return str(error)
        path = Path(runner.work_dir) / NON_FINITE
        return f'{path} holds the state before that iteration'


def _fix(optim_wrapper: OptimWrapper) -> str:
    """What to try first."""
    is_half = isinstance(optim_wrapper, AmpOptimWrapper) and (
        optim_wrapper.cast_dtype in (None, torch.float16)
    )
    wider = 'optim_wrapper.dtype=bfloat16 or no --amp, ' if is_half else ''
    return f'Fix the data or try {wider}a lower learning rate or optim_wrapper.clip_grad'


def _message(loss: Tensor, asked: int) -> Tensor:
    """Whether the loss is not finite, and the signal to stop: two numbers, in three kernels and
    without a copy to the device."""
    message = torch.full((2,), asked, dtype=torch.int32, device=loss.device)
    # of infinity and NaN, 0 times it is NaN
    torch.ne(loss.detach().reshape(()) * 0, 0, out=message[0])
    return message


class _NormStatistics:
    """The statistics of a model's batch norms, which a forward pass changes, and a copy of them."""

    def __init__(self, model: nn.Module) -> None:
        norms = [m for m in model.modules() if isinstance(m, _BatchNorm) and m.track_running_stats]
        buffers = sorted((b for norm in norms for b in norm.buffers()), key=_kind)
        # tensors of one kind are copied by one call
        self.live = [list(group) for _, group in groupby(buffers, key=_kind)]
        self.kept = [[buffer.clone() for buffer in group] for group in self.live]

    def keep(self) -> None:
        """Copy them."""
        for kept, live in zip(self.kept, self.live, strict=True):
            torch._foreach_copy_(kept, live)

    def put_back(self) -> None:
        """Undo what came after."""
        for kept, live in zip(self.kept, self.live, strict=True):
            torch._foreach_copy_(live, kept)


def _kind(buffer: Tensor) -> tuple[str, str]:
    return str(buffer.device), str(buffer.dtype)
