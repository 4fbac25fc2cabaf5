"""Parameters and multiply-accumulates in closed form, as docs/reproduction.md derives them.

Nothing here builds a model. Each function returns ``(params, macs)`` of one image; batch norms have
parameters but no MACs, since they fold into the convolutions.
"""

from collections.abc import Sequence
from math import ceil

Count = tuple[int, int]
Size = tuple[int, int]
LEVELS = 4


def add(*counts: Count) -> Count:
    return sum(params for params, _ in counts), sum(macs for _, macs in counts)


def area(size: Size) -> int:
    return size[0] * size[1]


def grids(size: Size) -> list[Size]:
    """The sizes of the four maps, strides 4, 8, 16 and 32."""
    return [(ceil(size[0] / 2**n), ceil(size[1] / 2**n)) for n in range(2, 6)]


def conv(
    inputs: int, outputs: int, kernel: int, size: Size, bias: bool = True, norm: bool = False
) -> Count:
    """A convolution to a map of a size, with a batch norm after it or without."""
    weights = kernel**2 * inputs * outputs
    return weights + outputs * (bias + 2 * norm), weights * area(size)


def block(
    width: int,
    expansion: int,
    native: Size,
    size: Size,
    attention: bool = True,
    recurrent: bool = False,
    v1: bool = False,
) -> Count:
    """A VMI-SA block: DWConv7x7 + BN, W1, W2, attention, W3, of the first release a BN.

    The attention is E = ReLU6(Q) * K, one per element; then the context sum, one per channel and
    token of the native grid, to which E is averaged where the map has another size, one per
    element; or in the recurrent form alpha * E and beta * E, one per element each.
    """
    hidden = expansion * width
    params = (49 + 1 + 2) * width + (width + 1) * hidden + (hidden + 1) * width + v1 * 2 * width
    per_token = 49 * width + 2 * width * hidden
    if not attention:
        return params, per_token * area(size)
    params += (width + 1) * hidden + (2 * area(native) if recurrent else area(native) + 2)
    per_element = 3 if recurrent else 1 + (size != native)
    macs = (per_token + width * hidden + per_element * hidden) * area(size)
    return params, macs + (not recurrent) * hidden * area(native)


def backbone(
    base: int, expansion: int, size: Size = (224, 224), dense: bool = False, **options: bool
) -> Count:
    """VMINet with its norm of the last map, or those of all four."""
    half = (ceil(size[0] / 2), ceil(size[1] / 2))
    parts = [conv(3, 32, 3, half, norm=True)]
    inputs = 32
    for stage, depth in enumerate((2, 2, 18, 2)):
        width, grid, native = base * 2**stage, grids(size)[stage], grids((224, 224))[stage]
        parts.append(conv(inputs, width, 3, grid, norm=True))
        parts += [block(width, expansion, native, grid, **options)] * depth
        inputs = width
    norms = 2 * base * (15 if dense else 8)
    return add(*parts, (norms, 0))


def uncounted(base: int, expansion: int, size: Size = (224, 224)) -> dict[str, int]:
    """Operations per element that are no multiply-accumulates, one each: what a tool may add.

    Norms are scale and shift, two per element; ``'activations'`` are the ReLU6; ``'sums'`` the
    biases, the residual sums, M * E and the sum of s0 * c and beta * E with its two products.
    """
    half = area((ceil(size[0] / 2), ceil(size[1] / 2)))
    norms, activations, sums = 2 * 32 * half, 32 * half, 32 * half
    for stage, depth in enumerate((2, 2, 18, 2)):
        narrow = base * 2**stage * area(grids(size)[stage])  # elements of X
        wide = expansion * narrow  # of Q, K and E
        norms += 2 * narrow * (1 + depth)
        activations += 2 * wide * depth
        sums += narrow + (3 * narrow + 6 * wide) * depth
    return dict(norms=norms, activations=activations, sums=sums)


def classifier(base: int, expansion: int, **options: bool) -> Count:
    """The backbone at 224 x 224, pooling of its 7 x 7 map, and a linear layer to 1000 classes."""
    width = 8 * base
    head = 1000 * width + 1000, 49 * width + 1000 * width
    return add(backbone(base, expansion, **options), head)


def fpn(widths: Sequence[int], maps: Sequence[Size]) -> Count:
    """Convolutions 1x1 and 3x3 to 256 channels; nearest resizing, one per element."""
    parts = [conv(width, 256, 1, size) for width, size in zip(widths, maps, strict=True)]
    parts += [conv(256, 256, 3, size) for size in maps]
    resized = sum(256 * area(size) for size in maps[:-1])
    return add(*parts, (0, resized))


def simple_pyramid(width: int, maps: Sequence[Size]) -> Count:
    """The pyramid of the last map. A layer norm counts five per element."""
    parts = []
    for level in range(LEVELS):
        channels = width
        for step in range(LEVELS - 1, level, -1):
            if step < LEVELS - 1:
                parts.append((2 * channels, 5 * channels * area(maps[step])))
            # 2x2 of stride 2: each element of the input makes four of the output
            weights = 4 * channels * (channels // 2)
            parts.append((weights + channels // 2, weights * area(maps[step])))
            channels //= 2
        size = maps[level]
        parts += [conv(channels, 256, 1, size, bias=False), (512, 5 * 256 * area(size))]
        parts += [conv(256, 256, 3, size, bias=False), (512, 5 * 256 * area(size))]
    return add(*parts)


def mask_rcnn_heads(maps: Sequence[Size], boxes: int = 1000, masks: int = 100) -> Count:
    """RPN on five levels, box head on 1000 proposals, mask head on the first 100; 80 classes."""
    last = maps[-1]
    pooled = (ceil(last[0] / 2), ceil(last[1] / 2))
    rpn_weights = 9 * 256 * 256 + 256 * (3 + 4 * 3)
    rpn = rpn_weights + 256 + 15, rpn_weights * sum(map(area, [*maps, pooled]))
    box_weights = 49 * 256 * 1024 + 1024 * 1024 + 1024 * (81 + 4 * 80)
    box = box_weights + 1024 + 1024 + 81 + 320, box_weights * boxes
    mask_convs = add(*[conv(256, 256, 3, (14, 14))] * 4)
    deconv = 4 * 256 * 256 + 256, 4 * 256 * 256 * 14**2
    mask_params, mask_macs = add(mask_convs, deconv, conv(256, 80, 1, (28, 28)))
    return add(rpn, box, (mask_params, mask_macs * masks))


def mask_rcnn(base: int, expansion: int, neck: str) -> Count:
    """Mask R-CNN at 800 x 1280 with the pyramid of the last map (``'sfp'``) or an ``'fpn'``."""
    size = (800, 1280)
    maps = grids(size)
    widths = [base * 2**level for level in range(LEVELS)]
    pyramid = fpn(widths, maps) if neck == 'fpn' else simple_pyramid(widths[-1], maps)
    body = backbone(base, expansion, size, dense=neck == 'fpn')
    return add(body, pyramid, mask_rcnn_heads(maps))


def upernet(base: int, expansion: int) -> Count:
    """UPerNet at 512 x 512: UPerHead of 512 channels, auxiliary head of 256 (which only trains).

    Pooling counts one per element of its input, bilinear resizing four per element of its output.
    """
    size, channels, classes = (512, 512), 512, 150
    maps = grids(size)
    widths = [base * 2**level for level in range(LEVELS)]

    def layer(inputs: int, kernel: int, grid: Size) -> Count:
        return conv(inputs, channels, kernel, grid, bias=False, norm=True)

    def resize(grid: Size) -> Count:
        return 0, 4 * channels * area(grid)

    first, last = maps[0], maps[-1]
    parts = [layer(widths[-1], 1, (scale, scale)) for scale in (1, 2, 3, 6)]
    parts += [(0, widths[-1] * area(last)), resize(last)] * 4
    parts.append(layer(widths[-1] + 4 * channels, 3, last))
    for width, grid in zip(widths[:-1], maps[:-1], strict=True):
        parts += [layer(width, 1, grid), layer(channels, 3, grid), resize(grid), resize(first)]
    parts += [layer(4 * channels, 3, first), conv(channels, classes, 1, first)]
    auxiliary = conv(widths[2], 256, 3, maps[2], bias=False, norm=True)[0]
    auxiliary += conv(256, classes, 1, maps[2])[0]
    return add(backbone(base, expansion, size, dense=True), *parts, (auxiliary, 0))
