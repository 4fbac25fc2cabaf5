"""Exported files against mm's own way to predict, at any size, and what cannot be exported."""

import json
import runpy
import sys
from copy import deepcopy
from pathlib import Path

import onnx
import onnxruntime
import pytest
import torch
from exporting import MODELS as EXPORTED
from exporting import Exported, tiny_config, trained
from mmengine.config import Config
from mmengine.registry import MODELS, DefaultScope
from torch import Tensor, nn

from vminet_mm.errors import ConfigError
from vminet_mm.export import export, exportable, make_outputs, require_small, trace
from vminet_mm.export.outputs import AdaptiveAverage, ClassifierOutputs
from vminet_mm.inference import load_model
from vminet_mm.models import VMISABlock
from vminet_mm.models.serving import ServedAttention

pytestmark = pytest.mark.slow

TOOL = str(Path(__file__).parents[2] / 'tools/deployment/export_onnx.py')
SIZES = [(1, 3, 64, 80), (2, 3, 33, 97), (3, 3, 32, 32), (1, 3, 1, 50), (2, 3, 130, 64)]


def predicted(exported: Exported, image: Tensor) -> list[Tensor]:
    """What the model that was exported predicts, by mm's own functions."""
    model = load_model(exported.cfg, exported.checkpoint, 'cpu').model
    with torch.no_grad():
        if exported.name == 'classifier':
            logits = model.head.fc(model.extract_feat(image)[-1])
            scores = [sample.pred_score for sample in model.predict(image)]
            return [logits, torch.stack(scores)]
        if exported.name == 'segmentor':
            samples = model.predict(image)
            return [
                torch.stack([sample.seg_logits.data for sample in samples]),
                torch.stack([sample.pred_sem_seg.data[0] for sample in samples]),
            ]
        return list(model.extract_feat(image))


def test_is_verified(exported: Exported) -> None:
    differences = exported.done.differences
    sizes = [(1, 3, 64, 80), (2, 3, 49, 61), (3, 3, 64, 60)]
    assert [row.images for row in differences if row.output == exported.done.outputs[0]] == sizes
    assert len(differences) == 3 * len(exported.done.outputs)
    for row in differences:
        assert 0 <= row.relative < 1e-5 and row.largest > 0.1
    require_small(differences)
    assert str(differences[0].images[-1]) in str(exported.done)


@pytest.mark.parametrize('shape', SIZES, ids=str)
def test_as_mm_predicts(exported: Exported, shape: tuple[int, ...]) -> None:
    image = torch.randn(shape)
    session = onnxruntime.InferenceSession(exported.done.path)
    outputs = session.run(None, dict(image=image.numpy()))
    for actual, expected in zip(outputs, predicted(exported, image), strict=True):
        assert actual.dtype == expected.numpy().dtype
        tolerance = 1e-5 * expected.abs().max()
        torch.testing.assert_close(torch.from_numpy(actual), expected, rtol=0, atol=tolerance)


def test_file(exported: Exported) -> None:
    model = onnx.load(exported.done.path)
    onnx.checker.check_model(model, full_check=True)
    (image,) = model.graph.input
    sizes = [d.dim_param or d.dim_value for d in image.type.tensor_type.shape.dim]
    assert (image.name, sizes) == ('image', ['batch', 3, 'height', 'width'])
    assert [output.name for output in model.graph.output] == list(exported.done.outputs)
    assert model.opset_import[0].version == 20
    names = {node.op_type for node in model.graph.node}
    assert 'Conv' in names and not names & {'AdaptiveAveragePool', 'If', 'Loop'}
    assert [p.name for p in exported.done.path.parent.glob('*.data')] == []


def test_names(exports: dict[str, Exported]) -> None:
    assert {name: exports[name].done.outputs for name in EXPORTED} == dict(
        classifier=('logits', 'probabilities'),
        segmentor=('logits', 'classes'),
        fpn=('stride4', 'stride8', 'stride16', 'stride32'),
        detector=('boxes', 'scores', 'labels', 'image_index', 'masks'),
        sfp=('stride8', 'stride32', 'stride64'),
    )


def test_tool_and_pt2(
    exports: dict[str, Exported],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture,
) -> None:
    item = exports['classifier']
    item.cfg.dump(tmp_path / 'tiny.py')
    out = tmp_path / 'new/model.pt2'
    args = [str(tmp_path / 'tiny.py'), item.checkpoint, '--format', 'pt2', '--out', str(out)]
    args += ['--shape', '64', '80', '--verify', '--outputs', 'probabilities']
    monkeypatch.setattr(sys, 'argv', ['export_onnx.py', *args])
    runpy.run_path(TOOL, run_name='__main__')
    printed = capsys.readouterr().out
    assert f'{out}: classification, outputs probabilities, ' in printed
    assert printed.count('  probabilities  ') == 3 and '2 x 3 x 49 x 61 ' in printed

    extra = {'metadata.json': ''}
    module = torch.export.load(out, extra_files=extra).module()
    assert json.loads(extra['metadata.json'])['config'] == 'tiny.py'
    image = torch.randn(4, 3, 33, 40)
    torch.testing.assert_close(module(image)[0], predicted(item, image)[1], rtol=1e-5, atol=1e-6)
    image = torch.randn(5, 3, 512, 512)  # more numbers than training keeps, see ops/project.py
    torch.testing.assert_close(module(image)[0], predicted(item, image)[1], rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize('name', ['classifier', 'segmentor', 'detector'])
def test_one_size(name: str, exports: dict[str, Exported], tmp_path: Path) -> None:
    """The same results from fewer operators."""
    item = exports[name]
    size = (64, 64)  # the native one
    done = export(item.cfg, item.checkpoint, tmp_path / 'fixed.onnx', size=size, check=True,
                  is_fixed=True)  # fmt: skip
    require_small(done.differences)
    assert {row.images for row in done.differences} == {(1, 3, *size), (2, 3, *size)}
    model, open_model = onnx.load(done.path), onnx.load(item.done.path)
    edges = model.graph.input[0].type.tensor_type.shape.dim[2:]
    assert name == 'detector' or [edge.dim_value for edge in edges] == list(size)
    assert len(model.graph.node) < 0.8 * len(open_model.graph.node)


def test_one_size_of_pictures(exports: dict[str, Exported], tmp_path: Path) -> None:
    item = exports['classifier']
    switches = dict(out=tmp_path / 'x.onnx', takes_uint8=True, is_fixed=True)
    cfg = deepcopy(item.cfg)
    with pytest.raises(ConfigError, match='--fixed-size with --simplify-input'):
        export(cfg, item.checkpoint, size=(96, 96), **switches)
    pipeline = cfg.test_dataloader.dataset.pipeline
    pipeline[1:1] = [dict(type='ResizeEdge', scale=72), dict(type='CenterCrop', crop_size=64)]
    done = export(cfg, item.checkpoint, size=(64, 64), **switches)
    session = onnxruntime.InferenceSession(done.path)
    pictures = torch.randint(256, (2, 90, 111, 3), dtype=torch.uint8).numpy()
    logits, _ = session.run(None, dict(image=pictures))
    assert logits.shape == (2, 5)
    cfg.model.data_preprocessor = cfg.data_preprocessor | dict(pad_size_divisor=32)
    with pytest.raises(ConfigError, match='multiples of 32'):
        export(cfg, item.checkpoint, size=(65, 64), is_fixed=True)


def test_the_model_is_left_as_it_is(exports: dict[str, Exported]) -> None:
    item = exports['segmentor']
    outputs = make_outputs('segmentation', load_model(item.cfg, item.checkpoint, 'cpu').model)
    before = {name: id(module) for name, module in outputs.named_modules()}
    copy = exportable(outputs)
    assert {name: id(module) for name, module in outputs.named_modules()} == before
    assert (
        outputs.model.backbone.channels_last is True and copy.model.backbone.channels_last is False
    )
    assert not hasattr(copy.model, 'auxiliary_head')
    pools = [m.cells for m in copy.modules() if isinstance(m, AdaptiveAverage)]
    assert pools == [(2, 2), (3, 3), (6, 6)]
    block = next(m for m in copy.modules() if isinstance(m, VMISABlock))
    assert isinstance(block.attn, ServedAttention)
    assert len(block.dwconv) == 1


@pytest.mark.parametrize('size', [(1, 1), (5, 7), (6, 6), (13, 2), (31, 60)], ids=str)
@pytest.mark.parametrize('cells', [1, 3, 6, (2, 5)], ids=str)
def test_adaptive_average(cells: int | tuple[int, int], size: tuple[int, int]) -> None:
    x = torch.randn(2, 3, *size)
    expected = nn.AdaptiveAvgPool2d(cells)(x)
    torch.testing.assert_close(AdaptiveAverage(cells)(x), expected, rtol=1e-5, atol=1e-5)


def test_wrong_switches(exports: dict[str, Exported]) -> None:
    item, fpn = exports['classifier'], exports['fpn']
    reasons = [
        (item, dict(out='x.pt2'), r'--out x.pt2: a file of this format ends with \.onnx'),
        (item, dict(names=['classes']), "'classes'; choose among logits, probabilities"),
        (fpn, dict(names=['stride5']), "no output 'stride5'; choose among stride4, stride8, str"),
        (fpn, dict(names=['mask']), "no output 'mask'; choose among boxes, scores, labels, image"),
        (item, dict(pasted=True), '--paste is for detectors with masks'),
        (fpn, dict(kind='pt2', pasted=True), '--paste and --simplify-input are for --format onnx'),
        (fpn, dict(takes_uint8=True, check=True), 'leave out --paste and --simplify-input'),
        (item, dict(size=(63, 64)), r'--shape takes numbers from 64, not \(63, 64\)'),
        (item, dict(opset=17), '--opset must be in 18..23'),
    ]
    for given, switches, reason in reasons:
        with pytest.raises(ConfigError, match=reason):
            export(given.cfg, given.checkpoint, **switches)
    with pytest.raises(ConfigError, match='does not fit'):
        export(item.cfg, fpn.checkpoint)


def test_small_images_by_the_strides(tmp_path: Path) -> None:
    cfg = tiny_config('classifier', img_size=32, stem_stride=1, strides=(1, 2, 2, 2))
    checkpoint = trained(cfg, tmp_path / 'small.pth')
    with pytest.raises(ConfigError, match='--shape takes numbers from 16, not '):
        export(cfg, checkpoint, size=(15, 32))
    done = export(cfg, checkpoint, kind='pt2', size=(32, 32), check=True)
    require_small(done.differences)
    program = torch.export.load(done.path).module()
    assert program(torch.randn(3, 3, 9, 32))[0].shape == (3, 5)


def test_missing_packages(exports: dict[str, Exported], monkeypatch: pytest.MonkeyPatch) -> None:
    item = exports['classifier']
    for package in ('onnxscript', 'onnxruntime'):
        monkeypatch.setattr(
            'vminet_mm.export.program.find_spec', lambda name, gone=package: name != gone or None
        )
        with pytest.raises(ConfigError, match=f'pip install {package}'):
            export(item.cfg, item.checkpoint, out='x.onnx', check=True)


def test_what_cannot_be_exported(exports: dict[str, Exported]) -> None:
    headless = _build(tiny_config('classifier'))
    headless.head = torch.nn.Identity()
    with pytest.raises(ConfigError, match='a score for each class'):
        make_outputs('classification', headless)

    class Impatient(ClassifierOutputs):
        def compute(self, image: Tensor) -> dict[str, Tensor]:
            if image.sum() > 0:
                image = image * 2
            return super().compute(image)

    with pytest.raises(ConfigError, match='ImageClassifier .*open sizes'):
        trace(Impatient(_build(exports['classifier'].cfg)), (64, 64))


def test_one_class_has_no_class_map() -> None:
    cfg = tiny_config('segmentor')
    for head in (cfg.model.decode_head, cfg.model.auxiliary_head):
        head.update(num_classes=2, out_channels=1, threshold=0.3)
        head.loss_decode = dict(type='CrossEntropyLoss', use_sigmoid=True)
    model = _build(cfg)
    assert make_outputs('segmentation', model).names == ('logits',)
    with pytest.raises(ConfigError, match="'classes'; choose among logits"):
        make_outputs('segmentation', model, ['classes'])


def _build(cfg: Config) -> nn.Module:
    with DefaultScope.overwrite_default_scope(cfg.default_scope):
        return MODELS.build(cfg.model).eval()
