"""Writing any VMINet classifier checkpoint as one of mmpretrain."""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from ..checkpoints import Checkpoint, check_fit, read_checkpoint
from ..checkpoints.formats import matching_config
from ..errors import CheckpointError, CheckpointMismatchError
from ..models import VMINet

_IMG_SIZE, _NUM_CLASSES = (224, 224), 1000  # of the configs in configs/cls


@dataclass
class Conversion:
    """What was converted.

    Attributes:
        checkpoint: What was read.
        dst: The file written.
        options: Options of the backbone, ``img_size`` included; without ``mask`` if not known.
        num_tensors: Number of tensors written.
        num_classes: Outputs of the class head.
        config: The config of configs/cls that takes the file, or None.
        left_out: Names of the tensors that the classifier does not have.
    """

    checkpoint: Checkpoint
    dst: Path
    options: dict[str, Any]
    num_tensors: int
    num_classes: int
    config: str | None
    left_out: list[str]

    def __str__(self) -> str:
        source, key = self.checkpoint, self.checkpoint.state_key
        options = ', '.join(f'{k}={v!r}' for k, v in self.options.items())
        lines = [
            f'{source.source}{f" [{key}]" if key else ""}: VMINet, {source.release} release',
            f'{self.dst}: {self.num_tensors} tensors, {options}, {self.num_classes} classes',
            f'config: {self.config or "none of configs/cls has these options"}',
        ]
        if self.options['attention'] == 'vmi_sa' and 'mask' not in self.options:
            lines.append("mask: not named in the source; the paper's is 'tril'")
        if self.left_out:
            modules = dict.fromkeys(name.rpartition('.')[0] for name in self.left_out)
            lines.append(f'left out: {", ".join(modules)}')
        return '\n'.join(lines)


def convert(
    src: str | os.PathLike, dst: str | os.PathLike, ema: bool = False, force: bool = False
) -> Conversion:
    """Write a checkpoint of any kind as an mmpretrain classifier's; folders are made.

    For ``src`` and ``ema`` see :func:`vminet_mm.checkpoints.read_checkpoint`.

    Raises:
        CheckpointError: If the source cannot be read, is not a complete classifier, or ``dst``
            exists or cannot be written.
    """
    dst = free_path(dst, force)
    try:
        checkpoint = read_checkpoint(src, ema)
        backbone, options = _build(checkpoint)
        state = {f'backbone.{name}': value for name, value in backbone.state_dict().items()}
        state.update(_head(checkpoint, backbone.out_channels[-1]))
        meta = dict(options, release=checkpoint.release, source=Path(src).name, ema=ema)
        write_whole(dict(meta=dict(vminet=meta), state_dict=state), dst)
    except OSError as error:
        raise CheckpointError(str(error)) from error
    num_classes = len(state['head.fc.weight'])
    fits = options.get('img_size', _IMG_SIZE) == _IMG_SIZE and num_classes == _NUM_CLASSES
    config = matching_config(options) if fits else None
    left_out = [name for name in checkpoint.backbone if f'backbone.{name}' not in state]
    left_out += checkpoint.others
    return Conversion(checkpoint, dst, options, len(state), num_classes, config, left_out)


def _build(checkpoint: Checkpoint) -> tuple[VMINet, dict[str, Any]]:
    """A backbone with the weights of the checkpoint on their native grid, and its options."""
    options = checkpoint.options(VMINet.arch_settings)
    if checkpoint.img_size is not None:
        options['img_size'] = checkpoint.img_size
    try:
        backbone = VMINet(**options)
    except ValueError as error:  # such as a mask that its meta made up
        raise CheckpointMismatchError(
            f'{checkpoint.source} does not fit a VMINet: {error}'
        ) from error
    resized, _ = check_fit(backbone, checkpoint)
    if resized:
        raise CheckpointMismatchError(
            f'{checkpoint.source}: the token grids are not those of one image size: '
            + ', '.join(f'{name} {tuple(checkpoint.backbone[name].shape)}' for name in resized[:4])
        )
    backbone.load_state_dict(checkpoint.backbone, strict=False)
    return backbone, options


def _head(checkpoint: Checkpoint, channels: int) -> dict[str, torch.Tensor]:
    """The class head with mmpretrain's names."""
    weight, bias = checkpoint.head.get('weight'), checkpoint.head.get('bias')
    if weight is None or bias is None:
        raise CheckpointMismatchError(
            f'{checkpoint.source} has no class head; load it with '
            "backbone=dict(init_cfg=dict(type='Pretrained', checkpoint=...)), unconverted"
        )
    if weight.shape != (*bias.shape, channels) or bias.ndim != 1:
        raise CheckpointMismatchError(
            f'{checkpoint.source}: the class head is {tuple(weight.shape)} with bias '
            f'{tuple(bias.shape)}, and the backbone has {channels} channels'
        )
    return {'head.fc.weight': weight.float().clone(), 'head.fc.bias': bias.float().clone()}


def free_path(dst: str | os.PathLike, force: bool) -> Path:
    """Where to write a file.

    Raises:
        CheckpointError: If it exists and is not to be overwritten, or is a folder.
    """
    dst = Path(dst).expanduser()
    if dst.is_dir() or (dst.exists() and not force):
        fix = 'give the name of a file' if dst.is_dir() else 'overwrite it with --force'
        raise CheckpointError(f'{dst} exists; {fix}')
    return dst


def write_whole(content: dict, dst: Path) -> None:
    """Write all or nothing: whoever reads the file never finds a part of it."""
    dst.parent.mkdir(parents=True, exist_ok=True)
    part = dst.with_name(f'.{dst.name}.{os.getpid()}.part')
    try:
        torch.save(content, part)
        part.replace(dst)
    finally:
        part.unlink(missing_ok=True)
