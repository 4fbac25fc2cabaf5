"""What VMINet and the backbones of other papers share: strict loading, layers, fixed norms."""

from typing import Any

from mmengine.model import BaseModule, PretrainedInit, initialize
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from ..checkpoints import load_backbone


class StrictBackbone(BaseModule):
    """A backbone that loads the ``Pretrained`` checkpoints of its ``init_cfg`` strictly.

    MMEngine's own ``Pretrained`` skips tensors that do not fit and only warns. Subclasses set
    ``arch``, the settings of their architecture.
    """

    arch: dict

    def init_weights(self) -> None:
        """Initialize; a ``Pretrained`` checkpoint is loaded strictly, last, and once."""
        pretrained, others = self._init_cfgs()
        if not pretrained:
            super().init_weights()
        elif not self.is_init:
            initialize(self, others)
            for cfg in pretrained:
                self.load_pretrained(**{k: v for k, v in cfg.items() if k != 'type'})
            self.is_init = True

    def load_pretrained(self, checkpoint: str, **options: Any) -> None:
        """Load a checkpoint, a file or an address, strictly.

        ``prefix`` and ``ema`` are options, see :func:`vminet_mm.checkpoints.load_backbone`.
        """
        load_backbone(self, checkpoint, **options)

    def get_layer_depth(self, param_name: str, prefix: str = '') -> tuple[int, int]:
        """Layer of a parameter, for layer-wise learning rate decay.

        Layer 0 embeds the image, the blocks follow, and the last layer holds the norms of the
        outputs and everything behind the backbone; see :meth:`block_of` for the down-sampling.

        Args:
            param_name (str): The name of the parameter.
            prefix (str): The name of the backbone in the model, such as ``'backbone.'``. Defaults
                to ``''``.

        Returns:
            tuple[int, int]: The layer, from 0, and the number of layers.
        """
        last = sum(self.arch.get('depths', [self.arch.get('num_layers')])) + 1
        is_own = param_name.startswith(prefix)
        depth = self.block_of(param_name.removeprefix(prefix)) if is_own else None
        return last if depth is None else depth, last + 1

    def block_of(self, name: str) -> int | None:
        """The block of a parameter, from 1; 0 for the image's embedding, None behind the blocks."""
        raise NotImplementedError

    def _init_cfgs(self) -> tuple[list[dict], list[dict]]:
        """The entries of ``init_cfg`` that name a checkpoint, and the others."""
        cfgs = [self.init_cfg] if isinstance(self.init_cfg, dict) else self.init_cfg or []
        pretrained = [cfg for cfg in cfgs if cfg.get('type') in ('Pretrained', PretrainedInit)]
        return pretrained, [cfg for cfg in cfgs if cfg not in pretrained]


def eval_batch_norms(*modules: nn.Module) -> None:
    """Put the batch norms of modules into evaluation mode, so that they keep their statistics."""
    for module in modules:
        for norm in module.modules():
            if isinstance(norm, _BatchNorm):
                norm.eval()
