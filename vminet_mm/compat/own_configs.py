"""MMEngine refuses ``vminet_mm::`` configs: it keeps a list of the packages that have some.

It would also build what such a config holds in a scope named like the package. The parts of ours
belong to the config's own ``default_scope``. Of another package it reads all metafiles,
some hundred, before it takes the file of that name.

The weights of ours come with the package, and their metafile says where below
``.mim``; ``mmengine.hub`` and mim would take that for a URL.
"""

import shutil
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType
from typing import Any

from ..files import shipped
from ..tasks import model_config
from .patching import mark_active, wrap

NAME = __name__.partition('.')[0]
PREFIX = f'{NAME}::'


def fix(module: ModuleType) -> None:
    """Let configs inherit from ``vminet_mm::``, and ``mmengine.hub`` and mim find ours."""
    if module.__name__ == 'mmengine.hub.hub':
        wrap(module, 'get_config', _config_with_weights, __name__)
        wrap(module, 'get_model', _model_in_its_scope, __name__)
    elif module.__name__ == 'mim.utils.utils':
        wrap(module, 'download_from_file', _copy_or_download, __name__)
    elif hasattr(module, 'Config'):
        wrap(module.Config, '_get_cfg_path', _path_and_scope, __name__)
    else:
        module.MODULE2PACKAGE.setdefault(NAME, NAME)
        mark_active(__name__)


def _path_and_scope(original: Any, path: str, filename: str) -> tuple[str, str | None]:
    """The file of a base and the scope of what it holds, which is None for ours."""
    if path.startswith(PREFIX):
        return str(shipped(f'configs/{path.removeprefix(PREFIX)}')), None
    scope, _, name = path.partition('::')
    package = find_spec(scope) if name and scope.isidentifier() else None
    if package and package.origin:
        file = Path(package.origin).parent / '.mim/configs' / name
        if file.is_file():
            return str(file), scope
    return original(path, filename)


def _config_with_weights(original: Any, cfg_path: str, pretrained: bool = False) -> Any:
    """``get_config``; the weights of ours lie where the package does."""
    cfg = original(cfg_path, pretrained)
    if pretrained and cfg_path.startswith(PREFIX):
        cfg.model_path = str(shipped(cfg.model_path))
    return cfg


def _model_in_its_scope(
    original: Any, cfg_path: str, pretrained: bool = False, **kwargs: Any
) -> Any:
    """``get_model``, which would look for the model in a scope named like the package."""
    if not cfg_path.startswith(PREFIX):
        return original(cfg_path, pretrained, **kwargs)
    from mmengine.hub import get_config
    from mmengine.registry import MODELS, DefaultScope
    from mmengine.runner import load_checkpoint

    cfg = get_config(cfg_path, pretrained)
    with DefaultScope.overwrite_default_scope(cfg.default_scope):
        model = MODELS.build(model_config(cfg), default_args=kwargs)
    if pretrained:
        load_checkpoint(model, cfg.model_path)
        model._is_init = True  # or a runner would start from random weights again
    return model


def _copy_or_download(original: Any, url: str, dest_path: str, *args: Any, **kwargs: Any) -> None:
    """Mim's download of a file; what is shipped is copied."""
    if '://' in url or not shipped(url).is_file():
        return original(url, dest_path, *args, **kwargs)
    shutil.copy(shipped(url), dest_path)
    return None
