"""Stand-in for mmcv's compiled extension: operators on torchvision and plain torch.

`OFFERED` is everything the module `mmcv._ext` offers. Each function takes what mmcv passes to the
C++ function of that name, numbers by keyword; most write into tensors that the caller allocated.
"""

from collections.abc import Callable
from typing import Any, NoReturn

import torchvision

from . import (
    carafe,
    deform_conv,
    focal_loss,
    masked_conv,
    ms_deform_attn,
    nms,
    psa_mask,
    roi,
)


def get_compiler_version() -> str:
    """What stands in place of a compiler, for `mmcv.utils.collect_env`."""
    return f'none (vminet_mm on torchvision {torchvision.__version__})'


def get_compiling_cuda_version() -> str:
    """The words of an mmcv that was built without CUDA."""
    return 'not available'


_FUNCTIONS: tuple[Callable[..., Any], ...] = (
    nms.nms,
    nms.softnms,
    nms.nms_match,
    roi.roi_align_forward,
    roi.roi_align_backward,
    roi.roi_pool_forward,
    roi.roi_pool_backward,
    focal_loss.sigmoid_focal_loss_forward,
    focal_loss.sigmoid_focal_loss_backward,
    focal_loss.softmax_focal_loss_forward,
    focal_loss.softmax_focal_loss_backward,
    deform_conv.deform_conv_forward,
    deform_conv.deform_conv_backward_input,
    deform_conv.deform_conv_backward_parameters,
    deform_conv.modulated_deform_conv_forward,
    deform_conv.modulated_deform_conv_backward,
    ms_deform_attn.ms_deform_attn_forward,
    ms_deform_attn.ms_deform_attn_backward,
    masked_conv.masked_im2col_forward,
    masked_conv.masked_col2im_forward,
    carafe.carafe_forward,
    carafe.carafe_backward,
    carafe.carafe_naive_forward,
    carafe.carafe_naive_backward,
    psa_mask.psamask_forward,
    psa_mask.psamask_backward,
    get_compiler_version,
    get_compiling_cuda_version,
)

OFFERED: dict[str, Callable[..., Any]] = {func.__name__: func for func in _FUNCTIONS}


def missing(name: str) -> Callable[..., NoReturn]:
    """A function for every operator not in `OFFERED`: mmcv looks all up, few are ever called."""
    if name.startswith('_'):  # inspection by Python and tools, not an operator
        raise AttributeError(f"module 'mmcv._ext' has no attribute {name!r}")

    def unavailable(*args: Any, **kwargs: Any) -> NoReturn:
        """Raise when it is called."""
        raise NotImplementedError(
            f'{name} needs the compiled extension of mmcv, which is not in use here. vminet_mm '
            f'stands in for it on torchvision and offers {", ".join(OFFERED)}. For {name} replace '
            'mmcv-lite by a compiled mmcv, on a torch that it supports: pip uninstall mmcv-lite && '
            'pip install -U openmim && mim install mmcv, or build mmcv from source.'
        )

    unavailable.__name__ = unavailable.__qualname__ = name
    return unavailable
