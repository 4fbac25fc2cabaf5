"""Memory of a model's inference and training step, on the CPU and on CUDA, in bytes.

What was there before the call (weights, buffers, images) is not counted.
"""

import os
from collections.abc import Callable
from itertools import accumulate

import torch
from torch import Tensor, nn
from torch.autograd.graph import saved_tensors_hooks
from torch.profiler import ProfilerActivity, profile


def saved_bytes(forward: Callable[[], Tensor], model: nn.Module) -> int:
    """Bytes that a forward pass of a model, up to the loss, keeps for the backward pass.

    A storage counts once and whole, however many views of it are saved. The parameters and buffers
    of the model do not count; its input does where an operation saves it.
    """
    own = {_address(tensor) for tensor in (*model.parameters(), *model.buffers())}
    sizes: dict[int, int] = {}

    def note(tensor: Tensor) -> Tensor:
        """Note how large a tensor that is kept is."""
        sizes[_address(tensor)] = tensor.untyped_storage().nbytes()
        return tensor

    with saved_tensors_hooks(note, lambda tensor: tensor):
        loss = forward()
    kept = sum(size for address, size in sizes.items() if address not in own)
    del loss  # until here the graph holds what it saved, so that no address is used twice
    return kept


def peak_bytes(function: Callable[[], object], device: torch.device | str = 'cpu') -> int:
    """The most bytes that are allocated at a time while a function runs.

    On CUDA by the counter of torch's allocator; on the CPU by the allocations that torch's
    profiler records. Memory that libraries get elsewhere is not seen.
    """
    if torch.device(device).type == 'cuda':
        torch.cuda.synchronize(device)
        before = torch.cuda.memory_allocated(device)
        torch.cuda.reset_peak_memory_stats(device)
        function()
        return torch.cuda.max_memory_allocated(device) - before
    os.environ.setdefault('KINETO_LOG_LEVEL', '99')  # its start and stop go to stderr otherwise
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as profiler:
        function()
    events = profiler.profiler.kineto_results.events()
    changes = [(event.start_ns(), event.nbytes()) for event in events if event.name() == '[memory]']
    return max(accumulate(size for _, size in sorted(changes)), default=0)


def _address(tensor: Tensor) -> int:
    """Of the memory behind a tensor: views of it have the same."""
    return tensor.untyped_storage().data_ptr()
