"""Parameters and multiply-accumulates (MACs) of the model of a config.

MMEngine traces and counts; this module feeds it the models of mmdet, mmseg and mmpretrain and
settles what their own tools leave open:

- VMI-SA is counted by its definition, however it is computed: the product ReLU6(Q) * K one per
  element, the context sum one per element of the native grid, and where a map has another size
  its averaging one per element. In the recurrent form the three products ReLU6(Q) * K,
  alpha * E and beta * E are one per element each.
- A selective scan is counted by its definition, too: for each token and channel four products a
  state (delta * A, decay * h, delta * u * B and C * h) and two more (delta * u and D * u).
  :attr:`Complexity.authors_macs` is the sum by the rule of those who print it, see
  :mod:`.scan_counts`.
- Counted are, as MMEngine does it, convolutions, linear layers, matrix products, layer and group
  norms, bilinear resizing and adaptive pooling; einsum and the two products of torch's fused
  attention; and the products of two maps, one per element.
- Batch norms are not counted, since they fold into the convolutions at inference. Nor are
  activations, sums, RoIAlign and NMS; :attr:`Complexity.uncounted` names what the model has.
- Of a two-stage detector the forward pass of mmdet's ``mode='tensor'`` is counted: all proposals
  go through the box head, and the first 100 of them through the mask head. How many proposals
  survive the NMS depends on weights and image, therefore none is suppressed here and their number
  is the config's ``test_cfg.rpn.max_per_img`` (1000 in COCO configs). Papers count so, too: Mask
  R-CNN with a ResNet-50 and FPN has 259.3 G at 800 x 1280 (with batch norms 259.8 G), and papers
  print 260 G. A cascade sends all proposals through its mask heads; :attr:`Complexity.rois` tells.
- Parameters are those of the model as it is trained, with the auxiliary head of a segmentor, which
  takes no part at inference and so has no MACs.
"""

import json
import math
import re
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass

import torch
from mmengine.analysis import FlopAnalyzer, parameter_count
from mmengine.analysis.jit_handles import einsum_flop_jit
from mmengine.config import Config
from mmengine.logging import MMLogger
from mmengine.registry import MODELS, DefaultScope
from torch import Tensor, nn

from ..models import VMISA, VMINet
from ..models.channels import input_channels
from ..ops import choose_op
from ..tasks import DETECTION, model_config, task_of
from .scan_counts import COUNTED_SCAN, ScanCounter, count_scans
from .tables import text_table


@dataclass(frozen=True)
class Part:
    """A part of a model: its parameters and MACs."""

    params: int
    macs: int


@dataclass(frozen=True)
class Complexity:
    """What a model costs.

    Attributes:
        params: Number of parameters.
        macs: Multiply-accumulates of one image.
        shape: Height and width of that image.
        parts: The direct children of the model that have parameters or MACs. ``other`` holds what
            MMEngine can assign to none of them: mmseg calls the forward method of its head
            directly, so that the head's resizing is found there.
        rois: Regions which go through each head of a two-stage detector, else empty.
        uncounted: Operations that took no part in the count, and how often each occurs.
        authors_macs: Of a backbone of another paper, the MACs as papers count them; None where
            they count as here.
    """

    params: int
    macs: int
    shape: tuple[int, int]
    parts: dict[str, Part]
    rois: dict[str, int]
    uncounted: dict[str, int]
    authors_macs: int | None = None


def _count_map_product(inputs: list, outputs: list) -> int:
    """MMEngine's handle for ``aten::mul``: one per element for two maps (B, C, H, W), else none.

    The second may be one map for all images, as the weights of the context are. A product with a
    scalar or a single vector is left out; it folds into a neighboring layer.
    """
    shapes = [value.type().sizes() if value.isCompleteTensor() else None for value in inputs]
    is_map_product = len(shapes[0] or ()) == 4 and shapes[1] in (shapes[0], shapes[0][1:])
    return math.prod(outputs[0].type().sizes()) if is_map_product else 0


def _count_einsum(inputs: list, outputs: list) -> int:
    """Handle for ``aten::einsum``: of two operands one per combination of their indices.

    MMEngine's own reads a text that numpy has rounded to four digits.
    """
    operands = inputs[0].toIValue().replace(' ', '').partition('->')[0].split(',')
    if len(operands) != 2 or any('.' in names for names in operands):
        return int(einsum_flop_jit(inputs, outputs))
    sizes: dict[str, int] = {}
    for names, value in zip(operands, inputs[1].node().inputs(), strict=True):
        for name, size in zip(names, value.type().sizes(), strict=True):
            sizes[name] = max(size, sizes.get(name, 1))
    return math.prod(sizes.values())


def _count_fused_attention(inputs: list, outputs: list) -> int:
    """Handle for ``aten::scaled_dot_product_attention``: the products Q K' and A V."""
    (*batch, queries, width), keys = inputs[0].type().sizes(), inputs[1].type().sizes()[-2]
    return math.prod(batch) * queries * keys * (width + inputs[2].type().sizes()[-1])


# the recurrent form as one operation, for the count alone: its definition is a loop over tokens
@torch.library.custom_op('vminet_mm::counted_recurrence', mutates_args=())
def _counted_recurrence(query: Tensor) -> Tensor:
    """The recurrence in a trace, as one operation."""
    return query.clone()


def _count_recurrence(inputs: list, outputs: list) -> int:
    """The products of the recurrence: three for each element."""
    return 3 * math.prod(outputs[0].type().sizes())


# MMEngine's handles for operations that it does not know, or knows otherwise; None: moves data only
HANDLES = {
    'aten::batch_norm': lambda inputs, outputs: 0,
    'aten::einsum': _count_einsum,
    'aten::mul': _count_map_product,
    'aten::repeat': None,
    'aten::scaled_dot_product_attention': _count_fused_attention,
    'aten::unflatten': None,
    'vminet_mm::counted_recurrence': _count_recurrence,
}


def count_complexity(cfg: Config, shape: tuple[int, int] | None = None) -> Complexity:
    """Count parameters and MACs of a config's model on the CPU, at random weights.

    Args:
        cfg: A config of mmdet, mmseg or mmpretrain, left unchanged.
        shape: Height and width of the image, by default that of the task's papers.

    Returns:
        Complexity: The counts, see the head of this module for what they contain.
    """
    task = task_of(cfg)
    scope, shape = task.scope, tuple(shape or task.image_size)
    with DefaultScope.overwrite_default_scope(scope), quiet(), torch.no_grad():
        model = MODELS.build(_without_suppression(model_config(cfg))).eval()
        _define_attention(model)
        _without_padding(model)
        rois = _watch_rois(model)
        image = torch.zeros(1, input_channels(model), *shape)
        analyzer = FlopAnalyzer(_TensorMode(model, scope), (image,))
        scans = ScanCounter()
        analyzer.set_op_handle(**HANDLES, **{COUNTED_SCAN: scans})
        analyzer.unsupported_ops_warnings(False).uncalled_modules_warnings(False)
        macs = analyzer.by_module()
        uncounted = analyzer.unsupported_ops()
    params = parameter_count(model)
    parts = {
        name: Part(params[name], int(macs[f'model.{name}'])) for name, _ in model.named_children()
    }
    parts['other'] = Part(0, int(macs['']) - sum(part.macs for part in parts.values()))
    return Complexity(
        params=params[''],
        macs=int(macs['']),
        shape=shape,
        parts={name: part for name, part in parts.items() if part.params or part.macs},
        rois=rois,
        uncounted={re.split(r'[:.]', op)[-1]: times for op, times in uncounted.most_common()},
        authors_macs=scans.as_authors(type(getattr(model, 'backbone', None)).__name__, macs),
    )


class _TensorMode(nn.Module):
    """A model of the mm packages as a function of the image alone."""

    def __init__(self, model: nn.Module, scope: str) -> None:
        super().__init__()
        self.model = model
        self.scope = scope

    def forward(self, image: Tensor) -> object:
        """Map an image (B, 3, H, W) to the outputs of the heads."""
        if self.scope != DETECTION.scope:
            return self.model(image, mode='tensor')
        size = tuple(int(edge) for edge in image.shape[-2:])
        sizes = dict.fromkeys(('img_shape', 'ori_shape', 'pad_shape', 'batch_input_shape'), size)
        sample = DETECTION.make_sample(**sizes, scale_factor=(1.0, 1.0))
        return self.model(image, [sample], mode='tensor')


def _without_suppression(model_cfg: dict) -> dict:
    """A model's config whose RPN, if there is one, keeps ``max_per_img`` proposals."""
    rpn = (model_cfg.get('test_cfg') or {}).get('rpn')
    if rpn:
        rpn.update(nms=dict(type='nms', iou_threshold=1.0), min_bbox_size=-1)
    return model_cfg


def _define_attention(model: nn.Module) -> None:
    """Set every attention to the implementation that is counted, not the fastest one."""
    count_scans(model)
    for module in model.modules():
        if isinstance(module, VMISA) and module.form == 'recurrent':
            module.use_op(lambda query, *_: _counted_recurrence(query))
        elif isinstance(module, VMISA):
            module.use_op(choose_op('matrix', 'reference'))


def _without_padding(model: nn.Module) -> None:
    """Turn ``mask_padding`` off in every backbone: the image has no padding and no sizes."""
    for backbone in model.modules():
        if isinstance(backbone, VMINet):
            backbone.mask_padding = False


def _watch_rois(model: nn.Module) -> dict[str, int]:
    """A dict that fills, when the model runs, with the number of RoIs each head is given."""
    rois: dict[str, int] = {}
    for name, module in model.named_modules():
        # the heads of a cascade are numbered
        match = re.fullmatch(r'roi_head\.(\w+_head)(\.\d+)?', name)
        if match:

            def note(_: nn.Module, args: tuple, head: str = match[0].split('.', 1)[1]) -> None:
                """Note how many boxes a head is given."""
                rois[head] = int(args[0].shape[0])

            module.register_forward_pre_hook(note)
    return rois


@contextmanager
def quiet() -> Iterator[None]:
    """Context manager that silences logs and warnings of building and tracing a model."""
    logger = MMLogger.get_current_instance()
    level = logger.level
    logger.setLevel('ERROR')
    try:
        with warnings.catch_warnings():
            warnings.simplefilter('ignore')
            yield
    finally:
        logger.setLevel(level)


def to_json(counts: Complexity) -> str:
    """The counts as JSON, with the names of the fields."""
    return json.dumps(asdict(counts), indent=2)


def to_table(counts: Complexity) -> str:
    """The counts as text: one line a part, the total, and what was not counted."""
    parts = [*counts.parts.items(), ('total', Part(counts.params, counts.macs))]
    rows = [(name, f'{p.params / 1e6:.2f} M', f'{p.macs / 1e9:.2f} G') for name, p in parts]
    lines = text_table([('', 'params', 'MACs'), *rows])
    lines[0] += f'   at {counts.shape[0]} x {counts.shape[1]}'
    if counts.authors_macs is not None:
        lines.append(f'As papers count: {counts.authors_macs / 1e9:.2f} G')
    if counts.rois:
        lines.append('RoIs: ' + ', '.join(f'{name} {n}' for name, n in counts.rois.items()))
    uncounted = ', '.join(f'{op} x{times}' for op, times in counts.uncounted.items())
    lines.append(f'Not counted: batch norm (folds into convolutions), {uncounted}')
    return '\n'.join(lines)
