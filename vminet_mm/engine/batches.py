"""Batches that cannot be trained with: of one image for a pooled norm, or of another size."""

from collections.abc import Iterator

from mmengine.dist import get_world_size
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.utils.data import DataLoader

from ..errors import ConfigError


def images_per_iteration(loader: DataLoader) -> int | None:
    """Images that all processes together draw in an iteration; None where batches vary."""
    batch_size = getattr(loader, 'batch_size', None) or getattr(
        getattr(loader, 'batch_sampler', None), 'batch_size', None
    )
    return batch_size * get_world_size() if isinstance(batch_size, int) else None


def require_norms_fed(model: nn.Module, loader: DataLoader) -> None:
    """Raise if a batch norm behind a global pooling would see one value per channel.

    Such a norm, as in the pooling of UPerNet, PSPNet and DeepLab, takes its statistics of the
    images of a batch alone, and PyTorch refuses a batch of one.

    Args:
        model: The model, its modules in the mode that they are trained in or not yet set.
        loader: The training's data loader.

    Raises:
        ConfigError: Naming the norm, and what to set.
    """
    names = list(_pooled_norms(model))
    batch_size = getattr(loader.batch_sampler, 'batch_size', None) or loader.batch_size
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
    sampler = loader.sampler
    number = len(sampler) if hasattr(sampler, '__len__') else 0
    is_endless = type(sampler).__name__.startswith('Infinite')
    if not is_endless and not loader.drop_last and number % batch_size == 1:
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
