"""Where MMEngine's registries find the models, hooks and data sets of the package.

A registry imports its ``locations`` at the first look-up, so that ``import vminet_mm`` need not.
"""

from types import ModuleType
from typing import Any

from .compat.import_hook import when_imported
from .compat.patching import wrap

# Module of registries: registry, and the modules that register something in it or above it.
LOCATIONS = {
    'mmengine.registry.root': {
        'MODELS': ('vminet_mm.models', 'vminet_mm.peers'),
        'OPTIM_WRAPPER_CONSTRUCTORS': ('vminet_mm.engine.optim',),
        'HOOKS': (
            'vminet_mm.engine.hooks',
            'vminet_mm.engine.reliability.nonfinite',
            'vminet_mm.engine.reliability.nothing_learned',
            'vminet_mm.inference.label_map_hook',
            'vminet_mm.inference.picture_hook',
        ),
    },
    'mmseg.registry.registry': {'DATASETS': ('vminet_mm.datasets.ade20k_layout',)},
}


def register() -> None:
    """Register the locations as soon as the registries exist; a second call changes nothing."""
    for module_name in LOCATIONS:
        when_imported(module_name, _add_locations)


def _add_locations(module: ModuleType) -> None:
    for registry_name, locations in LOCATIONS[module.__name__].items():
        registry = getattr(module, registry_name)
        for location in locations:
            if location not in registry._locations:
                # a list of its own: the default one is shared by all registries
                registry._locations = [*registry._locations, location]
                registry._imported = False  # it may have been asked before
    wrap(module.Registry, 'import_from_location', _with_parents, __name__)


def _with_parents(original: Any, registry: Any) -> None:
    """A registry looks in its parents, too, and upstream forgets to import their locations."""
    original(registry)
    if registry.parent is not None:
        registry.parent.import_from_location()
