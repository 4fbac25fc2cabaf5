"""Writing a classifier of another paper, as its authors released it, as one of mmpretrain."""

import os
import re
from pathlib import Path

from mmengine.config import Config

from ..checkpoints import fit_head, fit_peer
from ..checkpoints.peers import FORMATS
from ..checkpoints.states import module_names
from ..errors import CheckpointError, CheckpointMismatchError, ConfigError
from .conversion import free_path, write_whole
from .weights import build_model


def convert_peer(
    cfg: Config,
    src: str | os.PathLike,
    dst: str | os.PathLike,
    ema: bool = False,
    force: bool = False,
) -> str:
    """Write backbone and class head of a release as a checkpoint of a config's classifier.

    For ``src`` and ``ema`` see :func:`vminet_mm.checkpoints.fit_peer`. Returns what was taken, and
    what of the file was not.

    Raises:
        CheckpointError: If the source cannot be read, has a tensor too few or too many, or ``dst``
            exists or cannot be written.
        ConfigError: If the config is no classifier with such a backbone.
    """
    dst = free_path(dst, force)
    backbone = cfg.get('model', {}).get('backbone') or {}
    kind = str(backbone.get('type')).rpartition('.')[2]
    if kind not in FORMATS or 'head' not in cfg.model:
        raise ConfigError(
            'the config must be a classifier whose backbone is one of ' + ', '.join(FORMATS)
        )
    model = build_model(cfg.model, cfg.get('default_scope'))
    try:
        checkpoint = fit_peer(model.backbone, src, ema=ema)
        fit_head(model.head, checkpoint)
        left = [name for name in checkpoint.left if 'num_batches_tracked' not in name]
        if left:
            raise CheckpointMismatchError(f'{src} is not a whole classifier: {left[0]} is missing')
        model.backbone.load_state_dict(checkpoint.backbone, strict=False)
        model.head.load_state_dict(checkpoint.head)
        meta = dict(source=Path(src).name, ema=ema)
        write_whole(dict(meta=meta, state_dict=model.state_dict()), dst)
    except OSError as error:
        raise CheckpointError(str(error)) from error
    head = FORMATS[kind].head
    unused = [name for name in checkpoint.unused if not re.fullmatch(head, name)]
    entry = f' [{checkpoint.state_key}]' if checkpoint.state_key else ''
    return (
        f'{src}{entry}: {kind}, {len(model.backbone.state_dict())} tensors, '
        f'{len(checkpoint.resized)} of them resized, and {len(checkpoint.head)} of the class head; '
        f'{len(unused)} of the file not used{module_names(unused)}\n{dst}: written'
    )
