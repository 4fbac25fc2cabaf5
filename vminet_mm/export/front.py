"""Operators around a network in its ONNX file: scaling, normalizing and padding.

Written in ONNX's own text format: torch has no open sizes for what depends on the sizes of a batch.
"""

import re
from collections.abc import Sequence
from typing import Any

import onnx

CUBIC = {True: -0.5, False: -0.75}  # Pillow's coefficient, OpenCV's
SIZES = 'float[2] size, float[2] canvas'


def add_front(core: onnx.ModelProto, about: dict[str, Any], takes_uint8: bool) -> onnx.ModelProto:
    """Turn a model that takes preprocessed images into one that takes images of any size.

    Args:
        core: With the input ``image`` and, if it needs them, ``size`` and ``canvas``.
        about: The metadata before they are texts: ``resize``, ``mean``, ``std``, ``color_order``,
            ``pad_size_divisor`` and ``pad_value``.
        takes_uint8: Whether the input is (B, H, W, C) uint8 of an image as it is, RGB if it has
            colors, rather than (B, C, H, W) float32, normalized.
    """
    number = core.graph.input[0].type.tensor_type.shape.dim[1].dim_value
    lines = _pixel_lines(about, number) if takes_uint8 else _tensor_lines()
    lines += _padding_lines(about)
    shape = f'batch, height, width, {number}' if takes_uint8 else f'batch, {number}, height, width'
    kind = f'uint8[{shape}]' if takes_uint8 else f'float[{shape}]'
    taken = {value.name for value in core.graph.input}
    sizes = f', {SIZES}' if 'size' in taken else ''
    head = f'front ({kind} input) => (float[batch, {number}, rows, columns] image{sizes})'
    front = _parse(head, lines, core)
    joined = [(name, name) for name in ('image', 'size', 'canvas') if name in taken]
    model = onnx.compose.merge_models(front, core, io_map=joined, prefix1='front_')
    rename_input(model, 'front_input', 'image')
    return _with_one_opset(model)


def name_sizes(model: onnx.ModelProto) -> None:
    """Give the open sizes of a model's inputs and outputs readable names, in place."""
    image = model.graph.input[0].type.tensor_type.shape.dim
    known = {
        image[axis].dim_param: name
        for axis, name in ((0, 'batch'), (2, 'height'), (3, 'width'))
        if image[axis].dim_param
    }
    for value in (*model.graph.input, *model.graph.output):
        for one in value.type.tensor_type.shape.dim:
            if re.fullmatch(r'u\d+', one.dim_param):  # torch's name of a size that depends on data
                one.dim_param = 'objects'
            elif one.dim_param in known:
                one.dim_param = known[one.dim_param]


def rename_input(model: onnx.ModelProto, old: str, new: str) -> None:
    """Rename the first input, and what had its name before, in place."""
    taken = {old: new, new: f'{new}_normal'}
    for node in model.graph.node:
        for names in (node.input, node.output):
            names[:] = [taken.get(name, name) for name in names]
    model.graph.input[0].name = new


def _with_one_opset(model: onnx.ModelProto) -> onnx.ModelProto:
    """The model without repetitions of its opset, which merging leaves and some readers refuse."""
    versions = {one.domain: one.version for one in model.opset_import}
    del model.opset_import[:]
    model.opset_import.extend(onnx.helper.make_opsetid(*one) for one in versions.items())
    return model


def add_label_map(core: onnx.ModelProto) -> onnx.ModelProto:
    """A segmentor whose ``classes`` are those of the pixels of the canvas.

    As mmseg does it: the padding cut off, the logits resized, and then the best of them.
    """
    lines = [
        'rows_columns = Cast <to = 7> (size)',
        'zeros = Constant <value_ints = [0, 0]> ()',
        'axes = Constant <value_ints = [2, 3]> ()',
        'inside = Slice (logits, zeros, rows_columns, axes)',
        'shape = Shape <start = 0, end = 2> (inside)',
        'edges = Cast <to = 7> (canvas)',
        'target = Concat <axis = 0> (shape, edges)',
        'resized = Resize <mode = "linear", coordinate_transformation_mode = "half_pixel"> '
        '(inside, , , target)',
        'classes = ArgMax <axis = 1, keepdims = 0> (resized)',
    ]
    head = f'back (float[b, k, h, w] logits, {SIZES}) => (int64[batch, height, width] classes)'
    back = _parse(head, lines, core)
    model = onnx.compose.merge_models(
        core, back, io_map=[('logits', 'logits')], prefix2='back_', outputs=['back_classes']
    )
    names = {'back_size': 'size', 'back_canvas': 'canvas', 'back_classes': 'classes'}
    for node in model.graph.node:
        node.input[:] = [names.get(name, name) for name in node.input]
        node.output[:] = [names.get(name, name) for name in node.output]
    for value in (*model.graph.input, *model.graph.output):
        value.name = names.get(value.name, value.name)
    return _with_one_opset(model)


def _parse(head: str, lines: Sequence[str], like: onnx.ModelProto) -> onnx.ModelProto:
    """A model of the IR and opset of another one."""
    opset = next(one.version for one in like.opset_import if one.domain in ('', 'ai.onnx'))
    start = f'<ir_version: {like.ir_version}, opset_import: ["" : {opset}]>'
    return onnx.parser.parse_model(f'{start}\n{head} {{\n' + '\n'.join(lines) + '\n}')


def _tensor_lines() -> list[str]:
    """The image as it is, whose size is that of the canvas."""
    return [
        'normal = Identity (input)',
        'edges = Shape <start = 2, end = 4> (input)',
        'size = Cast <to = 1> (edges)',
        'canvas = Identity (size)',
    ]


def _pixel_lines(about: dict[str, Any], channels: int) -> list[str]:
    """An image scaled, cropped and normalized."""
    lines = [
        'step0 = Transpose <perm = [0, 3, 1, 2]> (input)',
        'canvas_edges = Shape <start = 2, end = 4> (step0)',
        'canvas = Cast <to = 1> (canvas_edges)',
    ]
    for number, step in enumerate(about['resize']):
        lines += _crop_lines(step, number) if 'crop' in step else _resize_lines(step, number)
    last = f'step{len(about["resize"])}'
    mean, std, order = about['mean'], about['std'], list(range(channels))
    if about['color_order'] == 'bgr':
        order.reverse()
    return [
        *lines,
        f'edges = Shape <start = 2, end = 4> ({last})',
        'size = Cast <to = 1> (edges)',
        f'pixels = Cast <to = 1> ({last})',
        f'order = Constant <value_ints = {order}> ()',
        'ordered = Gather <axis = 1> (pixels, order)',
        f'channels = Constant <value_ints = [1, {len(mean)}, 1, 1]> ()',
        f'mean_values = Constant <value_floats = {[float(x) for x in mean]}> ()',
        f'std_values = Constant <value_floats = {[float(x) for x in std]}> ()',
        'mean = Reshape (mean_values, channels)',
        'std = Reshape (std_values, channels)',
        'centered = Sub (ordered, mean)',
        'normal = Div (centered, std)',
    ]


def _resize_lines(step: dict[str, Any], number: int) -> list[str]:
    """One step that scales, as OpenCV or Pillow does it, with whole values as its result."""
    old, new = f'step{number}', f'step{number + 1}'
    smooth = bool(step.get('antialias'))
    mode = 'linear' if step['interpolation'] == 'bilinear' else 'cubic'
    if step['interpolation'] == 'nearest':
        mode, rounding = 'nearest', ', nearest_mode = "floor", '
        mapping = 'coordinate_transformation_mode = "asymmetric"'
    else:
        rounding, mapping = ', ', 'coordinate_transformation_mode = "half_pixel"'
    options = f'mode = "{mode}"{rounding}{mapping}, cubic_coeff_a = {CUBIC[smooth]}'
    options += ', antialias = 1' if smooth else ''
    lines = [
        f'{new}_old = Shape <start = 2, end = 4> ({old})',
        *_edge_lines(step, new),
        f'{new}_batch = Shape <start = 0, end = 2> ({old})',
        f'{new}_target = Concat <axis = 0> ({new}_batch, {new}_edges)',
    ]
    if smooth:  # Pillow's own arithmetic, in whole numbers
        return [*lines, f'{new} = Resize <{options}> ({old}, , , {new}_target)']
    return [
        *lines,
        f'{new}_float = Cast <to = 1> ({old})',
        f'{new}_resized = Resize <{options}> ({new}_float, , , {new}_target)',
        f'{new}_rounded = Round ({new}_resized)',
        f'{new}_low = Constant <value_float = 0.0> ()',
        f'{new}_high = Constant <value_float = 255.0> ()',
        f'{new}_clipped = Clip ({new}_rounded, {new}_low, {new}_high)',
        f'{new} = Cast <to = 2> ({new}_clipped)',
    ]


def _edge_lines(step: dict[str, Any], new: str) -> list[str]:
    """The height and width that a step makes of those before it."""
    if 'height' in step:
        return [f'{new}_edges = Constant <value_ints = {[step["height"], step["width"]]}> ()']
    lines = [f'{new}_short = ReduceMin <keepdims = 1> ({new}_old)']
    if 'long_edge' not in step:
        return [
            *lines,
            f'{new}_asked = Constant <value_ints = [{step["short_edge"]}]> ()',
            f'{new}_product = Mul ({new}_old, {new}_asked)',
            f'{new}_edges = Div ({new}_product, {new}_short)',
        ]
    for kind in ('short', 'long'):
        lines += [
            f'{new}_{kind}_asked_whole = Constant <value_ints = [{step[f"{kind}_edge"]}]> ()',
            f'{new}_{kind}_asked = Cast <to = 11> ({new}_{kind}_asked_whole)',
            f'{new}_{kind}_double = Cast <to = 11> ({new}_{kind})',
            f'{new}_{kind}_scale = Div ({new}_{kind}_asked, {new}_{kind}_double)',
        ]
    return [
        f'{new}_long = ReduceMax <keepdims = 1> ({new}_old)',
        *lines,
        f'{new}_scale = Min ({new}_short_scale, {new}_long_scale)',
        f'{new}_old_double = Cast <to = 11> ({new}_old)',
        f'{new}_scaled = Mul ({new}_old_double, {new}_scale)',
        f'{new}_half_float = Constant <value_floats = [0.5]> ()',
        f'{new}_half = Cast <to = 11> ({new}_half_float)',
        f'{new}_plus_half = Add ({new}_scaled, {new}_half)',
        f'{new}_edges = Cast <to = 7> ({new}_plus_half)',
    ]


def _crop_lines(step: dict[str, Any], number: int) -> list[str]:
    """One step that cuts the middle out."""
    old, new = f'step{number}', f'step{number + 1}'
    return [
        f'{new}_old = Shape <start = 2, end = 4> ({old})',
        f'{new}_asked = Constant <value_ints = {list(step["crop"])}> ()',
        f'{new}_edges = Min ({new}_asked, {new}_old)',
        f'{new}_rest = Sub ({new}_old, {new}_edges)',
        f'{new}_rest_float = Cast <to = 1> ({new}_rest)',
        f'{new}_two = Constant <value_float = 2.0> ()',
        f'{new}_half = Div ({new}_rest_float, {new}_two)',
        f'{new}_round = Round ({new}_half)',
        f'{new}_start = Cast <to = 7> ({new}_round)',
        f'{new}_end = Add ({new}_start, {new}_edges)',
        f'{new}_axes = Constant <value_ints = [2, 3]> ()',
        f'{new} = Slice ({old}, {new}_start, {new}_end, {new}_axes)',
    ]


def _padding_lines(about: dict[str, Any]) -> list[str]:
    """Padding on the right and at the bottom, to a multiple of the divisor."""
    return [
        f'divisor = Constant <value_ints = [{about["pad_size_divisor"]}]> ()',
        'inside = Shape <start = 2, end = 4> (normal)',
        'negative = Neg (inside)',
        'missing = Mod (negative, divisor)',
        'zeros = Constant <value_ints = [0, 0]> ()',
        'pads = Concat <axis = 0> (zeros, missing)',
        f'pad_value = Constant <value_float = {float(about.get("pad_value", 0))}> ()',
        'pad_axes = Constant <value_ints = [2, 3]> ()',
        'image = Pad (normal, pads, pad_value, pad_axes)',
    ]
