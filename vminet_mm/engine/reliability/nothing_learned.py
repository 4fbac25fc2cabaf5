"""A training run says when its loss or its gradients have been exactly 0 for a while."""

import math

import torch
from mmengine.hooks import Hook
from mmengine.optim import OptimWrapperDict
from mmengine.registry import HOOKS
from mmengine.runner import Runner
from torch import Tensor
from torch.optim import Optimizer

WHAT_TO_LOOK_AT = (
    'look at the labels with vminet_mm check-data (masks whose labels are all ignored, lists '
    'without a usable object), at a softmax over one class, and at frozen layers'
)


@HOOKS.register_module()
class NothingLearnedHook(Hook):
    """Warn once when the loss or all gradients have been exactly 0 for a number of iterations.

    A run that is shorter is warned of at its end. Nothing is waited for: the counts stay on the
    device, and each is read an interval after it was copied.

    Args:
        iterations (int): How many in a row. Defaults to 50.
        interval (int): Iterations from one look at the gradients to the next. Defaults to 10.
    """

    priority = 'LOW'

    def __init__(self, iterations: int = 50, interval: int = 10) -> None:
        self.iterations, self.interval = iterations, interval

    def before_train(self, runner: Runner) -> None:
        """Count from here on."""
        self.done = 0
        self.losses = _Zeros('loss')
        self.gradients: list[_Zeros] = []
        self.handles = []
        wrapper = runner.optim_wrapper
        wrappers = wrapper.values() if isinstance(wrapper, OptimWrapperDict) else [wrapper]
        for one in wrappers:
            zeros = _Zeros('gradient of every parameter')
            self.gradients.append(zeros)
            self.handles.append(
                one.optimizer.register_step_pre_hook(
                    lambda optimizer, args, kwargs, zeros=zeros: self._look(optimizer, zeros)
                )
            )

    def after_train_iter(
        self, runner: Runner, batch_idx: int, data_batch: object = None, outputs: object = None
    ) -> None:
        """Count, and read what was copied an interval ago."""
        self.done += 1
        loss = outputs.get('loss') if isinstance(outputs, dict) else None
        if isinstance(loss, Tensor):
            self.losses.add((loss.detach() == 0).all())
        if self.done % self.interval == 0:
            for zeros in (self.losses, *self.gradients):
                self._tell(runner, zeros, zeros.read_late(), self.iterations)

    def after_train(self, runner: Runner) -> None:
        """Judge a run that was too short to be judged before, and let the optimizers go."""
        for handle in self.handles:
            handle.remove()
        for zeros in (self.losses, *self.gradients):
            if self.done:
                self._tell(runner, zeros, zeros.read(), min(self.iterations, self.done))

    def _look(self, optimizer: Optimizer, zeros: '_Zeros') -> None:
        """Count a step whose gradients are all 0; only one of each interval is looked at."""
        if self.done % self.interval == 0:
            gradients = [
                parameter.grad
                for group in optimizer.param_groups
                for parameter in group['params']
                if parameter.grad is not None and parameter.grad.layout is torch.strided
            ]
            if gradients:
                largest = torch._foreach_norm(gradients, math.inf)  # the sum of squares underflows
                is_zero = torch.stack([norm.float() for norm in largest]).max() == 0
                zeros.add(is_zero, self.interval)

    def _tell(self, runner: Runner, zeros: '_Zeros', number: int, minimum: int) -> None:
        """Warn, once of each."""
        if number < minimum or zeros.told:
            return
        zeros.told = True
        runner.logger.warning(
            f'The {zeros.name} has been exactly 0 for {min(number, self.done)} iterations: nothing '
            f'is learned; {WHAT_TO_LOOK_AT}'
        )


class _Zeros:
    """How many times in a row something was 0, counted on the device.

    Args:
        name: What.
    """

    def __init__(self, name: str) -> None:
        self.name, self.told = name, False
        self.count: Tensor | None = None
        self._copy: Tensor | None = None
        self._copied: torch.cuda.Event | None = None

    def add(self, is_zero: Tensor, number: int = 1) -> None:
        """Count on, or from 0 again."""
        before = 0 if self.count is None else self.count
        self.count = (before + number) * is_zero.to(torch.int32)

    def read(self) -> int:
        """The count now."""
        return 0 if self.count is None else int(self.count)

    def read_late(self) -> int:
        """The count as it was at the last call; starts to copy that of now."""
        if self._copied is not None:
            self._copied.synchronize()  # long past
        before = 0 if self._copy is None else int(self._copy)
        if self.count is not None:
            self._copy = self.count.to('cpu', non_blocking=True)
            if self.count.is_cuda:
                self._copied = torch.cuda.Event()
                self._copied.record()
        return before
