"""mmpretrain's pictures of predictions: its hook hands BGR to a visualizer that draws RGB."""

from types import ModuleType
from typing import Any

from .import_hook import when_imported
from .patching import wrap


def apply() -> None:
    """Let ``mmpretrain``'s ``VisualizationHook`` draw images in their own colors."""
    when_imported('mmpretrain.engine.hooks.visualization_hook', _fix)


def _fix(module: ModuleType) -> None:
    def draw_samples(
        original: Any, hook: Any, batch_idx: int, data_batch: dict, *args: Any, **kwargs: Any
    ) -> None:
        if hook.enable:
            images = [image.flip(0) if len(image) == 3 else image for image in data_batch['inputs']]
            data_batch = dict(data_batch, inputs=images)
        original(hook, batch_idx, data_batch, *args, **kwargs)

    wrap(module.VisualizationHook, '_draw_samples', draw_samples, __name__)
