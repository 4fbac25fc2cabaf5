"""VMINet, a vision backbone with linear-time separable self-attention, for OpenMMLab.

Importing the package imports neither torch nor an mm package. It lets :mod:`vminet_mm.compat` make
the installed OpenMMLab stack usable, and tells MMEngine's registries where the models, hooks and
data sets are (:mod:`vminet_mm.registration`); its own names are imported at their first use.
"""

from importlib import import_module

from . import compat, registration
from .version import __version__

_HOMES = {
    'DeployHook': '.engine.hooks',
    'NormStatisticsHook': '.engine.hooks',
    'SimpleFeaturePyramid': '.models',
    'VMINet': '.models',
    'load_model': '.inference',
}
__all__ = [*_HOMES, '__version__']

compat.activate()  # before anything imports an mm package
registration.register()


def __getattr__(name: str) -> object:
    if name not in _HOMES:
        raise AttributeError(f'module {__name__!r} has no attribute {name!r}')
    return getattr(import_module(_HOMES[name], __name__), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
