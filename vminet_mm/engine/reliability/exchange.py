"""Numbers that processes exchange asynchronously, while they continue to compute."""

from functools import cache

import torch
from mmengine.dist import get_world_size
from torch import Tensor
from torch import distributed as dist


class LargestOfAll:
    """The largest of all processes, of each of some numbers: sent now, read later.

    On a GPU the message waits for the slowest process on a stream of its own, so that the kernels
    which follow on the compute stream do not. All processes have to send, and to send in the same
    order as their other messages.

    Args:
        numbers (Tensor): Those of this process, on the device that the backend sends from.
            They may be overwritten.
    """

    def __init__(self, numbers: Tensor) -> None:
        self.numbers = numbers
        self.pending: dist.Work | torch.cuda.Event | None = None
        if numbers.is_cuda:
            self._send_aside(_side_stream(numbers.device))
        else:
            self.pending = self._send()

    def read(self) -> list[int]:
        """The largest numbers; takes as long as the slowest process needs to send its own."""
        if isinstance(self.pending, torch.cuda.Event):
            self.pending.synchronize()
        elif self.pending is not None:
            self.pending.wait()
        return self.numbers.tolist()

    def _send(self) -> dist.Work | None:
        """Begin to exchange the numbers; None where there is one process."""
        if get_world_size() == 1:
            return None
        return dist.all_reduce(self.numbers, dist.ReduceOp.MAX, async_op=True)

    def _send_aside(self, stream: torch.cuda.Stream) -> None:
        """Send, and copy the answer to the host, on a stream that nothing else waits for."""
        stream.wait_stream(torch.cuda.current_stream(self.numbers.device))
        with torch.cuda.stream(stream):
            self.numbers.record_stream(stream)  # its memory is the compute stream's
            sent = self._send()
            if sent is not None:
                sent.wait()  # the stream does, not this process
            self.numbers = self.numbers.to('cpu', non_blocking=True)
            self.pending = torch.cuda.Event()
            self.pending.record(stream)


@cache
def _side_stream(device: torch.device) -> torch.cuda.Stream:
    return torch.cuda.Stream(device)
