"""Hooks of the configs."""

from collections.abc import Iterable

import torch
from mmengine.dist import get_world_size
from mmengine.hooks import Hook
from mmengine.model import is_model_wrapper
from mmengine.registry import HOOKS
from mmengine.runner import Runner
from torch import distributed as dist
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from ..models import switch_to_deploy


@HOOKS.register_module()
class NormStatisticsHook(Hook):
    """Average the running statistics of batch norms over the processes, after every iteration.

    Each process has its own where norms are not synchronized, but rank 0's alone are saved: the
    metrics of a validation would not be those of the checkpoint. MMEngine's SyncBuffersHook comes
    too late for a checkpoint that is saved by iteration. The statistics of a model are some 0.1 MB,
    and travel as one message. Norms in evaluation mode and SyncBN are left out: theirs are equal.
    """

    priority = 'ABOVE_NORMAL'  # before EMAHook copies them and CheckpointHook saves them

    def before_train(self, runner: Runner) -> None:
        """Find the norms."""
        self.norms = norms_with_statistics(runner.model)

    def after_train_iter(self, runner: Runner, *args, **kwargs) -> None:
        """Average over the processes, if there are several."""
        if get_world_size() > 1:
            average_statistics(norm for norm in self.norms if norm.training)


@HOOKS.register_module()
class DeployHook(Hook):
    """Fold the backbone before the test, see :func:`vminet_mm.models.switch_to_deploy`.

    For a run that tests and nothing else: the model cannot be trained or saved afterwards.
    """

    def before_test(self, runner: Runner) -> None:
        """Fold what is loaded by now."""
        model = runner.model.module if is_model_wrapper(runner.model) else runner.model
        number = switch_to_deploy(model)
        runner.logger.info(f'{number} backbone(s) folded for inference')


def norms_with_statistics(model: nn.Module) -> list[_BatchNorm]:
    """The batch norms with running statistics that are not synchronized by themselves."""
    return [
        module
        for module in model.modules()
        if isinstance(module, _BatchNorm)
        and not isinstance(module, nn.SyncBatchNorm)
        and module.track_running_stats
    ]


@torch.no_grad()
def average_statistics(norms: Iterable[_BatchNorm]) -> None:
    """Replace the running statistics of norms by their mean over the processes, as one message."""
    statistics = [s for norm in norms for s in (norm.running_mean, norm.running_var)]
    if not statistics:
        return
    message = torch.cat(statistics)
    dist.all_reduce(message)
    message /= get_world_size()
    torch._foreach_copy_(statistics, message.split([s.numel() for s in statistics]))
