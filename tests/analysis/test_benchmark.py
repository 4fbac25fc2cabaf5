"""The benchmark commands on tiny images: what is run, and what is written. No time is asserted."""

import json
import runpy
from pathlib import Path

import cv2
import pytest
import torch
from tiny_configs import tiny_config

from vminet_mm.analysis import benchmark, downstream
from vminet_mm.analysis.benchmark import Case, Settings, machine, run_benchmark
from vminet_mm.analysis.made_targets import add_target
from vminet_mm.analysis.model_zoo import parse_spec
from vminet_mm.tasks import DETECTION

ROOT = Path(__file__).parents[2]
SIZE = (64, 96)
QUICK = ['--rounds', '2', '--seconds', '0', '--device', 'cpu', '--threads', '1']
DETECTOR = ROOT / 'configs/mask_rcnn/mask-rcnn_vminet-ti_fpn_mini.py'
SEGMENTOR = ROOT / 'configs/upernet/upernet_vminet-ti_mini.py'


def run_tool(monkeypatch: pytest.MonkeyPatch, name: str, *arguments: object) -> None:
    tool = str(ROOT / f'tools/analysis_tools/{name}.py')
    monkeypatch.setattr('sys.argv', [tool, *map(str, arguments)])
    runpy.run_path(tool, run_name='__main__')


def make_case(text: str, mode: str, layout: str = 'contiguous', **settings: object) -> Case:
    return Case(parse_spec(text), mode, SIZE, layout, Settings(batch=2, **settings))


def test_inference_leaves_the_model_alone() -> None:
    case = make_case('vminet-ti', 'infer')
    before = {name: value.clone() for name, value in case.model.state_dict().items()}
    case()
    assert not case.model.training
    assert all(torch.equal(value, before[name]) for name, value in case.model.state_dict().items())
    assert all(parameter.grad is None for parameter in case.model.parameters())


@pytest.mark.parametrize('text', ['vminet-ti', 'reference-ti', 'resnet18'])
def test_training_step_moves_every_parameter(text: str) -> None:
    case = make_case(text, 'train')
    before = [parameter.clone() for parameter in case.model.parameters()]
    case()
    assert case.model.training
    for old, new in zip(before, case.model.parameters(), strict=True):
        assert new.grad is not None and torch.isfinite(new).all()
        torch.testing.assert_close(new, old - 1e-4 * new.grad)


def test_memory_format_and_number_format() -> None:
    case = make_case('vminet-ti', 'infer', 'channels_last', dtype='bf16')
    assert case.images.is_contiguous(memory_format=torch.channels_last)
    weight = case.model.backbone.stem[0].conv.weight
    assert weight.is_contiguous(memory_format=torch.channels_last)
    assert weight.dtype == case.images.dtype == torch.bfloat16


def test_autocast_keeps_the_weights() -> None:
    case = make_case('vminet-ti', 'train', dtype='bf16', amp=True)
    seen = []
    case.model.register_forward_hook(lambda module, args, output: seen.append(output.dtype))
    case()
    assert seen == [torch.bfloat16]
    assert {parameter.dtype for parameter in case.model.parameters()} == {torch.float32}


def test_memory_starts_without_gradients(monkeypatch: pytest.MonkeyPatch) -> None:
    case, gradients = make_case('vminet-ti', 'train'), []

    def note(forward: object, model: torch.nn.Module) -> int:
        gradients.extend(p.grad for p in model.parameters() if p.grad is not None)
        return 0

    monkeypatch.setattr('vminet_mm.analysis.benchmark.saved_bytes', note)
    assert case.memory() == 0 and gradients == []


def test_memory_of_training_is_what_is_kept() -> None:
    reference = make_case('reference-ti', 'train').memory()
    ours = make_case('vminet-ti', 'train').memory()
    # at least Q and K of the two blocks of the first stage, (2, 48, 16, 24)
    assert 2 * 2 * 4 * 2 * 48 * 16 * 24 < ours < reference


def test_compile_is_asked_for_static_shapes(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []
    monkeypatch.setattr(torch, 'compile', lambda model, **how: asked.append(how) or model)
    make_case('vminet-ti', 'infer', compile='max-autotune')
    assert asked == [dict(mode='max-autotune', dynamic=False)]


def test_best_is_the_faster_format(monkeypatch: pytest.MonkeyPatch) -> None:
    """The made-up times are those of preparing, then those of the rounds."""
    answers = iter([[[2.0, 9.0, 2.0], [3.0, 1.0, 1.0]], [[1.0, 1.0]]])
    monkeypatch.setattr(benchmark, 'time_in_turn', lambda *args: next(answers))
    settings = Settings(batch=1, sizes=(SIZE,), rounds=2)
    (measured,) = run_benchmark([parse_spec('vminet-ti')], settings).rows
    assert measured.memory_format == 'channels_last' and measured.seconds == [1.0, 1.0]


def test_machine_is_left_as_it_was() -> None:
    before = torch.get_num_threads(), torch.backends.cudnn.benchmark
    with pytest.raises(KeyError), machine(Settings(threads=before[0] + 1, compile='default')):
        assert torch.get_num_threads() == before[0] + 1
        assert torch._dynamo.config.cache_size_limit == 1000
        raise KeyError
    assert (torch.get_num_threads(), torch.backends.cudnn.benchmark) == before
    assert torch._dynamo.config.cache_size_limit < 1000


@pytest.mark.parametrize(
    ('options', 'message'),
    [
        (dict(batch=0), 'positive'),
        (dict(rounds=0), 'positive'),
        (dict(sizes=((64, -1),)), 'positive'),
        (dict(min_seconds=-1), 'positive'),
        (dict(amp=True), 'fp16 or bf16'),
        (dict(device='meta', cpu_time=True), 'cpu_time is what the device cpu'),
    ],
)
def test_settings_out_of_range(options: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Settings(**options)


def test_tool(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture, tmp_path: Path
) -> None:
    models = ['vminet-ti:deploy', 'vminet-ti', 'reference-ti', 'vminet-ti']
    outputs = ['--json', tmp_path / 'new/a.json', '--plot', tmp_path / 'a.png']
    switches = ['--size', 64, 96, '--batch', 2, '--mode', 'both', '--memory-format', 'contiguous']
    run_tool(monkeypatch, 'benchmark', *models, *switches, *outputs, *QUICK)
    out = capsys.readouterr().out
    data = json.loads((tmp_path / 'new/a.json').read_text())
    rows = [(measured['model'], measured['mode']) for measured in data['rows']]
    assert rows == [
        ('vminet-ti:deploy', 'infer'),
        ('vminet-ti', 'infer'),
        ('reference-ti', 'infer'),
        ('vminet-ti', 'train'),
        ('reference-ti', 'train'),
    ]
    for measured in data['rows']:
        assert len(measured['seconds']) == 2 and min(measured['seconds']) > 0
        assert measured['memory_bytes'] > 0 and measured['size'] == [64, 96]
        assert measured['top1'] == [70.7, 'arXiv 2501.02040']
        assert f'{measured["milliseconds"]:.2f}' in out
    folded, plain, reference = (measured['params'] for measured in data['rows'][:3])
    # the reference has weights for the tokens of this size: 16 x 24 instead of 56 x 56, and so on
    fewer = 2 * (56**2 - 384) + 2 * (28**2 - 96) + 18 * (14**2 - 24) + 2 * (7**2 - 6)
    assert folded < plain == reference + fewer
    assert data['settings']['baseline'] == 'reference-ti' and data['exponents'] == []
    assert cv2.imread(str(tmp_path / 'a.png')).shape[:2] == (1185, 900)


def test_tool_on_several_sizes(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture, tmp_path: Path
) -> None:
    switches = ['--sizes', 64, 96, 128, '--baseline', 'resnet18', '--format', 'md', '--cpu-time']
    outputs = ['--json', tmp_path / 'a.json', '--plot', tmp_path / 'a.png']
    run_tool(monkeypatch, 'benchmark', 'resnet18', *switches, *outputs, *QUICK)
    data = json.loads((tmp_path / 'a.json').read_text())
    assert [measured['size'] for measured in data['rows']] == [[64, 64], [96, 96], [128, 128]]
    assert {measured['batch'] for measured in data['rows']} == {1}
    (growth,) = data['exponents']
    assert growth['model'] == 'resnet18' and growth['memory'] > 0
    largest = data['rows'][2]['milliseconds']
    assert growth['per_megapixel'] == pytest.approx(largest / 128**2 * 1e6)
    assert data['settings']['cpu_time']
    assert '- resnet18, infer: time grows as pixels^' in capsys.readouterr().out
    assert cv2.imread(str(tmp_path / 'a.png')).shape[:2] == (615, 1800)


@pytest.mark.parametrize(
    ('arguments', 'message'),
    [
        (['vminet-l'], "'l' is not an arch of vminet"),
        (['vminet-ti', '--size', '1', '2', '3'], '--size takes one or two numbers'),
        (['vminet-ti', '--baseline', 'starnet_s4'], "the baseline 'starnet_s4' is none of"),
        (['vminet-ti:deploy', '--mode', 'train'], 'leave out deploy'),
        (['vminet-ti', '--rounds', '0'], 'positive'),
        (['vminet-ti:mask=round'], 'mask must be'),
        (['vminet-ti', '--device', 'cuda:7'], 'there is no cuda:7'),
    ],
)
def test_tool_says_what_is_wrong(
    arguments: list[str], message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cuda, 'is_available', lambda: False)
    with pytest.raises(SystemExit, match=f'^error: .*{message}'):
        run_tool(monkeypatch, 'benchmark', *arguments)


def test_downstream_tool(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    switches = ['--size', 64, 96, '--batch', 2, '--deploy', '--json', tmp_path / 'a.json']
    options = ['--cfg-options', 'model.test_cfg.rcnn.score_thr=0']
    run_tool(monkeypatch, 'benchmark_downstream', DETECTOR, SEGMENTOR, *switches, *QUICK, *options)
    data = json.loads((tmp_path / 'a.json').read_text())
    rows = {measured['model']: measured for measured in data['rows']}
    names = [DETECTOR.stem, SEGMENTOR.stem]
    assert list(rows) == [f'{name}{folded}' for name in names for folded in ('', ':deploy')]
    assert all(measured['images_per_second'] > 0 for measured in data['rows'])
    for name in names:
        assert rows[f'{name}:deploy']['params'] < rows[name]['params']
    # as many objects as the config allows, all of which go through the mask head
    assert rows[names[0]]['detections'] == 2 * 20 and rows[names[1]]['detections'] is None
    assert data['settings']['baseline'] == names[0]


def test_downstream_tool_trains(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    switches = ['--mode', 'train', '--size', 64, 96, '--batch', 2, '--json', tmp_path / 'a.json']
    run_tool(monkeypatch, 'benchmark_downstream', DETECTOR, SEGMENTOR, *switches, *QUICK)
    rows = json.loads((tmp_path / 'a.json').read_text())['rows']
    assert [(row['model'], row['mode']) for row in rows] == [
        (path.stem, 'train') for path in (DETECTOR, SEGMENTOR)
    ]
    assert all(row['images_per_second'] > 0 and row['memory_bytes'] > 0 for row in rows)
    assert [row['detections'] for row in rows] == [None, None]
    assert not any(row['kept'] for row in rows)  # but the peak


@pytest.mark.parametrize('task', ['detection', 'segmentation', 'classification'])
def test_a_training_step_of_a_whole_model(task: str) -> None:
    trainer = downstream.Trainer(tiny_config(task), Settings(batch=2, sizes=((64, 96),)))
    weights = [parameter.clone() for parameter in trainer.model.backbone.parameters()]
    losses = trainer()
    assert losses and all(bool(value.isfinite()) for value in losses.values())
    after = trainer.model.backbone.parameters()
    assert not all(torch.equal(*pair) for pair in zip(weights, after, strict=True))


def test_made_up_objects_lie_within_the_image() -> None:
    sample = DETECTION.make_sample()
    add_target(DETECTION, sample, (40, 64), 3)
    objects = sample.gt_instances
    left, top, right, bottom = objects.bboxes.unbind(1)
    assert left.min() >= 0 and top.min() >= 0 and right.max() <= 64 and bottom.max() <= 40
    widths, heights = right - left, bottom - top
    assert len(objects) == 8 and widths.min() >= 16 and widths.max() <= 32 and heights.min() >= 10
    assert objects.masks.areas.tolist() == (widths * heights).tolist()


@pytest.mark.parametrize(
    ('arguments', 'message'),
    [
        (['no_such_config.py'], 'there is no config'),
        ([SEGMENTOR, '--dtype', 'bf16'], 'bf16 of a whole model needs amp'),
        ([SEGMENTOR, '--baseline', 'x', '--size', 32, 32], "the baseline 'x' is none of"),
        ([SEGMENTOR, '--cfg-options', 'default_scope=mmocr'], 'default_scope'),
    ],
)
def test_downstream_tool_says_what_is_wrong(
    arguments: list, message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(SystemExit, match=f'^error: .*{message}'):
        run_tool(monkeypatch, 'benchmark_downstream', *arguments)


def test_a_classifier_is_normalized_as_its_config_says() -> None:
    """Its data preprocessor stands beside the model in the config."""
    cfg = tiny_config('classification')
    assert 'data_preprocessor' not in cfg.model
    settings = Settings(device='cpu', batch=2, sizes=((32, 64),))
    predictor = downstream.Predictor(cfg, settings)
    preprocessor = predictor.model.data_preprocessor
    assert preprocessor.mean.flatten().tolist() == pytest.approx(cfg.data_preprocessor.mean)
    assert preprocessor.to_rgb == cfg.data_preprocessor.to_rgb
    assert len(predictor()) == 2
