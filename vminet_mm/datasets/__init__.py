"""Built-in data sets of generated scenes, for tests and first runs without a download."""

from .mini import GENERATOR_VERSION, make_mini_data
from .shapes import (
    CLASSES,
    PALETTE,
    SEG_CLASSES,
    SEG_PALETTE,
    Scene,
    Shape,
    draw_scene,
    place_shapes,
    render,
    shape_area,
    signed_distance,
    visible_parts,
)

__all__ = [
    'CLASSES',
    'GENERATOR_VERSION',
    'PALETTE',
    'SEG_CLASSES',
    'SEG_PALETTE',
    'Scene',
    'Shape',
    'draw_scene',
    'make_mini_data',
    'place_shapes',
    'render',
    'shape_area',
    'signed_distance',
    'visible_parts',
]
