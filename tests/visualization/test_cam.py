"""Maps of models whose score is known to come from one corner, and of models of the three tasks."""

import runpy
from functools import cache
from pathlib import Path
from types import SimpleNamespace

import cv2
import numpy as np
import pytest
import torch
from tiny_configs import tiny_config, write_model
from torch import Tensor, nn

from vminet_mm.inference import load_model
from vminet_mm.visualization.cam import (
    METHODS,
    Column,
    Explanation,
    choose_layers,
    explain,
    save_grid,
    shorten,
    tokens_as_map,
)
from vminet_mm.visualization.cam_scores import SCORES, Settings, find_class
from vminet_mm.visualization.loading import LoadedModel, Sample

ROOT = Path(__file__).parents[2]
TOOL = str(ROOT / 'tools/visualization/cam.py')
TASKS = dict(mmpretrain='classification', mmseg='segmentation', mmdet='detection')
CLASSES = ('left', 'right')
IMAGE = torch.ones(1, 3, 16, 24)
GRAY = np.full((16, 24, 3), 128, dtype=np.uint8)


class Corners(nn.Module):
    """Class 0 is what is in channel 0, class 1 what is in channel 1, on maps of half the size."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Conv2d(3, 3, 2, stride=2, bias=False)
        nn.init.zeros_(self.layer.weight)
        for k in range(3):
            nn.init.constant_(self.layer.weight[k, k], 0.25)
        self.unused = nn.Conv2d(3, 3, 1)
        self.flat = nn.Flatten()

    def forward(self, inputs: Tensor, mode: str) -> Tensor:
        assert mode == 'tensor'
        features = self.layer(inputs)
        self.flat(features)
        return features.mean((2, 3))[:, :2]


def corners(scope: str = 'mmpretrain', model: nn.Module | None = None) -> LoadedModel:
    return LoadedModel('corners', scope, model or Corners(), CLASSES, None)


def bright(top: int, left: int, channel: int, inputs: Tensor | None = None) -> Tensor:
    """Images (1, 3, 16, 24), bright in a square of 4 x 4."""
    inputs = torch.zeros(1, 3, 16, 24) if inputs is None else inputs
    inputs[0, channel, top : top + 4, left : left + 4] = 1
    return inputs


def sample(inputs: Tensor) -> Sample:
    return Sample('picture.jpg', GRAY, inputs, SimpleNamespace())


def hottest(heat: np.ndarray) -> tuple[int, int]:
    """Center of the hottest pixels, (row, column)."""
    rows, columns = np.nonzero(heat > 0.9)
    return round(rows.mean()), round(columns.mean())


@pytest.mark.parametrize('method', [name for name in METHODS if name != 'eigencam'])
@pytest.mark.parametrize('category, corner', [('left', (2, 2)), ('1', (14, 22))])
def test_the_corner_that_makes_the_score_lights_up(
    method: str, category: str, corner: tuple[int, int]
) -> None:
    loaded = corners()
    inputs = bright(12, 20, channel=1, inputs=bright(0, 0, channel=0))
    settings = Settings(method, category)
    found = explain(loaded, sample(inputs), {'layer': loaded.model.layer}, settings)
    heat = found.maps['layer']
    assert heat.shape == (16, 24) and heat.min() == 0 and heat.max() == pytest.approx(1, abs=1e-4)
    assert np.abs(np.subtract(hottest(heat), corner)).max() <= 1
    assert found.category == ('left' if category == 'left' else 'right')
    assert found.evidence == pytest.approx(0.5)


def test_eigencam_shows_what_stands_out_whatever_the_class() -> None:
    loaded = corners()
    inputs = bright(12, 20, channel=2) - 0.1
    layers = {'layer': loaded.model.layer}
    maps = [
        explain(loaded, sample(inputs), layers, Settings('eigencam', name)).maps['layer']
        for name in CLASSES
    ]
    assert np.array_equal(*maps)
    assert np.abs(np.subtract(hottest(maps[0]), (14, 22))).max() <= 1
    dark = explain(loaded, sample(-inputs), layers, Settings('eigencam')).maps['layer']
    assert np.allclose(dark, maps[0], atol=1e-5)  # the sign is not left to chance


def test_the_predicted_class_is_explained_unless_told_otherwise() -> None:
    loaded = corners()
    inputs = bright(12, 20, channel=1)
    found = explain(loaded, sample(inputs), {'layer': loaded.model.layer}, Settings())
    assert found.category == 'right'
    logits = torch.tensor([0, 4 / (8 * 12)])  # four of the pixels are 1
    assert found.evidence == pytest.approx(float(logits.softmax(0)[1]))


def test_the_background_has_to_be_asked_for() -> None:
    classes = ('background', 'left', 'right')
    evidence = torch.tensor([0.7, 0.1, 0.2])
    assert find_class(None, classes, evidence) == 2
    assert find_class('background', classes, evidence) == 0
    assert find_class(None, ('sky', 'left', 'right'), evidence) == 0
    assert find_class(None, (), evidence) == 0
    assert evidence.tolist() == pytest.approx([0.7, 0.1, 0.2])


def test_what_stands_above_a_map() -> None:
    maps = dict(a=np.ones((2, 2)), b=np.zeros((2, 2)))
    found = Explanation('left', 0.25, maps)
    assert [found.describe(layer) for layer in maps] == [
        'left: 25.0%',
        'left: 25.0%, nothing above 0',
    ]
    assert Explanation('left', 0.0, maps).describe('b') == 'left: nothing found'


def test_score_of_a_segmentor() -> None:
    logits = torch.tensor([[[4.0, 1.0, 0.0]], [[1.0, 3.0, 5.0]], [[0.0, 0.0, 1.0]]])[None]
    model = lambda inputs, mode: logits  # noqa: E731
    loaded = LoadedModel('', 'mmseg', model, ('a', 'b', 'c'), None)
    scores, evidence = SCORES['mmseg'](loaded, None, Settings(), None)
    assert scores.tolist() == [4, 3 + 5, 0]  # c is predicted nowhere
    assert evidence.tolist() == pytest.approx([1 / 3, 2 / 3, 0])
    scores, evidence = SCORES['mmseg'](loaded, None, Settings(region='all'), None)
    assert scores.tolist() == [5, 9, 1]
    assert evidence.tolist() == pytest.approx(logits[0].softmax(0).mean((1, 2)).tolist())
    with pytest.raises(ValueError, match="'some'; choose one of predicted, all"):
        SCORES['mmseg'](loaded, None, Settings(region='some'), None)


class Found(nn.Module):
    """A detector whose detections are known."""

    def __init__(self, scores: list[float], labels: list[int]) -> None:
        super().__init__()
        self.layer = nn.Conv2d(3, 3, 1)
        self.scores, self.labels = torch.tensor(scores), torch.tensor(labels, dtype=torch.long)

    def predict(self, inputs: Tensor, data_samples: list, rescale: bool) -> list:
        assert not rescale
        scores = self.scores + 0 * self.layer(inputs).sum()
        return [SimpleNamespace(pred_instances=SimpleNamespace(scores=scores, labels=self.labels))]


def test_score_of_a_detector() -> None:
    model = Found([0.9, 0.5, 0.2, 0.1, 0.05], [0, 0, 0, 1, 1])
    loaded = LoadedModel('', 'mmdet', model, ('a', 'b', 'c'), None)
    scores, best = SCORES['mmdet'](loaded, sample(IMAGE), Settings(), IMAGE)
    # log(p / (1 - p)) of those from 0.3 on, else of the best
    assert scores.tolist() == pytest.approx([np.log(9) + 0, np.log(1 / 9), 0], abs=1e-6)
    assert best.tolist() == pytest.approx([0.9, 0.1, 0])


def test_a_class_that_is_not_there_has_no_map() -> None:
    for model in (Found([0.9], [0]), Found([], [])):
        loaded = corners('mmdet', model)
        layers = {'layer': model.layer}
        found = explain(loaded, sample(IMAGE), layers, Settings(category='right'))
        assert found.evidence == 0
        assert found.maps['layer'].shape == (16, 24) and not found.maps['layer'].any()


@cache
def loaded_tiny(scope: str) -> LoadedModel:
    cfg = tiny_config(TASKS[scope])
    cfg.merge_from_dict(
        {'model.data_preprocessor.pad_size_divisor': 32} if scope == 'mmdet' else {}
    )
    return LoadedModel.of(load_model(cfg, None, device='cpu'))


@pytest.fixture(scope='module')
def picture(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An image of odd size."""
    path = tmp_path_factory.mktemp('pictures') / 'picture.png'
    pixels = np.random.default_rng(0).integers(0, 255, (101, 131, 3), dtype=np.uint8)
    pixels[20:70, 30:90] = (20, 200, 240)
    cv2.imwrite(str(path), pixels)
    return path


# what the pipelines make of 101 x 131 pixels; the detector's is padded to 128 x 160 besides
@pytest.mark.parametrize(
    'scope, size', [('mmpretrain', (64, 64)), ('mmseg', (101, 131)), ('mmdet', (123, 160))]
)
@pytest.mark.parametrize('method', ['gradcam', 'eigencam'])
def test_models_of_the_three_tasks(
    scope: str, size: tuple[int, int], method: str, picture: Path
) -> None:
    loaded = loaded_tiny(scope)
    given = loaded.read(picture)
    assert given.picture.shape == (*size, 3) and given.picture.dtype == np.uint8
    (layers,) = choose_layers([loaded.model])
    assert list(layers) == [f'backbone.stages.{i}.1' for i in range(4)]
    found = explain(loaded, given, layers, Settings(method))
    assert 0 < found.evidence <= 1 and found.category in loaded.classes
    for heat in found.maps.values():
        assert heat.shape == size and np.isfinite(heat).all()
        assert heat.min() >= 0 and heat.max() <= 1
    assert max(heat.max() for heat in found.maps.values()) > 0.5
    assert not any(layer._forward_hooks for layer in layers.values())
    if scope == 'mmdet':
        assert loaded.model.roi_head.mask_head is not None  # put back


def test_a_backbone_that_cuts_the_padding_off_has_the_maps_of_the_picture(picture: Path) -> None:
    """The detector pads 123 x 160 to 128 x 160, which its backbone does not see."""
    cfg = tiny_config('detection')
    cfg.model.data_preprocessor.update(
        type='SizedDataPreprocessor', base='DetDataPreprocessor', pad_size_divisor=32
    )
    cfg.model.backbone.mask_padding = True
    loaded = LoadedModel.of(load_model(cfg, None, device='cpu'))
    given = loaded.read(picture)
    assert given.inputs.shape[2:] == (128, 160)
    (layers,) = choose_layers([loaded.model])
    seen = {}
    for name, layer in layers.items():
        layer.register_forward_hook(lambda _, __, y, name=name: seen.update({name: y}))
    found = explain(loaded, given, layers, Settings('eigencam'))
    eigencam = METHODS['eigencam'](nn.Conv2d(3, 3, 1), [])
    for name, heat in found.maps.items():
        tokens = eigencam.get_cam_image(*[None] * 3, seen[name].detach().numpy())
        expected = cv2.resize(tokens[0].clip(0), (160, 123))
        assert heat.shape == (123, 160)
        assert np.corrcoef(heat.ravel(), expected.ravel())[0, 1] > 0.9999
    by_gradients = explain(loaded, given, layers, Settings('gradcam')).maps
    assert all(np.isfinite(heat).all() for heat in by_gradients.values())


@pytest.mark.parametrize('others', [0, 1, 2])
def test_tokens_are_laid_out_as_the_map_that_they_are_of(others: int) -> None:
    expected = torch.arange(2 * 5 * 3 * 4.0).view(2, 5, 3, 4)
    tokens = expected.flatten(2).transpose(1, 2)
    tokens = torch.cat([torch.full((2, others, 5), -1.0), tokens], 1)
    assert torch.equal(tokens_as_map(tokens, (48, 65)), expected)  # patches of 16 x 16
    assert tokens_as_map(expected, (48, 65)) is expected
    with pytest.raises(ValueError, match='neither a map nor the tokens'):
        tokens_as_map(tokens[:, :9], (48, 65))


def test_a_class_token_in_the_middle_and_padded_edges() -> None:
    expected = torch.arange(2 * 5 * 3 * 5.0).view(2, 5, 3, 5)
    tokens = expected.flatten(2).transpose(1, 2)
    tokens = torch.cat([tokens[:, :7], torch.full((2, 1, 5), -1.0), tokens[:, 7:]], 1)
    assert torch.equal(tokens_as_map(tokens, (48, 65), in_middle=True, pads=True), expected)


@pytest.mark.parametrize(
    ('kind', 'options', 'layers'),
    [
        ('Vim', dict(out_type='cls_token'), ['layers.1.norm']),
        ('LocalVim', dict(out_type='avg_featmap'), ['layers.1.norm']),
        ('PlainMamba', {}, ['layers.1']),
        ('VMamba', {}, ['layers.0.blocks.0', 'layers.1.blocks.0', 'layers.2.blocks.1']),
    ],
)
def test_other_backbones_of_the_package(
    kind: str, options: dict, layers: list[str], picture: Path
) -> None:
    arch = dict(embed_dims=32, num_layers=2)
    if kind == 'PlainMamba':
        arch |= dict(num_convs=1, conv_layers=())
    if kind == 'VMamba':
        arch = dict(base_channels=4, depths=(1, 1, 2, 1), state_size=1, scan_ratio=1.0)
    cfg = tiny_config('classification')
    cfg.model.backbone = dict(type=kind, arch=arch, **options)
    cfg.model.head.in_channels = 32
    if kind in ('Vim', 'LocalVim'):
        cfg.model.neck = None
    loaded = LoadedModel.of(load_model(cfg, None, device='cpu'))
    (chosen,) = choose_layers([loaded.model])
    assert [name.removeprefix('backbone.') for name in chosen][:3] == layers
    sample = loaded.read(picture)
    for heat in explain(loaded, sample, chosen, Settings()).maps.values():
        assert heat.shape == sample.picture.shape[:2]
        assert np.isfinite(heat).all() and heat.max() > 0


def test_picture_is_the_image_in_rgb(picture: Path) -> None:
    read = cv2.imread(str(picture))[..., ::-1]
    assert np.array_equal(loaded_tiny('mmseg').read(picture).picture, read)


def test_frozen_layers_have_maps(picture: Path) -> None:
    cfg = tiny_config('classification')
    cfg.model.backbone.frozen_stages = 4
    loaded = LoadedModel.of(load_model(cfg, None, device='cpu'))
    free = loaded_tiny('mmpretrain')  # of the same random weights
    maps = []
    for model in (loaded, free):
        (layers,) = choose_layers([model.model])
        maps.append(explain(model, model.read(picture), layers, Settings('hirescam')).maps)
    assert not any(p.requires_grad for p in loaded.model.backbone.stages.parameters())
    for name, heat in maps[0].items():
        assert heat.max() > 0.99 and np.array_equal(heat, maps[1][name])


def test_layers_are_found_by_name() -> None:
    cls, seg = loaded_tiny('mmpretrain').model, loaded_tiny('mmseg').model
    both = choose_layers([cls, seg], ['backbone.stages.3.1', 'decode_head.bottleneck'])
    assert [list(layers) for layers in both] == [
        ['backbone.stages.3.1'],
        ['backbone.stages.3.1', 'decode_head.bottleneck'],
    ]
    assert both[1]['decode_head.bottleneck'] is seg.decode_head.bottleneck
    with pytest.raises(
        ValueError, match=r'no layer|no model has a layer backbone.stage.3.1; near '
    ):
        choose_layers([cls], ['backbone.stage.3.1'])
    with pytest.raises(ValueError, match='near it are .*backbone.stages.3.1'):
        choose_layers([cls], ['backbone.stage.3.1'])
    with pytest.raises(ValueError, match='model 1 has none of these layers'):
        choose_layers([cls, seg], ['decode_head.bottleneck'])
    with pytest.raises(ValueError, match='a model has no VMINet: name the layers'):
        choose_layers([Corners()])


@pytest.mark.parametrize(
    'layer, category, message',
    [
        ('unused', None, 'layer unused has no part in predicting'),
        ('flat', None, r'layer flat gives no map \(B, C, H, W\)'),
        ('layer', 'rigth', "unknown class 'rigth': give 0 to 1 or a name; .* are right"),
        ('layer', '2', "unknown class '2': give 0 to 1"),
    ],
)
def test_invalid_arguments(layer: str, category: str | None, message: str) -> None:
    loaded = corners()
    layers = {layer: getattr(loaded.model, layer)}
    with pytest.raises(ValueError, match=message):
        explain(loaded, sample(bright(0, 0, 0)), layers, Settings(category=category))
    with pytest.raises(ValueError, match="'cam'; choose one of gradcam"):
        explain(loaded, sample(bright(0, 0, 0)), layers, Settings('cam'))


def test_grid_has_a_column_for_each_layer_and_the_heat_in_its_place(tmp_path: Path) -> None:
    heat = np.zeros((16, 24), dtype=np.float32)
    heat[8:, :12] = 1
    cold = np.zeros((16, 24), dtype=np.float32)
    samples = [sample(torch.zeros(1))] * 2
    one = Explanation('left', 0.9, {'a': cold, 'b': heat})
    path = save_grid(
        tmp_path / 'new/grid.png',
        [Column('first', samples, [one] * 2), Column('second', samples, [one] * 2)],
    )
    picture = cv2.imread(str(path))[..., ::-1].astype(int)
    # the hottest color of turbo over gray; maps are columns 1 to 4, hot ones 2 and 4
    hot = (np.abs(picture - [125, 65, 65]).max(axis=2) < 6).astype(np.uint8)
    areas = cv2.connectedComponentsWithStats(hot)[2][1:]
    boxes = sorted(area[:4].tolist() for area in areas if area[4] > 500)
    assert len(boxes) == 4
    cell = picture.shape[1] / 5
    for (left, _, width, height), column in zip(boxes, (2, 2, 4, 4), strict=True):
        assert left == pytest.approx(column * cell, abs=0.05 * cell)
        assert width / height == pytest.approx(12 / 8, abs=0.05)
    assert np.diff(sorted(box[1] for box in boxes))[1] > 100  # two rows


def test_long_lines_are_cut_in_the_middle() -> None:
    assert shorten('c' * 38) == 'c' * 38
    line = 'Komodo dragon, Komodo lizard, Varanus komodoensis: 0.1%, nothing above 0'
    assert shorten(line) == 'Komodo drago...: 0.1%, nothing above 0' and len(shorten(line)) == 38


def test_tool(
    picture: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    out = tmp_path / 'cam.png'
    config, checkpoint = write_model(tmp_path, 'classification')
    images, model = [str(picture)] * 2, ['--model', config, checkpoint]
    command = [TOOL, *images, *model, '--device', 'cpu', '--out', str(out)]
    more = ['--method', 'layercam', '--target-category', 'cross', '--layers', 'backbone.stages.3.1']
    monkeypatch.setattr('sys.argv', [*command, *model, *more])
    runpy.run_path(TOOL, run_name='__main__')
    assert f'written: {out}' in capsys.readouterr().out
    assert cv2.imread(str(out)).shape[2] == 3
    for switches, message in [
        (['--layers', 'backbone.stages.3.2'], 'error: no model has a layer'),
        (['--target-category', 'house'], "error: unknown class 'house'"),
        (['--model', config, 'none.pth'], 'error: there is no checkpoint none.pth'),
    ]:
        monkeypatch.setattr('sys.argv', [*command, *switches])
        with pytest.raises(SystemExit, match=message):
            runpy.run_path(TOOL, run_name='__main__')
