import numpy as np
import pytest

from vminet_mm.datasets import (
    CLASSES,
    SEG_CLASSES,
    Shape,
    draw_scene,
    place_shapes,
    render,
    shape_area,
    signed_distance,
    visible_parts,
)
from vminet_mm.datasets.shapes import MIN_PIXELS, MIN_VISIBLE, rasterize
from vminet_mm.datasets.textures import (
    MIN_CONTRAST,
    checks,
    gradient,
    pick_color,
    random_texture,
    smooth_noise,
    stripes,
)

# Of circumscribed radius 1, by hand: pi; two arms of 1.88176 x 0.67744 less the central square;
# pi (1 - 0.55^2); side sqrt(2); 3 sqrt(3) / 4.
AREAS = {'circle': 3.14159, 'cross': 2.09065, 'ring': 2.19126, 'square': 2.0, 'triangle': 1.29904}


def rng(seed=0):
    return np.random.default_rng(seed)


def distance_at(name, x, y, radius):
    return float(signed_distance(name, np.array(x, float), np.array(y, float), radius))


@pytest.mark.parametrize('name', CLASSES)
def test_area(name):
    step = 0.004
    y, x = np.mgrid[-1.1:1.1:step, -1.1:1.1:step]
    measured = np.count_nonzero(signed_distance(name, x, y, 1.0) <= 0) * step**2
    assert measured == pytest.approx(AREAS[name], rel=5e-3)
    assert shape_area(name, 1.0) == pytest.approx(AREAS[name], rel=1e-5)
    assert shape_area(name, 7.0) == pytest.approx(49 * AREAS[name], rel=1e-5)


@pytest.mark.parametrize(
    ('name', 'x', 'y', 'radius', 'expected'),
    [
        ('circle', 3, 4, 2, 3),
        ('circle', 0, 0, 2, -2),
        ('square', 3, 0, 2**0.5, 2),
        ('square', 1, 1, 2**0.5, 0),
        ('ring', 0, 0, 10, 5.5),
        ('ring', 0, 7.75, 10, -2.25),
        ('ring', 0, -12, 10, 2),
        ('triangle', 0, 0, 2, -1),
        ('triangle', 0, -2, 2, 0),
        ('triangle', 3**0.5, 1, 2, 0),
        ('triangle', 0, 4, 2, 3),
        ('cross', 0, 0, 1.1296**0.5, -0.36),
        ('cross', 0, 3, 1.1296**0.5, 2),
        ('cross', 1, 0.36, 1.1296**0.5, 0),
        ('cross', 0.5, 0.5, 1.1296**0.5, 0.14),
    ],
)
def test_distance_by_hand(name, x, y, radius, expected):
    assert distance_at(name, x, y, radius) == pytest.approx(expected, abs=1e-9)


def test_every_shape_touches_its_circumscribed_circle():
    angles = np.linspace(0, 2 * np.pi, 3600, endpoint=False)
    for name in CLASSES:
        outside = signed_distance(name, 5.01 * np.cos(angles), 5.01 * np.sin(angles), 5.0)
        inside = signed_distance(name, 4.95 * np.cos(angles), 4.95 * np.sin(angles), 5.0)
        assert (outside > 0).all(), name
        assert (inside <= 0).any(), name


def test_rasterize_places_and_rotates():
    label = CLASSES.index('square')
    upright = rasterize(Shape(label, 20, 12, 10, 0.0), 30, 50) <= 0
    turned = rasterize(Shape(label, 20, 12, 10, np.pi / 4), 30, 50) <= 0
    # Half a side is 7.07: columns 13 to 27 and rows 5 to 19; on its corner, 10 to 30 and 2 to 22.
    for mask, (left, right, top, bottom) in ((upright, (13, 27, 5, 19)), (turned, (10, 30, 2, 22))):
        rows, columns = np.nonzero(mask)
        assert (columns.min(), columns.max()) == (left, right)
        assert (rows.min(), rows.max()) == (top, bottom)
    assert upright.sum() == 15 * 15


def test_unknown_shape():
    for call in (lambda: shape_area('star', 1.0), lambda: distance_at('star', 0, 0, 1)):
        with pytest.raises(ValueError, match='circle, cross, ring, square, triangle'):
            call()


def test_later_shapes_cover_earlier_ones():
    masks = np.zeros((3, 4, 6), dtype=bool)
    masks[0, :, :4] = True
    masks[1, :2, 2:] = True
    masks[2, 1:, 3:] = True
    before = masks.copy()
    parts = visible_parts(masks)
    expected = np.array(
        [[0, 0, 1, 1, 1, 1], [0, 0, 1, 2, 2, 2], [0, 0, 0, 2, 2, 2], [0, 0, 0, 2, 2, 2]]
    )
    assert np.array_equal(parts, expected == np.arange(3)[:, None, None])
    assert np.array_equal(masks, before)


def test_render_a_square_half_under_another():
    label = CLASSES.index('square')
    radius = 10.5 * 2**0.5  # half a side of 10.5: 21 pixels
    shapes = [Shape(label, 30, 40, radius, 0.0), Shape(label, 40, 40, radius, 0.0)]
    scene = render(rng(), shapes, 80, 80)
    assert scene.masks.sum(axis=(1, 2)).tolist() == [21 * 10, 21 * 21]
    assert scene.visible == pytest.approx([10 / 21, 1.0])
    assert scene.labels.tolist() == [label, label]
    colors = [scene.image[mask].astype(float).mean(axis=0) for mask in scene.masks]
    assert np.linalg.norm(colors[0] - colors[1]) > 0.6 * MIN_CONTRAST
    label_map = scene.segmentation()
    assert label_map.dtype == np.uint8
    assert np.count_nonzero(label_map == 2 + label) == 21 * 31
    assert np.count_nonzero(label_map == 1) == 80 * 80 - 21 * 31


def test_scenes_keep_their_promises():
    count, labels, truncated, covered = set(), [], 0, 0
    for seed in range(60):
        scene = draw_scene(rng(seed), 96, 128)
        n = len(scene.labels)
        assert scene.image.shape == (96, 128, 3) and scene.image.dtype == np.uint8
        assert scene.masks.shape == (n, 96, 128) and scene.masks.dtype == bool
        assert scene.masks.sum(axis=0).max() == 1
        assert (scene.visible >= MIN_VISIBLE).all()
        assert (scene.masks.sum(axis=(1, 2)) >= MIN_PIXELS).all()
        assert set(np.unique(scene.segmentation())) == {1, *(scene.labels + 2)}
        count.add(n)
        labels.extend(scene.labels.tolist())
        edge = scene.masks[:, [0, -1]].any(axis=(1, 2)) | scene.masks[..., [0, -1]].any(axis=(1, 2))
        truncated += edge.sum()
        covered += (~edge & (scene.visible < 0.9)).sum()
    assert count == {2, 3, 4, 5, 6}
    assert min(np.bincount(labels, minlength=5)) > 0.12 * len(labels)
    assert truncated > 5 and covered > 5
    assert SEG_CLASSES[0] == 'background' and SEG_CLASSES[1:] == CLASSES


def test_sizes_span_small_to_large():
    radii = [s.radius for seed in range(80) for s in place_shapes(rng(seed), 128, 160)]
    diameters = 2 * np.array(radii) / 128
    assert 0.12 <= diameters.min() < 0.14
    assert 0.5 < diameters.max() <= 0.6


def test_scene_depends_on_the_generator_alone():
    first, again, other = (draw_scene(rng(seed), 64, 96) for seed in (5, 5, 6))
    assert np.array_equal(first.image, again.image)
    assert np.array_equal(first.masks, again.masks)
    assert not np.array_equal(first.image, other.image)


def test_colors_and_textures_do_not_tell_the_class():
    scenes = [render(rng(1), [Shape(k, 40, 32, 25, 0.3)], 64, 80) for k in range(len(CLASSES))]
    for one in scenes:
        for two in scenes:
            both = (one.masks[0] & two.masks[0]) | ~(one.masks[0] | two.masks[0])
            # Blended outlines of either shape are next to the mask, not in it.
            assert np.mean(one.image[both] == two.image[both]) > 0.9


def test_too_small_a_scene():
    with pytest.raises(ValueError, match='both sides at least 64'):
        draw_scene(rng(), 128, 63)


@pytest.mark.parametrize('texture', [smooth_noise, gradient, stripes, checks, random_texture])
def test_textures(texture):
    fields = np.stack([texture(rng(seed), 40, 64) for seed in range(10)])
    assert fields.shape == (10, 40, 64)
    assert fields.min() >= 0 and fields.max() <= 1
    assert fields.std(axis=(1, 2)).min() > 0.02
    assert not np.array_equal(fields[0], fields[1])


def test_picked_colors_stand_out():
    others = np.array([[20.0, 20, 20], [230, 230, 230]])
    for seed in range(50):
        distances = np.linalg.norm(pick_color(rng(seed), others) - others, axis=1)
        assert distances.min() >= MIN_CONTRAST
    # No color is 75 away from all points of a grid with steps of 60: the best on offer is taken.
    crowd = np.stack(np.meshgrid(*[np.arange(0, 256, 60)] * 3), axis=-1).reshape(-1, 3)
    color = pick_color(rng(), crowd)
    assert color.shape == (3,)
    assert 25 < np.linalg.norm(color - crowd, axis=1).min() < MIN_CONTRAST
