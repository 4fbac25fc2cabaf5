"""Backbones whose pretrained weights are loaded strictly."""

from typing import Any

from mmengine.model import BaseModule, PretrainedInit, initialize

from ..checkpoints import load_backbone


class StrictlyPretrained(BaseModule):
    """A backbone that loads the ``Pretrained`` checkpoints of its ``init_cfg`` strictly.

    MMEngine's own ``Pretrained`` leaves out whatever does not fit, in a warning.
    """

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

    def _init_cfgs(self) -> tuple[list[dict], list[dict]]:
        """The entries of ``init_cfg`` that name a checkpoint, and the others."""
        cfgs = [self.init_cfg] if isinstance(self.init_cfg, dict) else self.init_cfg or []
        pretrained = [cfg for cfg in cfgs if cfg.get('type') in ('Pretrained', PretrainedInit)]
        return pretrained, [cfg for cfg in cfgs if cfg not in pretrained]
