"""Pictures: where the colors are, on images of any size."""

import numpy as np
import pytest

from vminet_mm.inference.drawing import (
    BAR_COLOR,
    OPACITY,
    TRUE_COLOR,
    draw_label_map,
    draw_objects,
    draw_scores,
    enlarge,
    object_texts,
)

RED, BLUE = (0, 0, 255), (255, 0, 0)  # BGR
COLORS = np.array([RED, BLUE], dtype=np.float32)


def gray(height: int, width: int) -> np.ndarray:
    return np.full((height, width, 3), 100, np.uint8)


def blended(color: tuple) -> np.ndarray:
    return (1 - OPACITY) * 100 + OPACITY * np.array(color)


@pytest.mark.parametrize(
    ('size', 'expected'),
    [
        ((128, 160), (384, 480)),
        ((1, 1), (480, 480)),
        ((480, 3), (480, 3)),
        ((2, 3000), (2, 3000)),
        ((300, 321), (300, 321)),
    ],
)
def test_small_images_are_enlarged(size: tuple, expected: tuple) -> None:
    image = gray(*size)
    picture, factor = enlarge(image)
    assert picture.shape == (*expected, 3) and size[0] * factor == expected[0]
    picture[:] = 0
    assert (image == 100).all()


def test_objects() -> None:
    image = gray(500, 500)
    masks = np.zeros((2, 500, 500), bool)
    masks[0, 210:290, 110:190] = True
    masks[1, 300:400, 300:400] = True
    boxes = np.array([[100, 200, 200, 300], [300, 300, 400, 400]])
    picture = draw_objects(image, boxes, masks, ['first', 'second'], COLORS)
    assert picture.shape == image.shape and (image == 100).all()
    assert tuple(picture[250, 100]) == RED and tuple(picture[299, 150]) == RED  # frame
    assert tuple(picture[210, 150]) == RED  # outline of the mask
    np.testing.assert_allclose(picture[250, 150], blended(RED), atol=1)
    np.testing.assert_allclose(picture[350, 350], blended(BLUE), atol=1)
    assert (picture[250, 205] == 100).all() and (picture[204, 150] == 100).all()
    label = picture[187:199, 100:140].reshape(-1, 3)  # above the box
    assert (label == RED).all(1).mean() > 0.4 and (label == 255).all(1).any()


def test_objects_without_masks_or_at_all() -> None:
    image = gray(500, 600)
    picture = draw_objects(image, np.array([[0, 0, 600, 500]]), None, ['x'], COLORS[:1])
    assert (picture[250, 300] == 100).all() and tuple(picture[499, 300]) == RED
    none = draw_objects(image, np.zeros((0, 4)), np.zeros((0, 500, 600), bool), [], COLORS[:0])
    np.testing.assert_array_equal(none, image)


def test_labels_stay_inside_and_the_best_is_on_top() -> None:
    image = gray(500, 500)
    corner = np.array([[490, 495, 500, 500]])
    picture = draw_objects(image, corner, None, ['a long label'], COLORS[:1])
    assert (picture[:, -2] == RED).all(1).sum() > 8  # as high as a line of text
    twice = np.array([[100, 100, 300, 300]] * 2)
    picture = draw_objects(image, twice, None, ['best', 'second'], COLORS)
    assert tuple(picture[200, 100]) == RED


@pytest.mark.parametrize('corner', [(100, 100), (0, 0), (460, 460)])
def test_labels_do_not_hide_each_other(corner: tuple[int, int]) -> None:
    left, top = corner
    boxes = np.array([[left, top, left + 40, top + 40]] * 2)
    picture = draw_objects(gray(500, 500), boxes, None, ['best', 'second'], COLORS)
    areas = [(picture == color).all(-1).sum() for color in (RED, BLUE)]
    # the frame, of the best alone, and both labels
    assert areas[0] > 300 and areas[1] > 300


def test_masks_of_enlarged_images() -> None:
    mask = np.zeros((1, 100, 160), bool)
    mask[0, 20:40, 30:50] = True
    picture = draw_objects(gray(100, 160), np.array([[30, 20, 50, 40]]), mask, [''], COLORS[:1])
    np.testing.assert_allclose(picture[3 * 30, 3 * 40], blended(RED), atol=1)
    assert tuple(picture[3 * 30, 90]) == RED and (picture[3 * 30, 88] == 100).all()


def test_label_map() -> None:
    label_map = np.zeros((500, 500), np.uint8)
    label_map[100:300, 200:400] = 1
    label_map[400:] = 255  # no class
    picture = draw_label_map(gray(500, 500), label_map, ['ground', 'thing'], COLORS)
    np.testing.assert_allclose(picture[120, 220], blended(BLUE), atol=1)
    np.testing.assert_allclose(picture[390, 20], blended(RED), atol=1)
    assert (picture[400:] == 100).all()
    named = (picture[180:220, 270:330] == BLUE).all(-1)  # in the middle of the square
    assert named.sum() > 100 and not (picture[100:170, 200:400] == BLUE).all(-1).any()


def test_scores() -> None:
    picture = draw_scores(gray(480, 600), ['one', 'two'], [1.0, 0.25])
    assert picture.shape[0] > 480 and picture.shape[1] == 600
    table = picture[480:]
    np.testing.assert_array_equal(picture[:480], gray(480, 600))
    bar = (240, 200, 160)
    rows = [len(table) * 1 // 5 - 5, len(table) * 3 // 5 - 5]
    lengths = [(table[row] == bar).all(-1).nonzero()[0].max() for row in rows]
    assert lengths == [599, 150]


@pytest.mark.parametrize('size', [(1, 1), (1, 3000), (3000, 1), (7, 5)])
def test_any_size_and_characters(size: tuple) -> None:
    image, whole = gray(*size), np.ones((1, *size), bool)
    box = np.array([[0, 0, size[1], size[0]]])
    name = 'Größe, размер ' * 9
    for picture in (
        draw_objects(image, box, whole, [name], COLORS[:1]),
        draw_label_map(image, np.zeros(size, np.uint8), [name], COLORS),
    ):
        assert picture.shape == enlarge(image)[0].shape and (picture != 100).any()
    table = draw_scores(image, [name] * 5, [0.2] * 5)
    assert table.shape[1] >= 240 and table.dtype == np.uint8


def test_texts_of_objects() -> None:
    labels, scores = np.array([1, 0]), np.array([0.956, 0.5])
    assert object_texts(labels, ['a', 'b']) == ['b', 'a']
    assert object_texts(labels, ['a', 'b'], scores) == ['b 0.96', 'a 0.50']


def test_texts_are_quiet() -> None:
    """A single class is not named; of many objects each class is named once."""
    zeros = np.zeros(2, int)
    assert object_texts(zeros, ['a']) == ['', '']
    assert object_texts(zeros, ['a'], np.array([0.9, 0.8])) == ['0.90', '0.80']
    many = np.array([1] + [0] * 28 + [1] * 2)
    texts = object_texts(many, ['a', 'b'], np.ones(31))
    assert texts[:2] == ['b x 3', 'a x 28'] and set(texts[2:]) == {''}
    assert object_texts(many * 0, ['a'], np.ones(31)) == [''] * 31
    assert all(object_texts(many[:30], ['a', 'b']))


def test_an_object_without_a_text_has_no_label() -> None:
    box = np.array([[100, 200, 200, 300]])
    picture = draw_objects(gray(500, 500), box, None, [''], COLORS)
    assert (picture[:200] == 100).all() and tuple(picture[200, 150]) == RED


def test_the_bar_of_the_true_class_is_another() -> None:
    picture = draw_scores(gray(480, 480), ['a', 'b'], [1.0, 1.0], [False, True])
    table = picture[480:]
    height = len(table) // 2
    upper, lower = (
        {tuple(p) for p in part[:, -1].tolist()} for part in (table[:height], table[height:])
    )
    assert TRUE_COLOR in lower - upper and BAR_COLOR in upper - lower
