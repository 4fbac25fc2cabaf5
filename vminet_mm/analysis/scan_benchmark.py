"""Time of the selective scan, and beside it what a layer without a recurrence costs.

The counterpart makes and reads as many numbers as the scan has states, B x D x N x L, and differs
in the recurrence alone: the product of u and B of each token, a causal depth-wise convolution of
four tokens over all D N of them, and the product with C. Beside it stands the rest of a mixer of
Mamba, its four matrix products and its convolution, all of D channels.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..ops.selective_scan import choose_scan, scan_name
from ..peers.mamba import MambaMixer
from .benchmark import Settings, machine, time_with_progress
from .latency import fit_exponent, median_ratio, quartiles
from .tables import text_table

MODES = ('infer', 'train')
KERNEL = 4  # tokens that the convolutions see


@dataclass(frozen=True)
class ScanTiming:
    """What was measured with a number of tokens.

    Attributes:
        tokens: That number, L.
        mode: ``'infer'``, a forward pass, or ``'train'``, one forward and backward.
        scan: Milliseconds of the scan, the median.
        ratio: Of the scan's time to that of the counterpart, the median over rounds.
        mixer_ratio: Likewise to the rest of the mixer.
    """

    tokens: int
    mode: str
    scan: float
    ratio: float
    mixer_ratio: float


@dataclass(frozen=True)
class ScanReport:
    """Timings, and what was timed: which implementation, D channels and N states."""

    impl: str
    channels: int
    states: int
    settings: Settings
    timings: list[ScanTiming]

    def exponent(self, mode: str) -> float | None:
        """p of time = factor * tokens ** p, where several numbers of tokens were timed."""
        rows = [row for row in self.timings if row.mode == mode]
        if len(rows) < 2:
            return None
        return fit_exponent([row.tokens for row in rows], [row.scan for row in rows])

    def table(self) -> str:
        """The report as text."""
        rows = [
            (t.tokens, t.mode, f'{t.scan:.2f}', f'{t.ratio:.2f}', f'{t.mixer_ratio:.2f}')
            for t in self.timings
        ]
        lines = text_table([('tokens', 'mode', 'ms', '/ counterpart', '/ mixer'), *rows])
        lines += [
            f'{mode}: time grows as tokens^{exponent:.3f}'
            for mode in MODES
            if (exponent := self.exponent(mode)) is not None
        ]
        settings = self.settings
        lines.append(
            f'scan by {self.impl}; {self.channels} channels, {self.states} states, batch '
            f'{settings.batch}; {settings.device}, {settings.dtype}, {settings.threads} threads'
        )
        return '\n'.join(lines)


def measure_scan(
    settings: Settings, tokens: Sequence[int], channels: int, states: int, impl: str = 'auto'
) -> ScanReport:
    """Time the scan of D channels and N states, its counterpart and the rest of a mixer, in turn.

    Raises:
        ValueError: If a number is not positive, or D is odd.
    """
    if min(*tokens, channels, states) < 1 or channels % 2:
        raise ValueError('tokens, channels and states are positive numbers, channels an even one')
    scan = choose_scan(impl)
    timings = []
    with machine(settings):
        for mode in settings.modes:
            for number in tokens:
                cases = [
                    _runner(function, inputs, mode == 'train', settings)
                    for function, inputs in _cases(scan, number, channels, states, settings)
                ]
                times = time_with_progress(cases, settings)
                ratios = [median_ratio(times[0], other) for other in times[1:]]
                timings.append(ScanTiming(number, mode, quartiles(times[0])[1] * 1e3, *ratios))
    return ScanReport(scan_name(scan, settings.device), channels, states, settings, timings)


def _cases(
    scan: Callable[..., Tensor], tokens: int, channels: int, states: int, settings: Settings
) -> list[tuple[Callable[..., Tensor], list[Tensor]]]:
    """The scan, its counterpart and the rest of the mixer, each with its inputs."""
    batch, target = settings.batch, dict(device=settings.device)
    u, delta = torch.randn(batch, channels, tokens), torch.rand(batch, channels, tokens)
    A = -torch.arange(1.0, states + 1).repeat(channels, 1)
    B, C = torch.randn(2, batch, states, tokens)
    weight = torch.randn(channels * states, 1, KERNEL)
    mixer = _MixerRest(channels // 2, states).to(**target)
    inputs = [
        [u, delta, A, B, C],
        [u, B, C, weight],
        [torch.randn(batch, tokens, channels // 2)],
    ]
    inputs = [[x.to(**target) for x in given] for given in inputs]
    return list(zip((scan, counterpart, mixer), inputs, strict=True))


def counterpart(u: Tensor, B: Tensor, C: Tensor, weight: Tensor) -> Tensor:
    """The layer without a recurrence, see the head of this module, (B, D, L).

    Of u (B, D, L), B and C (B, N, L), and the weight of the convolution (D N, 1, 4).
    """
    states = (u[:, :, None] * B[:, None]).flatten(1, 2)
    states = F.conv1d(F.pad(states, (KERNEL - 1, 0)), weight, groups=len(weight))
    return (states.unflatten(1, (u.shape[1], -1)) * C[:, None]).sum(2)


class _MixerRest(nn.Module):
    """What a mixer of Mamba does beside its scan."""

    def __init__(self, channels: int, states: int) -> None:
        super().__init__()
        self.mixer = MambaMixer(channels, state_size=states)
        self.mixer.add_convolution('', KERNEL)
        self.mixer.add_scan('', 'A_log')

    def forward(self, x: Tensor) -> Tensor:
        """Map tokens (B, L, C) to the same shape."""
        x, gate = self.mixer.in_proj(x).chunk(2, -1)
        x = self.mixer.convolve(x.transpose(1, 2), '')
        step, B, C = self.mixer.scan_parameters(x.transpose(1, 2), '')
        # a scan's output needs all three; a sum over the states stands for it
        y = step + (B + C).sum(1, keepdim=True)
        return self.mixer.out_proj(y.transpose(1, 2) * F.silu(gate))


def _runner(
    function: Callable[..., Tensor], inputs: list[Tensor], trains: bool, settings: Settings
) -> Callable[[], None]:
    """One forward pass, or one forward and backward."""
    inputs = [x.requires_grad_(trains) for x in inputs]

    def run() -> None:
        """Call the function once."""
        with torch.set_grad_enabled(trains), settings.autocast():
            y = function(*inputs)
        if trains:
            torch.autograd.grad(y.sum(), inputs)

    return run
