"""Batches that cannot be trained with: of one image for a pooled norm, or of another size."""

from collections.abc import Iterator

from mmengine.config import Config
from mmengine.dist import get_world_size
from mmengine.registry import MODELS, DefaultScope
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.utils.data import DataLoader

from ..errors import ConfigError
from ..tasks import model_config


def images_per_iteration(loader: DataLoader) -> int | None:
    """Images that all processes together draw in an iteration; None where batches vary."""
    batch_size = getattr(loader, 'batch_size', None) or getattr(
        getattr(loader, 'batch_sampler', None), 'batch_size', None
    )
    return batch_size * get_world_size() if isinstance(batch_size, int) else None


def require_norms_fed(model: nn.Module, loader: DataLoader) -> None:
    """Raise ConfigError if a batch norm behind a global pooling would see one value per channel.

    Such a norm, as in the pooling of UPerNet, PSPNet and DeepLab, takes its statistics of the
    images of a batch alone, and PyTorch refuses a batch of one.
    """
    batch_size = getattr(loader.batch_sampler, 'batch_size', None) or loader.batch_size
    sampler = loader.sampler
    number = len(sampler) if hasattr(sampler, '__len__') else 0
    is_endless = type(sampler).__name__.startswith('Infinite')
    _require_two(model, batch_size, 0 if is_endless or loader.drop_last else number)


def require_norms_fed_by(cfg: Config, number: int) -> None:
    """The same for a config and the number of its training images, for one process.

    Raises:
        ConfigError: Naming the norm, and what to set.
    """
    loader = cfg.get('train_dataloader') or {}
    batch_size = loader.get('batch_size')
    is_endless = str((loader.get('sampler') or {}).get('type')).startswith('Infinite')
    rest = 0 if is_endless or loader.get('drop_last') else number
    if not isinstance(batch_size, int) or (batch_size > 1 and rest % batch_size != 1):
        return
    with DefaultScope.overwrite_default_scope(cfg.get('default_scope')):
        _require_two(MODELS.build(model_config(cfg)), batch_size, rest)


def _require_two(model: nn.Module, batch_size: object, number: int) -> None:
    """Raise if a pooled norm sees one image in a batch, or in the last one of so many images."""
    names = list(_pooled_norms(model))
    if not names or not isinstance(batch_size, int):
        return
    how = (
        f'{names[0]} is a batch norm behind a global pooling, which cannot be trained with one '
        'image in a process'
    )
    if batch_size == 1:
        raise ConfigError(
            f'train_dataloader.batch_size=1: {how}; take --cfg-options '
            'train_dataloader.batch_size=2, or a norm_cfg of type SyncBN in several processes'
        )
    if number % batch_size == 1:
        raise ConfigError(
            f'the last batch of an epoch holds one of the {number} images: {how}; take '
            '--cfg-options train_dataloader.drop_last=True'
        )


def _pooled_norms(model: nn.Module) -> Iterator[str]:
    """Names of the batch norms behind a pooling to 1 x 1, whose statistics are of one process."""
    for name, module in model.named_modules():
        # in the necks and heads of mmpretrain, which take one vector of each image
        if isinstance(module, nn.BatchNorm1d) and name.startswith(('neck.', 'head.')):
            yield name
        if not isinstance(module, nn.Sequential):
            continue
        is_pooled = False
        for child_name, child in module.named_children():
            if isinstance(child, nn.AdaptiveAvgPool2d):
                is_pooled = child.output_size in (1, (1, 1))
            elif is_pooled:
                for inner, norm in child.named_modules(prefix=f'{name}.{child_name}'):
                    is_shared = isinstance(norm, nn.SyncBatchNorm) and get_world_size() > 1
                    if isinstance(norm, _BatchNorm) and not is_shared:
                        yield inner
