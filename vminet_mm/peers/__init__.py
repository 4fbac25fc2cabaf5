"""Vision Mambas and kin of the paper's tables, as backbones.

Registered are functions that import a model when it is built: who uses VMINet alone does not
import the others.
"""

from collections.abc import Callable
from importlib import import_module

from mmengine.registry import MODELS
from torch import nn

HOMES = {  # name of a model or head: its module
    'EfficientVMamba': 'efficient_vmamba',
    'LVT': 'lvt',
    'LVTClsHead': 'lvt_head',
    'LocalVim': 'local_vim',
    'PlainMamba': 'plain_mamba',
    'VMamba': 'vmamba',
    'Vim': 'vim',
}
__all__ = sorted(HOMES)


def __getattr__(name: str) -> type[nn.Module]:
    if name not in HOMES:
        raise AttributeError(f'module {__name__!r} has no attribute {name!r}')
    return getattr(import_module(f'.{HOMES[name]}', __name__), name)


def _builder(name: str) -> Callable[..., nn.Module]:
    """A function that builds a model as its class does."""

    def build(*args: object, **kwargs: object) -> nn.Module:
        return __getattr__(name)(*args, **kwargs)

    build.__name__, build.__doc__ = name, f'Build :class:`vminet_mm.peers.{HOMES[name]}.{name}`.'
    return build


for _name in HOMES:
    MODELS.register_module(name=_name, module=_builder(_name))
