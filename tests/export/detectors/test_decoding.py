"""What a detector gives when it is traced, against mmdet's own ``predict``."""

import pytest
import torch
from tiny_detectors import PATHS, TWO_STAGES, build, predicted, tiny_config

from vminet_mm.export import make_outputs

SIZES = [(1, 3, 64, 64), (2, 3, 64, 96), (1, 3, 97, 65), (3, 3, 33, 70)]


@pytest.fixture(scope='module')
def models() -> dict[str, torch.nn.Module]:
    return {name: build(tiny_config(name)) for name in PATHS}


@pytest.mark.parametrize('shape', SIZES, ids=str)
@pytest.mark.parametrize('name', PATHS)
def test_as_mmdet_predicts(
    name: str, shape: tuple[int, ...], models: dict[str, torch.nn.Module]
) -> None:
    outputs = make_outputs('detection', models[name])
    torch.manual_seed(0)
    image, size = torch.randn(shape), torch.tensor(shape[2:]).float()
    with torch.no_grad():
        found = outputs.compute(image, size, size)
    expected = predicted(models[name], image)
    assert sum(map(len, expected)) > 2 * len(image)
    for number, one in enumerate(expected):
        its = found['image_index'] == number
        assert torch.equal(found['labels'][its], one.labels)
        torch.testing.assert_close(found['scores'][its], one.scores, rtol=0, atol=1e-5)
        torch.testing.assert_close(found['boxes'][its], one.bboxes, rtol=0, atol=1e-3)


@pytest.mark.parametrize('name', ['mask_rcnn', 'cascade_sfp'])
def test_pasted_masks(name: str, models: dict[str, torch.nn.Module]) -> None:
    outputs = make_outputs('detection', models[name], pasted=True)
    torch.manual_seed(0)
    image, size = torch.randn(1, 3, 64, 97), torch.tensor([64.0, 97.0])
    with torch.no_grad():
        masks = outputs.compute(image, size, size)['masks']
    expected = predicted(models[name], image)[0].masks
    assert masks.shape == expected.shape and expected.any()
    assert (masks == expected).float().mean() > 0.9999


def test_boxes_of_a_larger_canvas(models: dict[str, torch.nn.Module]) -> None:
    outputs = make_outputs('detection', models['faster_rcnn'], ['boxes'])
    image, size = torch.randn(1, 3, 64, 80), torch.tensor([64.0, 80.0])
    with torch.no_grad():
        small = outputs.compute(image, size, size)['boxes']
        large = outputs.compute(image, size, size * torch.tensor([2.0, 3.0]))['boxes']
    torch.testing.assert_close(large, small * torch.tensor([3.0, 2.0, 3.0, 2.0]))


def test_nothing_found(models: dict[str, torch.nn.Module]) -> None:
    outputs = make_outputs('detection', models['mask_rcnn'])
    outputs.region.score_threshold.fill_(1.0)
    size = torch.tensor([64.0, 64.0])
    with torch.no_grad():
        found = outputs.compute(torch.randn(2, 3, 64, 64), size, size)
    shapes = {key: tuple(value.shape) for key, value in found.items()}
    assert shapes['boxes'] == (0, 4) and shapes['masks'] == (0, 28, 28)
    assert shapes['labels'] == shapes['scores'] == shapes['image_index'] == (0,)


def test_names(models: dict[str, torch.nn.Module]) -> None:
    basic = ('boxes', 'scores', 'labels', 'image_index')
    for name, model in models.items():
        masks = ('masks',) if name in ('mask_rcnn', 'cascade_sfp') else ()
        assert make_outputs('detection', model).names == basic + masks
    assert set(TWO_STAGES) < set(models)
