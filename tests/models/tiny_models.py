"""A tiny arch, and values that make every part of a model matter."""

from torch import nn

from vminet_mm.models import VMISA

TINY = dict(base_channels=4, expansion=2, depths=(1, 1, 2, 1))


def randomised(model: nn.Module) -> nn.Module:
    """Values for norms, alpha, s0 and beta, so that all of them matter."""
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.normal_(module.running_mean, std=0.1)
            nn.init.uniform_(module.running_var, 0.5, 1.5)
            nn.init.uniform_(module.weight, 0.5, 1.5)
            nn.init.normal_(module.bias, std=0.1)
        elif isinstance(module, VMISA):
            for name in ('alpha', 'beta', *(['scale'] if module.form == 'matrix' else [])):
                nn.init.normal_(getattr(module, name), 1.0, 0.3)
            module.alpha.data /= 10
    return model
