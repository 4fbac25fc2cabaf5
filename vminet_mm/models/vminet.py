"""The VMINet backbone (Table 1 of the paper)."""

import inspect
from collections.abc import Sequence
from functools import partial
from itertools import accumulate
from operator import mul

import torch
from mmcv.cnn import build_norm_layer
from mmengine.dist import is_distributed
from mmengine.registry import MODELS
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from ..checkpoints.formats import KERNEL_SIZE, STRIDE_DEFAULTS
from ..errors import ConfigError
from ..ops import stage_masks
from .backbone import StrictBackbone, eval_batch_norms
from .block import ConvBN, VMISABlock, fold_norm
from .options import (
    ATTN_DEFAULTS,
    check_arguments,
    check_choice,
    check_count,
    check_fraction,
    check_init_cfg,
    check_kernel,
    check_norm,
    parse_arch,
    parse_attn,
    parse_out_indices,
    parse_size,
    parse_strides,
)
from .padding import cells, image_sizes, maps_by_size, zero_padding


@MODELS.register_module()
class VMINet(StrictBackbone):
    """VMINet, a hierarchical backbone with output strides 4, 8, 16 and 32, or others.

    From "A Separable Self-attention Inspired by the State Space Model for Computer Vision"
    (arXiv 2501.02040). Each returned map has a norm of its own; the last one is the classifier's.

    Args:
        arch (str | dict): A name of :attr:`arch_settings`, or a dict with ``base_channels``,
            ``expansion`` and ``depths`` (four numbers). Defaults to ``'xs'``.
        img_size (int | tuple[int, int]): Size in pixels, one number or (height, width), whose token
            grids alpha and the masks live on. Any other size can be fed. Defaults to 224.
        in_channels (int): Channels of the input image. Defaults to 3.
        out_indices (int | Sequence[int]): Stages whose outputs are returned, from 0; negative ones
            count from the end. Defaults to ``(3,)``.
        attn_cfg (dict | None): Options of the attention. Defaults to None, the defaults of all:

            - ``attention`` (str): ``'vmi_sa'``, or ``'none'`` for the ablation of Fig. 4. Defaults
              to ``'vmi_sa'``.
            - ``form`` (str): ``'matrix'`` (eq. 10), or ``'recurrent'`` (eq. 9; VMINet-XS-R of
              Table 3). Defaults to ``'matrix'``.
            - ``mask`` (str): ``'tril'``, ``'band'``, ``'block'``, ``'none'`` or ``'hybrid'``
              (Table 4). Defaults to ``'tril'``.
            - ``band_halfwidth`` (float): Half the width of the ``'band'`` mask as a fraction of
              min(L, D). Defaults to 0.5.
            - ``context_resize`` (str): ``'pool'`` or ``'interpolate'``, for other sizes than
              ``img_size``; see :func:`vminet_mm.ops.context`. Defaults to ``'pool'``.
            - ``recurrent_mask`` (str): Where the mask of the recurrent form acts, ``'readout'`` or
              ``'inside'`` the sum. Defaults to ``'readout'``.
            - ``impl`` (str): ``'auto'``, ``'torch'``, ``'triton'`` or ``'reference'``, with the
              same parameters; see :func:`vminet_mm.ops.choose_op`. Defaults to ``'auto'``.
            - ``proj_bn`` (bool): Blocks of the authors' first release, which end with a norm.
              Defaults to False.
            - ``mask_padding`` (bool): Compute each image of a batch as if it were alone, whatever
              the others pad it to, and return zeros in its padding. The sizes come with the batch,
              see :mod:`vminet_mm.models.padding`. Defaults to False.

        channels_last (bool | str): Compute in that memory format. ``'auto'`` does so on the CPU,
            where it is faster, and uncompiled in half precision on CUDA, where it takes fewer
            passes over memory, and hands out the format of the input; with True the outputs have
            it, too, and with False the format is the input's throughout. Defaults to ``'auto'``.
        drop_path_rate (float): Stochastic depth of the last block; it grows linearly from 0 at the
            first. Defaults to 0.0.
        norm_cfg (dict): Config of the norms; ``dict(type='GN', num_groups=8)`` learns better from
            random weights in batches of a few images. Defaults to ``dict(type='BN')``.
        norm_eval (bool | str): Keep batch norms in evaluation mode while training, but for the
            norms of the outputs 0 to 2, which no classifier has. ``'auto'`` does so where the
            backbone starts from a checkpoint (``init_cfg`` of type ``'Pretrained'``). Defaults to
            False.
        frozen_stages (int): -1 freezes nothing, 0 the stem, i the stem and the first i stages.
            Defaults to -1.
        with_cp (bool): Recompute blocks in the backward pass to save memory. Defaults to False.
        init_cfg (dict | list[dict] | None): ``dict(type='Pretrained', checkpoint=...)`` takes a
            published, mmpretrain or bare checkpoint, strictly; ``prefix`` and ``ema`` are as in
            :func:`vminet_mm.checkpoints.load_backbone`. Defaults to None.
        kernel_size (int): Edge of the blocks' depth-wise kernels, an odd number of cells; 3 learns
            better on maps as small as those of 32 x 32 images. Defaults to 7.
        stem_stride (int): Stride of the stem, 1 to 3. Defaults to 2.
        strides (Sequence[int]): Strides of the down-sampling before each stage, 1 to 3. With
            ``stem_stride=1`` and ``(1, 2, 2, 2)`` the maps of a 32 x 32 image have edges of 32, 16,
            8 and 4. Defaults to ``(2, 2, 2, 2)``.
        **short_forms: The options of ``attn_cfg`` as arguments of their own: ``mask='band'`` stands
            for ``attn_cfg=dict(mask='band')``. The two strides above are also taken from here.

    Raises:
        TypeError: For an unknown argument; the message lists all.
        ValueError: For an unknown name or an option out of range.
    """

    arch_settings = {
        'ti': dict(base_channels=24, expansion=2, depths=(2, 2, 18, 2)),
        'xs': dict(base_channels=48, expansion=2, depths=(2, 2, 18, 2)),
        's': dict(base_channels=48, expansion=4, depths=(2, 2, 18, 2)),
        'b': dict(base_channels=96, expansion=2, depths=(2, 2, 18, 2)),
    }
    stem_channels = 32

    def __init__(
        self,
        arch: str | dict = 'xs',
        img_size: int | tuple[int, int] = 224,
        in_channels: int = 3,
        out_indices: int | Sequence[int] = (3,),
        attn_cfg: dict | None = None,
        channels_last: bool | str = 'auto',
        drop_path_rate: float = 0.0,
        norm_cfg: dict = dict(type='BN'),
        norm_eval: bool | str = False,
        frozen_stages: int = -1,
        with_cp: bool = False,
        init_cfg: dict | list[dict] | None = None,
        kernel_size: int = KERNEL_SIZE,
        **short_forms: object,
    ) -> None:
        super().__init__(init_cfg)
        check_init_cfg(init_cfg)
        self.arch = parse_arch(arch, self.arch_settings)
        depths = self.arch['depths']
        self.out_indices = parse_out_indices(out_indices, len(depths))
        if frozen_stages not in range(-1, len(depths) + 1):
            raise ValueError(f'frozen_stages must be in -1..{len(depths)}, not {frozen_stages}')
        check_choice('norm_eval', norm_eval, (True, False, 'auto'))
        check_choice('channels_last', channels_last, (True, False, 'auto'))
        check_count('in_channels', in_channels)
        check_kernel(kernel_size)
        check_fraction('drop_path_rate', drop_path_rate, below=1)
        check_norm(norm_cfg)
        self.channels_last = channels_last
        check_arguments(short_forms, self.argument_names())
        given = {name: short_forms.pop(name) for name in STRIDE_DEFAULTS if name in short_forms}
        self.strides = parse_strides(given)
        self.out_strides = list(accumulate(self.strides, mul))[1:]
        self.attn_cfg = parse_attn(attn_cfg, short_forms)
        self.mask_padding = self.attn_cfg['mask_padding']
        self.frozen_stages = frozen_stages
        self.norm_eval = bool(self._init_cfgs()[0]) if norm_eval == 'auto' else norm_eval

        block_options = dict(
            expansion=self.arch['expansion'],
            norm_cfg=norm_cfg,
            with_cp=with_cp,
            kernel_size=kernel_size,
        )
        self.stem = nn.Sequential(
            ConvBN(in_channels, self.stem_channels, 3, norm_cfg, stride=self.strides[0]), nn.ReLU6()
        )
        self._build_stages(parse_size('img_size', img_size), drop_path_rate, block_options)
        for i in self.out_indices:
            norm = build_norm_layer(norm_cfg, self.out_channels[i])[1]
            self.add_module(self._norm_name(i), norm)
        self._freeze_stages()
        if is_distributed():
            keep_gradient_strides(self)

    @classmethod
    def argument_names(cls) -> list[str]:
        """All arguments of the constructor, the short forms of ``attn_cfg`` included."""
        plain = [name for name in inspect.signature(cls).parameters if name != 'short_forms']
        return [*plain, *STRIDE_DEFAULTS, *ATTN_DEFAULTS]

    def _build_stages(
        self, img_size: tuple[int, int], drop_path_rate: float, block_options: dict
    ) -> None:
        """The four stages, whose grids are those of an image of ``img_size`` pixels."""
        channels, depths = self.stem_channels, self.arch['depths']
        drop_paths = iter(torch.linspace(0, drop_path_rate, sum(depths)).tolist())
        self.stages = nn.ModuleList()
        self.out_channels = []
        for i, depth in enumerate(depths):
            width = self.arch['base_channels'] * 2**i
            downsample = ConvBN(
                channels, width, 3, block_options['norm_cfg'], stride=self.strides[i + 1]
            )
            blocks = [
                VMISABlock(
                    width,
                    cells(img_size, self.out_strides[i]),
                    attn_cfg=dict(self.attn_cfg, mask=mask),
                    drop_path=next(drop_paths),
                    **block_options,
                )
                for mask in stage_masks(self.attn_cfg['mask'], i, depth)
            ]
            self.stages.append(nn.Sequential(downsample, *blocks))
            self.out_channels.append(width)
            channels = width

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        """Map images (B, 3, H, W) to one map (B, C_i, ceil(H / s_i), ceil(W / s_i)) per output.

        Raises:
            ConfigError: With ``mask_padding``, if the images do not carry their sizes, or if batch
                norms take statistics.
        """
        is_last = x.is_contiguous(memory_format=torch.channels_last)
        restore_format = self.channels_last == 'auto' and not is_last
        sizes = image_sizes(x) if self.mask_padding else ()
        outputs = self._without_padding(x, sizes) if sizes else self._maps(x)
        return tuple(y.contiguous() if restore_format else y for y in outputs)

    def _maps(self, x: Tensor, with_norms: bool = True) -> list[Tensor]:
        """The outputs, or what their norms are given."""
        is_last = auto_is_last(x) if self.channels_last == 'auto' else self.channels_last
        if is_last:
            x = x.contiguous(memory_format=torch.channels_last)
        x = self.stem(x)
        outputs = []
        for i, stage in enumerate(self.stages):
            x = stage(x)
            if i in self.out_indices:
                outputs.append(getattr(self, self._norm_name(i))(x) if with_norms else x)
        return outputs

    def _without_padding(self, x: Tensor, sizes: Sequence[tuple[int, int]]) -> list[Tensor]:
        """The outputs of each image as if it were alone, with zeros beyond it."""
        if _takes_statistics(self.stem, self.stages):
            raise ConfigError(
                'mask_padding=True computes images of different sizes one after the other, so its '
                'batch norms must not take statistics: train with norm_eval=True, or with '
                'mask_padding=False'
            )
        strides = [self.out_strides[i] for i in self.out_indices]
        norms = [getattr(self, self._norm_name(i)) for i in self.out_indices]
        if not _takes_statistics(*norms):
            return maps_by_size(self._maps, x, sizes, strides)
        # those of the outputs have no pre-trained statistics: taken once, of all images
        maps = maps_by_size(partial(self._maps, with_norms=False), x, sizes, strides)
        return [
            zero_padding(norm(y), sizes, stride)
            for norm, y, stride in zip(norms, maps, strides, strict=True)
        ]

    def train(self, mode: bool = True) -> 'VMINet':
        """Set the mode; frozen stages, and norms under ``norm_eval``, stay in evaluation."""
        super().train(mode)
        self._freeze_stages()
        if self.norm_eval:
            eval_batch_norms(self.stem, self.stages, *self._pretrained_norm())
        return self

    def block_of(self, name: str) -> int | None:
        """The block of a parameter, from 1, each with the down-sampling before it; 0 for the stem.

        None for the norms of the outputs.
        """
        part, *rest = name.split('.')
        if part not in ('stem', 'stages'):
            return None
        if part == 'stem':
            return 0
        stage, index, depths = int(rest[0]), int(rest[1]), self.arch['depths']
        return min(sum(depths[:stage]) + max(index, 1), sum(depths))

    def switch_to_deploy(self) -> None:
        """Fold batch norms, s0, and W1 with W2, in place and for inference only.

        The outputs change by rounding alone; the state dict becomes another one, so load
        checkpoints before. The norms of the outputs stay: what follows them is not known here.
        """
        self.stem[0] = fold_norm(self.stem[0])
        for stage in self.stages:
            stage[0] = fold_norm(stage[0])
            for block in stage[1:]:
                block.switch_to_deploy()
        self.eval().requires_grad_(False)

    def _pretrained_norm(self) -> list[nn.Module]:
        """The classifier's norm. No checkpoint has statistics for those of the other outputs."""
        return [self.norm] if hasattr(self, 'norm') else []

    def _freeze_stages(self) -> None:
        frozen = [self.stem, *self.stages][: self.frozen_stages + 1]
        for module in frozen:
            module.eval()
            module.requires_grad_(False)

    def _norm_name(self, stage: int) -> str:
        return 'norm' if stage == len(self.stages) - 1 else f'norm{stage}'


def auto_is_last(x: Tensor) -> bool:
    """Whether ``channels_last='auto'`` computes images in channels_last."""
    if x.device.type != 'cuda':
        return x.device.type == 'cpu'
    is_half = x.dtype in (torch.float16, torch.bfloat16) or torch.is_autocast_enabled('cuda')
    return is_half and not torch.compiler.is_compiling()  # Inductor fuses sum and mixture in NCHW


def _takes_statistics(*modules: nn.Module) -> bool:
    """Whether there is a batch norm in training mode."""
    return any(isinstance(m, _BatchNorm) and m.training for x in modules for m in x.modules())


def keep_gradient_strides(model: nn.Module) -> None:
    """Give gradients of convolutions the strides of their weights.

    In channels_last a convolution gives dimensions of one element, of which the strides do not
    matter, others. DistributedDataParallel compares them all the same: it would warn, and copy.
    """
    for module in model.modules():
        if isinstance(module, nn.Conv2d) and 1 in module.weight.shape:
            module.weight.register_hook(partial(_as_strided, module.weight.stride()))


def _as_strided(strides: tuple[int, ...], gradient: Tensor) -> Tensor:
    """Give a gradient strides that differ in dimensions of one element alone."""
    matters = [size > 1 for size in gradient.shape]
    given = gradient.stride()
    is_same = all(a == b for a, b, m in zip(given, strides, matters, strict=True) if m)
    return gradient.as_strided(gradient.shape, strides) if is_same else gradient
