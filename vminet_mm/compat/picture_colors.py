"""mmpretrain's drawings of predictions: its hook hands BGR to a visualizer that draws RGB."""

from types import ModuleType
from typing import Any

from .patching import wrap


def fix(module: ModuleType) -> None:
    """Let ``mmpretrain``'s ``VisualizationHook`` draw images in their own colors."""

    def draw_samples(
        original: Any, hook: Any, batch_idx: int, data_batch: dict, *args: Any, **kwargs: Any
    ) -> None:
        """``_draw_samples`` of images whose channels are swapped first."""
        if hook.enable:
            images = [image.flip(0) if len(image) == 3 else image for image in data_batch['inputs']]
            data_batch = dict(data_batch, inputs=images)
        original(hook, batch_idx, data_batch, *args, **kwargs)

    wrap(module.VisualizationHook, '_draw_samples', draw_samples, __name__)
