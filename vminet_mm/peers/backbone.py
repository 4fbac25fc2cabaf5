"""What the backbones of other papers have in common."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from ..checkpoints import load_peer
from ..models.backbone import StrictBackbone, eval_batch_norms
from ..models.options import (
    check_choice,
    check_count,
    check_fraction,
    check_init_cfg,
    parse_out_indices,
)
from ..models.recompute import recompute

NUM_STAGES = 4  # of a hierarchical model
MAY_BE_ZERO = ('depths', 'num_convs', 'conv_layers')  # of an arch


class PeerBackbone(StrictBackbone):
    """A backbone of another paper: archs by name, parts that stay as they are, strict checkpoints.

    Args:
        arch (str | dict): A name of :attr:`arch_settings`, or a dict with the same keys.
        out_indices (int | Sequence[int]): The outputs to return, from 0; negative ones count from
            the end.
        num_outputs (int): How many there are.
        frozen_stages (int): -1 freezes nothing, 0 the stem, i the stem and the first i of
            :meth:`stages_from_stem`. Defaults to -1.
        norm_eval (bool | str): Keep batch norms in evaluation mode while training. ``'auto'`` does
            so where the backbone starts from a checkpoint. Defaults to False.
        init_cfg (dict | list[dict] | None): ``dict(type='Pretrained', checkpoint=...)`` takes a
            checkpoint of the authors, of mmpretrain or a bare one, strictly; ``prefix`` and ``ema``
            are as in :func:`vminet_mm.checkpoints.load_peer`. Defaults to None.

    Raises:
        ValueError: For an unknown arch, an output that does not exist or an option out of range.
    """

    arch_settings: dict[str, dict]
    class_token_in_middle = False  # of the tokens, where a model has one

    def __init__(
        self,
        arch: str | dict,
        out_indices: int | Sequence[int],
        num_outputs: int,
        frozen_stages: int = -1,
        norm_eval: bool | str = False,
        init_cfg: dict | list[dict] | None = None,
    ) -> None:
        super().__init__(init_cfg)
        check_init_cfg(init_cfg)
        check_choice('norm_eval', norm_eval, (True, False, 'auto'))
        self.arch = _parse_arch(arch, self.arch_settings)
        self.out_indices = parse_out_indices(out_indices, num_outputs)
        self.frozen_stages = frozen_stages
        self.norm_eval = bool(self._init_cfgs()[0]) if norm_eval == 'auto' else norm_eval

    def load_pretrained(self, checkpoint: str, **options: Any) -> None:
        """Load a checkpoint, strictly.

        Args:
            checkpoint: A file or an address.
            **options: ``prefix`` and ``ema``, see :func:`vminet_mm.checkpoints.load_peer`.
        """
        load_peer(self, checkpoint, **options)

    def stages_from_stem(self) -> list[nn.Module]:
        """The stem and the stages, in the order in which they are frozen."""
        raise NotImplementedError

    def layers_to_explain(self) -> list[str]:
        """Names of the modules whose maps (B, C, H, W), or tokens, show what a model looks at."""
        return []

    def freeze_stages(self) -> None:
        """Take the gradients of the frozen stages away, and their norms' statistics.

        Raises:
            ValueError: If there are not so many stages.
        """
        parts = self.stages_from_stem()
        is_whole = type(self.frozen_stages) is int
        if not is_whole or self.frozen_stages not in range(-1, len(parts)):
            raise ValueError(
                f'frozen_stages must be in -1..{len(parts) - 1}, not {self.frozen_stages!r}'
            )
        for part in parts[: self.frozen_stages + 1]:
            part.eval()
            part.requires_grad_(False)

    def train(self, mode: bool = True) -> 'PeerBackbone':
        """Set the mode; frozen stages, and batch norms under ``norm_eval``, stay in evaluation."""
        super().train(mode)
        self.freeze_stages()
        if self.norm_eval:
            eval_batch_norms(self)
        return self


class Recomputable(nn.Module):
    """A block that can be computed again in the backward pass instead of kept.

    Args:
        with_cp (bool): Do so.
    """

    def __init__(self, with_cp: bool) -> None:
        super().__init__()
        check_choice('with_cp', with_cp, (True, False))
        self.with_cp = with_cp

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, C, H, W) to the same shape."""
        if self.with_cp and torch.is_grad_enabled():
            return recompute(self, self.compute, x)
        return self.compute(x)

    def compute(self, x: Tensor) -> Tensor:
        """What the block does."""
        raise NotImplementedError


def drop_path_rates(last: float, number: int) -> Iterator[float]:
    """Stochastic depth block by block, growing linearly from 0 to ``last``.

    Args:
        last: Of the last block.
        number: How many blocks there are.

    Raises:
        ValueError: If ``last`` is not from 0 to below 1.
    """
    check_fraction('drop_path_rate', last, below=1)
    return iter([last * i / max(number - 1, 1) for i in range(number)])


def init_linear_layers(model: nn.Module) -> None:
    """Initialize linear layers, 1x1 convolutions that stand for one included, as timm's ViT does.

    Weights from a normal distribution of deviation 0.02, truncated at +-2; biases 0.
    """
    for module in model.modules():
        if isinstance(module, (nn.Linear, Linear2d)):
            nn.init.trunc_normal_(module.weight, std=0.02)
            if module.bias is not None:
                nn.init.zeros_(module.bias)


class Linear2d(nn.Conv2d):
    """A linear layer over the channels of (B, C, H, W).

    Its checkpoints may have the weight as (C_out, C_in), as of a linear layer.

    Args:
        in_channels (int): C of the input.
        out_channels (int): C of the output.
        bias (bool): Add a bias. Defaults to True.
    """

    def __init__(self, in_channels: int, out_channels: int, bias: bool = True) -> None:
        super().__init__(in_channels, out_channels, 1, bias=bias)


def pad_to_multiple(x: Tensor, multiple: int) -> Tensor:
    """Pad (B, C, H, W) with zeros, at bottom and right, to edges that are multiples of a number."""
    height, width = x.shape[-2:]
    return nn.functional.pad(x, (0, -width % multiple, 0, -height % multiple))


def _parse_arch(arch: Any, known: Mapping[str, dict]) -> dict:
    """The settings of an arch given by name or as a dict with the keys of the known ones."""
    if not isinstance(arch, Mapping):
        if not isinstance(arch, str) or arch not in known:
            raise ValueError(f'unknown arch {arch!r}; choose one of {", ".join(known)}, or a dict')
        return known[arch]
    keys = sorted(next(iter(known.values())))
    if sorted(arch) != keys:
        raise ValueError(f'an arch dict must have the keys {keys}, not {sorted(arch)}')
    examples = next(iter(known.values())).items()
    return {name: _parse_value(name, arch[name], example) for name, example in examples}


def _parse_value(key: str, value: Any, example: Any) -> Any:
    """A value of an arch: a count, a positive number, four counts, or any number of indices."""
    name, minimum = f'{key} of the arch', 0 if key in MAY_BE_ZERO else 1
    if isinstance(example, tuple):
        has_stages = len(example) == NUM_STAGES
        if not isinstance(value, (list, tuple)) or (has_stages and len(value) != NUM_STAGES):
            number = NUM_STAGES if has_stages else 'any number of'
            raise ValueError(f'{name} must be a tuple of {number} numbers, not {value!r}')
        for item in value:
            check_count(name, item, minimum)
        return tuple(value)
    if isinstance(example, float):
        check_fraction(name, value)
        if not value:
            raise ValueError(f'{name} must be above 0')
    else:
        check_count(name, value, minimum)
    return value
