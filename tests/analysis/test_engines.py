"""What runs a model in a benchmark computes what torch does, or says what is missing."""

import sys

import pytest
import torch

from vminet_mm.analysis import engines
from vminet_mm.analysis.benchmark import Settings, run_benchmark
from vminet_mm.analysis.benchmark_report import to_table
from vminet_mm.analysis.model_zoo import Classifier, fold, parse_spec
from vminet_mm.errors import ConfigError
from vminet_mm.models import VMINet

SIZE = (64, 96)
QUICK = dict(batch=2, sizes=(SIZE,), rounds=1, min_seconds=0.0)


def test_onnxruntime_computes_the_same() -> None:
    # one block has more tokens than channels, the other fewer
    arch = dict(base_channels=4, expansion=2, depths=(1, 0, 0, 1))
    model = Classifier(VMINet(arch=arch, img_size=SIZE), channels=32).eval()
    model = fold(parse_spec('vminet-ti:deploy'), model)
    images = torch.randn(2, 3, *SIZE)
    with torch.no_grad():
        expected = model(images)
    found = engines.start('ort', model, images, threads=1)(images)
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-5 * float(expected.abs().max()))


def test_engines_in_one_run() -> None:
    specs = [parse_spec(text) for text in ('resnet18', 'resnet18:engine=ort')]
    report = run_benchmark(specs, Settings(modes=('infer', 'train'), **QUICK))
    rows = [(row.model, row.mode, row.memory_bytes is None) for row in report.rows]
    assert rows == [
        ('resnet18', 'infer', False),
        ('resnet18:engine=ort', 'infer', True),
        ('resnet18', 'train', False),
    ]
    (line,) = (one for one in to_table(report).splitlines() if one.startswith('resnet18:engine'))
    assert line.split()[-1] == '-'


def test_compile_is_an_engine(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []
    monkeypatch.setattr(torch, 'compile', lambda model, **how: asked.append(how) or model)
    texts = ('resnet18:engine=compile', 'resnet18:engine=torch', 'resnet18')
    run_benchmark(
        [parse_spec(text) for text in texts], Settings(memory_format='contiguous', **QUICK)
    )
    assert asked == [dict(mode='default', dynamic=False)]
    asked.clear()
    settings = Settings(memory_format='contiguous', compile='max-autotune', **QUICK)
    run_benchmark([parse_spec(text) for text in texts], settings)
    assert [how['mode'] for how in asked] == ['max-autotune', 'max-autotune']


def test_what_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ValueError, match="'tvm' is not an engine; choose one of compile, openvino"):
        parse_spec('resnet18:engine=tvm')
    spec = parse_spec('resnet18:engine=ort')
    with pytest.raises(ValueError, match='is timed on the device cpu in fp32 only'):
        run_benchmark([spec], Settings(dtype='bf16', **QUICK))
    with pytest.raises(ValueError, match='inference'):
        run_benchmark([spec], Settings(modes=('train',), **QUICK))
    monkeypatch.setitem(sys.modules, 'openvino', None)
    monkeypatch.setattr(engines, 'find_spec', lambda name: None if name == 'openvino' else 'there')
    with pytest.raises(ConfigError, match='openvino: pip install'):
        engines.require_engine('openvino')


def test_what_onnx_lacks() -> None:
    class Bessel(torch.nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return torch.special.bessel_j0(x)

    with pytest.raises(ConfigError, match='a Bessel cannot be written as ONNX'):
        engines.onnx_bytes(Bessel().eval(), torch.randn(1, 3, 8, 8))
