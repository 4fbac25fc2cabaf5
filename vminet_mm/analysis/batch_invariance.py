"""How much the padding of a batch changes the features of its images, and a model's accuracy.

Each image gets a companion that is larger by so many pixels in height and width, so that the image
is padded to that size. Its own cells of each map are compared with the maps of the image alone:
the norm of the difference over the norm of the map, averaged over the images. The accuracy is that
of the test set with every batch padded by so much more. Both are measured without and with
``mask_padding``.
"""

import io
from collections.abc import Iterator, Sequence
from contextlib import redirect_stdout
from dataclasses import dataclass, field
from itertools import product

import torch
from mmengine.config import Config
from mmengine.dataset import pseudo_collate
from mmengine.evaluator import Evaluator
from mmengine.registry import DefaultScope
from mmengine.runner import Runner
from torch import Tensor, nn
from torch.utils.data import DataLoader
from torch.utils.hooks import RemovableHandle
from tqdm import tqdm

from ..compat.patching import temporarily
from ..errors import ConfigError
from ..inference import load_model
from ..models import VMINet, set_image_sizes
from ..models.padding import image_sizes, resize
from ..tasks import model_config
from .complexity import quiet
from .latency import device_clock, median_ratio, quartiles, time_in_turn
from .tables import markdown_table

SHOWN = ('mAP', 'mAP_50', 'mIoU')  # ends of the names of metrics
ROUNDS = 9  # of timing


@dataclass(frozen=True)
class Row:
    """What was measured with one padding.

    Attributes:
        padding: Pixels.
        masked: Whether with ``mask_padding``.
        changes: For each map of the backbone, its relative change.
        metrics: The accuracy by name, if it was asked for.
    """

    padding: int
    masked: bool
    changes: list[float]
    metrics: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Times:
    """What ``mask_padding`` costs the backbone for an image and a companion.

    Attributes:
        kind: ``'forward'``, or ``'step'``: forward and backward, with fixed norms.
        plain: Median seconds without it.
        masked: Median seconds with it.
        ratio: Median of the ratios of each round.
    """

    kind: str
    plain: float
    masked: float
    ratio: float


class Study:
    """A config's model and its test set.

    Args:
        cfg (Config): Of a detector or segmentor with a VMINet; changed in place.
        checkpoint (str | None): Its weights, or None for random ones. Defaults to None.
        device (str): See :func:`vminet_mm.inference.load_model`. Defaults to ``'auto'``.

    Raises:
        ConfigError: If the model has no VMINet or no data preprocessor, or a file is missing.
    """

    def __init__(self, cfg: Config, checkpoint: str | None = None, device: str = 'auto') -> None:
        cfg.model = model_config(cfg)
        preprocessor = cfg.model.get('data_preprocessor') or {}
        if cfg.model.backbone.type != VMINet.__name__ or not preprocessor.get('type'):
            raise ConfigError(
                'the config must be of a detector or segmentor with a VMINet as backbone, and with '
                'a data_preprocessor that has a type'
            )
        if preprocessor.type != 'SizedDataPreprocessor':
            preprocessor.update(type='SizedDataPreprocessor', base=preprocessor.type)
        self.cfg = cfg
        self.model = load_model(cfg, checkpoint, device).model
        with DefaultScope.overwrite_default_scope(cfg.default_scope):
            self.loader: DataLoader = Runner.build_dataloader(cfg.test_dataloader)

    def images(self, number: int) -> list[Tensor]:
        """The first images of the test set, (1, 3, H, W) each, normalized, without padding."""
        dataset = self.loader.dataset
        found = []
        with DefaultScope.overwrite_default_scope(self.cfg.default_scope):
            for i in range(min(number, len(dataset))):
                batch = self.model.data_preprocessor(pseudo_collate([dataset[i]]), False)['inputs']
                found.append(resize(batch, image_sizes(batch)[0]))
        return found

    def rows(
        self, paddings: Sequence[int], number: int = 8, evaluate: bool = False
    ) -> Iterator[Row]:
        """Measure each padding, in pixels, without and with ``mask_padding``."""
        images = self.images(number)
        cases = list(product((False, True), paddings))
        for masked, padding in tqdm(cases, leave=False, disable=None):
            changes = feature_changes(self.model.backbone, images, padding, masked)
            metrics = self.accuracy(padding, masked) if evaluate else {}
            yield Row(padding, masked, changes, metrics)

    def accuracy(self, padding: int, masked: bool) -> dict[str, float]:
        """The metrics of the test set with every batch padded by so many pixels more."""
        with (
            DefaultScope.overwrite_default_scope(self.cfg.default_scope),
            temporarily(self.model.backbone, mask_padding=masked),
            padded(self.model.data_preprocessor, padding),
            torch.no_grad(),
            quiet(),
            redirect_stdout(io.StringIO()),  # COCO's tables
        ):
            evaluator = Evaluator(self.cfg.test_evaluator)
            evaluator.dataset_meta = self.loader.dataset.metainfo
            for data in self.loader:
                evaluator.process(self.model.test_step(data), data)
            metrics = evaluator.evaluate(len(self.loader.dataset))
        return {name: float(v) for name, v in metrics.items() if name.endswith(SHOWN)}

    def times(self, padding: int) -> list[Times]:
        """What ``mask_padding`` costs with a padding, in pixels."""
        backbone = self.model.backbone
        batch = with_companion(self.images(1)[0], padding)

        def forward(masked: bool) -> None:
            """Run the backbone once, for its time."""
            with temporarily(backbone, mask_padding=masked), torch.no_grad():
                backbone(batch)

        def step(masked: bool) -> None:
            """Run it and the backward pass."""
            with temporarily(backbone, mask_padding=masked):
                sum(y.sum() for y in backbone(batch)).backward()

        found = []
        clock = device_clock(batch.device)
        for name, function in (('forward', forward), ('step', step)):
            both = [lambda m=m, f=function: f(m) for m in (False, True)]
            plain, masked = time_in_turn(both, ROUNDS, clock=clock)
            ratio = median_ratio(masked, plain)
            found.append(Times(name, quartiles(plain)[1], quartiles(masked)[1], ratio))
        return found


def with_companion(image: Tensor, padding: int) -> Tensor:
    """An image and a blank one larger by ``padding`` pixels, as a batch (2, 3, H, W) with sizes."""
    height, width = image.shape[2:]
    size = (height + padding, width + padding)
    images = resize(image, size)
    return set_image_sizes(torch.cat([images, torch.zeros_like(images)]), [(height, width), size])


@torch.no_grad()
def feature_changes(
    backbone: VMINet, images: Sequence[Tensor], padding: int, masked: bool
) -> list[float]:
    """The mean relative change of each map of a backbone in evaluation mode, by padding.

    The images are (1, 3, H, W) each, the padding counts in pixels.
    """
    changes = []
    for image in images:
        with temporarily(backbone, mask_padding=False):
            alone = backbone(image)
        with temporarily(backbone, mask_padding=masked):
            maps = backbone(with_companion(image, padding))
        changes.append(
            [
                float((resize(y[:1], tuple(e.shape[2:])) - e).norm() / e.norm())
                for y, e in zip(maps, alone, strict=True)
            ]
        )
    return torch.tensor(changes).mean(0).tolist()


def padded(preprocessor: nn.Module, padding: int) -> RemovableHandle:
    """Context manager under which a data preprocessor pads by more pixels, right and below."""

    def enlarge(_: nn.Module, __: tuple, batch: dict) -> None:
        """Add the padding to a preprocessed batch and to what its data samples say."""
        images = batch['inputs']
        size = (images.shape[2] + padding, images.shape[3] + padding)
        batch['inputs'] = set_image_sizes(resize(images, size), image_sizes(images))
        around = (0, padding, 0, padding)  # what mmseg cuts off of its prediction
        for sample in batch['data_samples']:
            sample.set_metainfo(
                dict(batch_input_shape=size, pad_shape=size, img_padding_size=around)
            )

    return preprocessor.register_forward_hook(enlarge)


def to_table(rows: Sequence[Row]) -> str:
    """The rows as a Markdown table."""
    maps = [f'map {i}' for i in range(len(rows[0].changes))]
    names = [name.rpartition('/')[2] for name in rows[0].metrics]
    cells = [
        (
            *(row.padding, row.masked, *(f'{change:.2g}' for change in row.changes)),
            *(f'{metric:.3f}' for metric in row.metrics.values()),
        )
        for row in rows
    ]
    return '\n'.join(markdown_table([('padding', 'mask_padding', *maps, *names), *cells]))
