"""Class activation maps for all three tasks: Grad-CAM and its relatives.

The grad-cam package makes the maps; :mod:`.cam_scores` says what is explained.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from difflib import get_close_matches
from functools import partial
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from ..models import VMINet
from ..models.padding import copy_image_sizes
from ..peers.backbone import PeerBackbone
from .cam_scores import SCORES, Settings, find_class
from .figures import new_figure, save_figure, show
from .loading import LoadedModel, Sample, typical_aspect

try:
    import pytorch_grad_cam as grad_cam
except ModuleNotFoundError as error:
    raise ModuleNotFoundError(
        f"{__name__} needs the package grad-cam: pip install 'vminet-mm[vis]'"
    ) from error

CELL_INCHES = 1.9
OPACITY = 0.5  # of the map over the image
TITLE, TITLE_END = 38, 23  # characters of a line above a cell, and of its end where it is cut


class EigenCAM(grad_cam.EigenCAM):
    """The first principal component of the activations.

    The package's own makes a matrix of (H W) x (H W) numbers, 16 GB for a map of 200 x 320, and
    leaves the sign to chance. Here the larger excursion is positive, as Chung and Ying
    ("Seg-Eigen-CAM", 2025, eq. 13) do.
    """

    def get_cam_image(self, input_tensor, target_layer, targets, activations, *_) -> np.ndarray:
        """Map activations (B, C, H, W) to maps (B, H, W)."""
        tokens = activations.reshape(*activations.shape[:2], -1).transpose(0, 2, 1)
        tokens = tokens - tokens.mean(axis=1, keepdims=True)
        directions = np.linalg.eigh(tokens.transpose(0, 2, 1) @ tokens)[1]
        projection = (tokens @ directions[..., -1:])[..., 0]
        is_negative = -projection.min(axis=1) > projection.max(axis=1)
        projection[is_negative] *= -1
        return projection.reshape(-1, *activations.shape[2:])


METHODS = {
    'gradcam': grad_cam.GradCAM,
    'gradcam++': grad_cam.GradCAMPlusPlus,
    'xgradcam': grad_cam.XGradCAM,
    'hirescam': grad_cam.HiResCAM,
    'layercam': grad_cam.LayerCAM,
    'eigencam': EigenCAM,
}


@dataclass(frozen=True)
class Explanation:
    """The maps of an image and a model.

    Attributes:
        category: The name of the class, or its number where names are not known.
        evidence: How much the model sees of the class: of a classifier its probability, of a
            segmentor the fraction of pixels (with all locations: its mean probability), of a
            detector the highest score; from 0 to 1.
        maps: One for each layer, (H, W) as the sample's picture, from 0 to 1. Zeros where the
            method needs a score of the class and the model sees nothing of it.
    """

    category: str
    evidence: float
    maps: dict[str, np.ndarray]

    def describe(self, layer: str) -> str:
        """The title above the map of a layer: class, evidence, why it is empty."""
        if not self.evidence:
            return f'{self.category}: nothing found'
        remark = '' if self.maps[layer].any() else ', nothing above 0'
        return f'{self.category}: {self.evidence:.1%}{remark}'


def choose_layers(
    models: Sequence[nn.Module], names: Sequence[str] | None = None
) -> list[dict[str, nn.Module]]:
    """For each model its modules of some names; by default those of its backbone.

    Of names that are given, a model shows those it has.

    Raises:
        ValueError: If no model has a name (the message lists those near it), or a model has none
            of them, or none are given and a model has no backbone of this package.
    """
    known = [dict(model.named_modules()) for model in models]
    for name in names or ():
        if not any(name in modules for modules in known):
            near = get_close_matches(name, set().union(*known), n=5, cutoff=0.5)
            hint = f'; near it are {", ".join(near)}' if near else ''
            raise ValueError(f'no model has a layer {name}{hint}')
    chosen = [
        {name: modules[name] for name in names or _last_blocks(modules) if name in modules}
        for modules in known
    ]
    if not all(chosen):
        number = chosen.index({}) + 1
        raise ValueError(f'model {number} has none of these layers: name some of its own, too')
    return chosen


def _last_blocks(modules: dict[str, nn.Module]) -> list[str]:
    """The names of the last block of each stage of the backbone among a model's modules."""
    names = []
    for name, module in modules.items():
        if isinstance(module, VMINet):
            names += [
                f'{name}.stages.{i}.{len(stage) - 1}' for i, stage in enumerate(module.stages)
            ]
        elif isinstance(module, PeerBackbone):
            names += [f'{name}.{layer}' for layer in module.layers_to_explain()]
    if not names:
        raise ValueError('a model has no VMINet: name the layers to look at')
    return [name.lstrip('.') for name in names]


def explain(
    loaded: LoadedModel, sample: Sample, layers: dict[str, nn.Module], settings: Settings
) -> Explanation:
    """Compute the maps of a class at some layers.

    Raises:
        ValueError: If the class, or another setting, is unknown, or if a layer gives neither maps
            (B, C, H, W) nor tokens (B, N, C) of the image when the model predicts.
    """
    if settings.method not in METHODS:
        raise ValueError(f'unknown method {settings.method!r}; choose one of {", ".join(METHODS)}')
    score = partial(SCORES[loaded.scope], loaded, sample, settings)
    backbones = [m for m in loaded.model.modules() if isinstance(m, PeerBackbone)]
    as_map = partial(
        tokens_as_map,
        size=sample.inputs.shape[-2:],
        in_middle=any(backbone.class_token_in_middle for backbone in backbones),
        pads=bool(backbones),
    )
    with torch.no_grad(), _require_maps(layers, as_map):
        evidence = score(sample.inputs)[1]
    number = find_class(settings.category, loaded.classes, evidence)
    maps = {}
    for name, layer in layers.items():
        # one pass for each: of several layers the package takes gradients in the order in which
        # they arrive, whatever the order of the layers
        cam = METHODS[settings.method](_Scores(loaded.model, score), [layer], as_map)
        height, width = sample.picture.shape[:2]
        if _sees_no_padding(loaded.model, layer):  # its map is not one of the padded image
            cam.get_target_width_height = lambda inputs, size=(width, height): size
        try:
            if evidence[number] == 0 and cam.uses_gradients:
                maps[name] = np.zeros((height, width), dtype=np.float32)
                continue
            # frozen layers give gradients, too, where the image asks for one
            inputs = copy_image_sizes(sample.inputs.clone().requires_grad_(), sample.inputs)
            maps[name] = cam(inputs, [lambda scores: scores[number]])[0][:height, :width]
        finally:
            cam.activations_and_grads.release()
    category = loaded.classes[number] if loaded.classes else str(number)
    return Explanation(category, float(evidence[number]), maps)


def _sees_no_padding(model: nn.Module, layer: nn.Module) -> bool:
    """Whether a layer is part of a backbone that cuts the padding off."""
    backbones = [m for m in model.modules() if isinstance(m, VMINet) and m.mask_padding]
    return any(layer is module for backbone in backbones for module in backbone.modules())


def tokens_as_map(
    output: Tensor, size: Sequence[int], in_middle: bool = False, pads: bool = False
) -> Tensor:
    """What a layer gives as a map (B, C, h, w), such as the ``reshape_transform`` of grad-cam.

    Args:
        output: A map already, or tokens (B, N, C) of the patches in row-major order, with up to two
            tokens of another kind (class and distillation).
        size: (H, W) of the image; N gives the size of its patches.
        in_middle: The other token stands in the middle, not before the patches.
        pads: Edges that the patch does not divide are padded, not cut.

    Raises:
        ValueError: If the tokens are not those of square patches of the image.
    """
    if output.ndim == 4:
        return output
    for others in range(3) if output.ndim == 3 else ():
        number = output.shape[1] - others
        for patch in range(1, min(size) + 1):
            grid = [-(-edge // patch) if pads else edge // patch for edge in size]
            if grid[0] * grid[1] == number:
                first = number // 2 if in_middle else 0
                parts = output[:, :first], output[:, first + others :]
                return torch.cat(parts, 1).transpose(1, 2).unflatten(2, grid)
    raise ValueError('it gives neither a map nor the tokens of the image')


@contextmanager
def _require_maps(
    layers: dict[str, nn.Module], as_map: Callable[[Tensor], Tensor]
) -> Iterator[None]:
    """Context manager that raises unless all layers are called in it and return maps."""
    outputs = {}
    with ExitStack() as hooks:
        for name, layer in layers.items():
            hooks.enter_context(
                layer.register_forward_hook(
                    lambda *call, name=name: outputs.update({name: call[2]})
                )
            )
        yield
    for name in layers:
        if name not in outputs:
            raise ValueError(f'layer {name} has no part in predicting: choose another one')
        try:
            as_map(outputs[name])
        except (AttributeError, ValueError):
            raise ValueError(
                f'layer {name} gives no map (B, C, H, W), nor the tokens of one: choose another one'
            ) from None


class _Scores(nn.Module):
    """Images (1, 3, H, W) to scores (1, K), as the package asks for."""

    def __init__(self, model: nn.Module, score: Callable[[Tensor], tuple[Tensor, Tensor]]) -> None:
        super().__init__()
        self.model = model
        self.score = score

    def forward(self, inputs: Tensor) -> Tensor:
        """Map an input to its score (1, 1)."""
        return self.score(inputs)[0][None]


@dataclass(frozen=True)
class Column:
    """A model's explanations of some images.

    Attributes:
        name: The name of the model.
        samples: The images as the model is given them.
        explanations: One for each image.
    """

    name: str
    samples: Sequence[Sample]
    explanations: Sequence[Explanation]


def save_grid(path: str | Path, columns: Sequence[Column], title: str = '') -> Path:
    """Draw a grid into a PNG file: images as rows, below each other the maps of a model's layer.

    There is a column for each model, of the same images; what the first one is given is also shown
    without a map.
    """
    samples = columns[0].samples
    number = 1 + sum(len(column.explanations[0].maps) for column in columns)
    height = len(samples) * (CELL_INCHES * typical_aspect(samples) + 0.15) + 0.6
    figure = new_figure(number * CELL_INCHES, height)
    figure.suptitle(title, fontsize=8)
    for row, cells in enumerate(figure.subplots(len(samples), number, squeeze=False)):
        cells = iter(cells)
        show(next(cells), samples[row].picture, shorten(samples[row].name))
        for column in columns:
            found = column.explanations[row]
            picture = column.samples[row].picture
            gray = picture.mean(axis=2, keepdims=True).repeat(3, axis=2).astype(np.uint8)
            for layer, heat in found.maps.items():
                head = f'{column.name}\n{layer}\n' if row == 0 else ''
                axes = next(cells)
                lines = (head + found.describe(layer)).split('\n')
                show(axes, gray, '\n'.join(map(shorten, lines)))
                axes.imshow(heat, cmap='turbo', vmin=0, vmax=1, alpha=OPACITY)
    return save_figure(figure, path)


def shorten(line: str) -> str:
    """A line that fits above a cell, without a part of its middle: classes may have long names."""
    if len(line) <= TITLE:
        return line
    return f'{line[: TITLE - TITLE_END - 3]}...{line[-TITLE_END:]}'
