"""The selective scan by its definition, token after token."""

import torch
import torch.nn.functional as F
from torch import Tensor


def selective_scan(
    u: Tensor,
    delta: Tensor,
    A: Tensor,
    B: Tensor,
    C: Tensor,
    D: Tensor | None = None,
    delta_bias: Tensor | None = None,
    delta_softplus: bool = False,
) -> Tensor:
    """Run the state space model of Mamba (arXiv 2312.00752, equation 2 and section 3.2).

    With h_0 = 0, for each token t, channel d and state n::

        h_t[d, n] = exp(delta_t[d] A[d, n]) h_{t-1}[d, n] + delta_t[d] B_t[n] u_t[d]
        y_t[d]    = sum_n C_t[n] h_t[d, n] + D[d] u_t[d]

    Args:
        u (Tensor): The input (B, D, L).
        delta (Tensor): The step size (B, D, L).
        A (Tensor): The rates of decay (D, N), negative.
        B (Tensor): What enters the state: (B, N, L), or (B, G, N, L) for G groups of successive
            channels.
        C (Tensor): How the state is read, with the shape of ``B``.
        D (Tensor | None): The skip connection (D,). Defaults to None.
        delta_bias (Tensor | None): Added to ``delta`` (D,). Defaults to None.
        delta_softplus (bool): Whether the step size is softplus of that sum. Defaults to False.

    Returns:
        Tensor: The output (B, D, L) in the dtype of ``u``, computed in float32 at least.

    Raises:
        ValueError: If the shapes do not fit each other.
    """
    check_shapes(u, delta, A, B, C, D, delta_bias)
    dtype = torch.promote_types(u.dtype, torch.float32)
    x, delta = u.to(dtype), step_size(delta.to(dtype), delta_bias, delta_softplus)
    A, B, C = (
        A.to(dtype),
        of_channels(B.to(dtype), u.shape[1]),
        of_channels(C.to(dtype), u.shape[1]),
    )
    state = x.new_zeros(*x.shape[:2], A.shape[1])
    outputs = []
    for t in range(x.shape[2]):
        decay = torch.exp(delta[:, :, t, None] * A)
        state = decay * state + (delta[:, :, t] * x[:, :, t])[..., None] * B[..., t]
        outputs.append((C[..., t] * state).sum(2))
    y = torch.stack(outputs, 2)
    return (y if D is None else y + D.to(dtype)[:, None] * x).to(u.dtype)


def check_shapes(
    u: Tensor,
    delta: Tensor,
    A: Tensor,
    B: Tensor,
    C: Tensor,
    D: Tensor | None,
    delta_bias: Tensor | None,
) -> None:
    """Raise ValueError unless the inputs of a selective scan fit each other; B may be 0."""
    if u.ndim != 3 or A.ndim != 2 or not u.shape[1] or not u.shape[2]:
        raise ValueError(
            f'u is (B, D, L), with a channel and a token at least, and A is (D, N); '
            f'not {tuple(u.shape)} and {tuple(A.shape)}'
        )
    (batch, channels, tokens), states = u.shape, A.shape[1]
    groups = B.shape[1:-2]
    if len(groups) > 1 or groups and (not groups[0] or channels % groups[0]):
        raise ValueError(f'B is (B, N, L), or (B, G, N, L) where G divides the {channels} channels')
    wanted = dict(delta=(delta, u.shape), A=(A, (channels, states)))
    wanted |= {name: (x, (batch, *groups, states, tokens)) for name, x in (('B', B), ('C', C))}
    wanted |= {name: (x, (channels,)) for name, x in (('D', D), ('delta_bias', delta_bias))}
    for name, (x, shape) in wanted.items():
        if x is not None and x.shape != shape:
            raise ValueError(
                f'{name} of a selective scan must be {tuple(shape)} for u {tuple(u.shape)} and '
                f'{states} states, not {tuple(x.shape)}'
            )


def step_size(delta: Tensor, bias: Tensor | None, softplus: bool) -> Tensor:
    """The step size (B, D, L) of each token."""
    if bias is not None:
        delta = delta + bias.to(delta.dtype)[:, None]
    return F.softplus(delta) if softplus else delta


def of_channels(x: Tensor, channels: int) -> Tensor:
    """Give each channel the row of its group: (B, N, L) or (B, G, N, L) to (B, D, N, L)."""
    if x.ndim == 3:
        return x[:, None].expand(-1, channels, -1, -1)
    return x.repeat_interleave(channels // x.shape[1], 1)
