"""The two steps around the matrix product of a masked convolution (one image, stride 1).

mmcv offers no gradient for it.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

from .common import op


@op
def masked_im2col_forward(
    im: Tensor,
    mask_h_idx: Tensor,
    mask_w_idx: Tensor,
    col: Tensor,
    kernel_h: int,
    kernel_w: int,
    pad_h: int,
    pad_w: int,
) -> None:
    """Gather the windows of N positions of im (1, C, H, W) to col (C * kernel_h * kernel_w, N).

    mask_h_idx and mask_w_idx (N,) are rows and columns. pad_h and pad_w are zeros above and to the
    left; below and to the right there are as many as any window needs.
    """
    # A position is one of the input, so with little padding its window may leave even that.
    below, right = max(pad_h, kernel_h - 1 - pad_h), max(pad_w, kernel_w - 1 - pad_w)
    padded = F.pad(im[0], (pad_w, right, pad_h, below))
    rows = mask_h_idx + torch.arange(kernel_h, device=im.device)[:, None]
    cols = mask_w_idx + torch.arange(kernel_w, device=im.device)[:, None]
    col.copy_(padded[:, rows[:, None], cols[None, :]].reshape(col.shape))


@op
def masked_col2im_forward(
    col: Tensor,
    mask_h_idx: Tensor,
    mask_w_idx: Tensor,
    im: Tensor,
    height: int,
    width: int,
    channels: int,
) -> None:
    """Write col (channels, N) to the chosen positions of im (1, channels, height, width)."""
    inside = (mask_h_idx < height) & (mask_w_idx < width)
    im[0, :, mask_h_idx[inside], mask_w_idx[inside]] = col[:, inside].to(im)
