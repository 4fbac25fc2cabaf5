"""Multiply-accumulates of selective scans: by their definition, and as papers count them.

A scan is a loop over tokens, or many small operators, or a kernel. For the count it is one
operation of B images, D channels, L tokens and N states.
"""

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn

COUNTED_SCAN = 'vminet_mm::counted_scan'


@dataclass(frozen=True)
class Rule:
    """How a scan is counted.

    Attributes:
        states: For each token, channel and state.
        channels: For each token and channel.
        left_out: Pattern of the names of modules that are not counted.
    """

    states: int
    channels: int
    left_out: str = ''


DEFINITION = Rule(4, 2)
# with exponentials and sums, as the authors of Mamba said that it can be counted, and with D * u
MAMBA = Rule(9, 1)
# LocalMamba's code takes what stands before a scan from the first scan of a layer alone. The FLOPs
# that papers print for Vim, whose authors print none, are from there
LOCAL_MAMBA = Rule(5, 2, left_out=r'.*mixer\.(x_proj|dt_proj|conv1d)(_b|_[1-9])')
AUTHORS = {
    'EfficientVMamba': MAMBA,
    'LocalVim': LOCAL_MAMBA,
    'PlainMamba': MAMBA,
    'VMamba': MAMBA,
    'Vim': LOCAL_MAMBA,
}


# all inputs, or a trace would leave out what makes them
@torch.library.custom_op(COUNTED_SCAN, mutates_args=())
def _counted_scan(u: Tensor, delta: Tensor, A: Tensor, B: Tensor, C: Tensor) -> Tensor:
    """Stand for a scan in a trace."""
    return u.clone()


def count_scans(model: nn.Module) -> None:
    """Have every module with a ``selective_scan`` run the one operation that is counted."""
    for module in model.modules():
        if hasattr(module, 'selective_scan'):
            module.selective_scan = lambda *args, **options: _counted_scan(*args[:5])


class ScanCounter:
    """MMEngine's handle for that operation, which remembers what it has counted."""

    def __init__(self) -> None:
        self.channels = 0
        self.states = 0

    def __call__(self, inputs: list, outputs: list) -> int:
        """The MACs of a scan by its definition."""
        channels = math.prod(outputs[0].type().sizes())
        states = channels * inputs[2].type().sizes()[1]
        self.channels += channels
        self.states += states
        return DEFINITION.states * states + DEFINITION.channels * channels

    def as_authors(self, kind: str, macs: Mapping[str, float]) -> int | None:
        """The sum by the rule of a backbone's authors, or None where they have none."""
        rule = AUTHORS.get(kind)
        if rule is None:
            return None
        left_out = [n for name, n in macs.items() if re.fullmatch(rule.left_out, name) and name]
        more = (rule.states - DEFINITION.states) * self.states
        more += (rule.channels - DEFINITION.channels) * self.channels
        return int(macs['']) + more - int(sum(left_out))
