"""What the mixers of Vim, LocalVim and PlainMamba share: Mamba's projections and selective scan."""

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..ops.selective_scan import choose_scan

TIME_STEPS = (1e-3, 1e-1)  # initial range of the step size, as in Mamba
SMALLEST_STEP = 1e-4


class StepSize(nn.Linear):
    """A linear layer whose bias is left to the scan, which adds it in float32."""

    def forward(self, x: Tensor) -> Tensor:
        """Map (..., R) to (..., D)."""
        return F.linear(x, self.weight)


class MambaMixer(nn.Module):
    """Projections around selective scans, with the names of Mamba's code (arXiv 2312.00752).

    A model has one or several sets of the parameters that stand before a scan; what is appended
    to their names tells the sets apart.

    Args:
        channels (int): C of the tokens.
        bias (bool): Whether the two projections have a bias. Defaults to False.
        state_size (int): N, the states of a channel. Defaults to 16.
        expansion (int): D = expansion * C channels are scanned. Defaults to 2.
        impl (str): Of the scan, see :func:`vminet_mm.ops.selective_scan.choose_scan`. Defaults to
            ``'auto'``.
    """

    def __init__(
        self,
        channels: int,
        bias: bool = False,
        state_size: int = 16,
        expansion: int = 2,
        impl: str = 'auto',
    ) -> None:
        super().__init__()
        self.inner = expansion * channels
        self.sizes = (math.ceil(channels / 16), state_size, state_size)  # of step size, B and C
        self.selective_scan = choose_scan(impl)
        self.in_proj = nn.Linear(channels, 2 * self.inner, bias=bias)
        self.out_proj = nn.Linear(self.inner, channels, bias=bias)

    def add_scan(self, ending: str, matrix: str) -> None:
        """Add the parameters of a scan, initialized as Mamba does.

        Args:
            ending: Behind the names ``x_proj``, ``dt_proj`` and ``D``.
            matrix: The name of the logarithm of -A.
        """
        rank, state_size, _ = self.sizes
        step = StepSize(rank, self.inner)
        nn.init.uniform_(step.weight, -(rank**-0.5), rank**-0.5)
        low, high = map(math.log, TIME_STEPS)
        size = torch.empty(self.inner).uniform_(low, high).exp().clamp(min=SMALLEST_STEP)
        step.bias.data = size + torch.log(-torch.expm1(-size))  # softplus inverted
        self.add_module(f'x_proj{ending}', nn.Linear(self.inner, sum(self.sizes), bias=False))
        self.add_module(f'dt_proj{ending}', step)
        rates = torch.arange(1.0, state_size + 1).log().repeat(self.inner, 1)
        self.register_parameter(matrix, nn.Parameter(rates))
        self.register_parameter(f'D{ending}', nn.Parameter(torch.ones(self.inner)))

    def add_convolution(self, ending: str, size: int = 4) -> None:
        """Add a causal depth-wise convolution of ``size`` tokens, ``conv1d`` and the ending."""
        conv = nn.Conv1d(self.inner, self.inner, size, groups=self.inner, padding=size - 1)
        self.add_module(f'conv1d{ending}', conv)

    def convolve(self, x: Tensor, ending: str) -> Tensor:
        """SiLU of the convolution, which sees no later tokens: (B, D, L) to the same shape."""
        return F.silu(getattr(self, f'conv1d{ending}')(x)[..., : x.shape[-1]])

    def scan_parameters(self, x: Tensor, ending: str) -> tuple[Tensor, Tensor, Tensor]:
        """Step size (B, D, L), B and C (B, N, L) of tokens (B, L, D), without the step's bias."""
        step, B, C = getattr(self, f'x_proj{ending}')(x).split(self.sizes, -1)
        step = getattr(self, f'dt_proj{ending}')(step)
        return step.transpose(1, 2), B.transpose(1, 2), C.transpose(1, 2)

    def scan(
        self, x: Tensor, parameters: tuple[Tensor, Tensor, Tensor], ending: str, matrix: str
    ) -> Tensor:
        """Scan (B, D, L) with the given :meth:`scan_parameters`."""
        step, B, C = parameters
        A = -getattr(self, matrix).float().exp()
        D, bias = (
            getattr(self, f'D{ending}').float(),
            getattr(self, f'dt_proj{ending}').bias.float(),
        )
        return self.selective_scan(x, step, A, B, C, D, bias, delta_softplus=True)
