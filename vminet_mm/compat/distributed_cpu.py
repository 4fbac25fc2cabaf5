"""``--launcher pytorch`` (or mpi, slurm) without an accelerator.

Upstream sets a CUDA device, starts NCCL, gives the model a device index and keeps SyncBN, which has
no CPU kernel. Here: gloo, no device, plain BN, and the group is left before the interpreter ends.
"""

import atexit
import gc
from types import ModuleType
from typing import Any

import torch

from .patching import temporarily, wrap


def fix(module: ModuleType) -> None:
    """Let distributed runs work on the CPU."""
    from mmengine.device import get_device

    if get_device() == 'cpu':
        is_wrapper = hasattr(module, 'MMDistributedDataParallel')
        (_fix_wrapper if is_wrapper else _fix_init)(module)


def _fix_init(module: ModuleType) -> None:
    """Join processes with gloo in place of NCCL, and without a GPU."""

    def init_dist(original: Any, backend: str, *args: Any, **kwargs: Any) -> Any:
        """Call a launcher's function with another backend."""
        backend = 'gloo' if backend == 'nccl' else backend
        atexit.register(_leave)
        with temporarily(torch.cuda, set_device=lambda device: None):
            return original(backend, *args, **kwargs)

    for launcher in ('pytorch', 'mpi', 'slurm'):
        wrap(module, f'_init_dist_{launcher}', init_dist, __name__)


def _leave() -> None:
    """Leave the process group, if there still is one.

    A thread of gloo that drops the last tensors while the interpreter ends aborts the process, so
    its work ends first.
    """
    gc.collect()
    if torch.distributed.is_initialized():
        torch.distributed.destroy_process_group()


def _fix_wrapper(wrappers: ModuleType) -> None:
    """Wrap models for processes without a GPU."""

    def init(original: Any, self: Any, module: torch.nn.Module, *args: Any, **kwargs: Any) -> Any:
        """``MMDistributedDataParallel.__init__`` without devices."""
        from mmengine.model import revert_sync_batchnorm

        kwargs['device_ids'] = None
        return original(self, revert_sync_batchnorm(module), *args, **kwargs)

    wrap(wrappers.MMDistributedDataParallel, '__init__', init, __name__)
