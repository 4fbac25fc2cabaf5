"""Inductor's count against sums by hand."""

import json
import runpy
from pathlib import Path

import pytest
import torch
from torch import nn

from vminet_mm.analysis.model_zoo import parse_spec
from vminet_mm.analysis.traffic import Traffic
from vminet_mm.analysis.traffic_compiled import count_compiled, schedule, to_compiled_table

TOOL = Path(__file__).parents[2] / 'tools/analysis_tools/traffic.py'
SPEC = 'vminet-ti:impl=triton,deploy,img_size=64'
# of a folded block of 96 channels: the convolution's weights, the others, and what is per image
WEIGHTS = 2 * (49 * 96 + 3 * 192 * 96 + 2 * 192 + 96 + 192 * 16) + 2 * 4 * 32 * 192


def test_fused_by_hand() -> None:
    x = torch.randn(3, 5)
    model = nn.Sequential(nn.ReLU(), nn.Tanh())  # one kernel: read and written once
    assert schedule(model, x) == Traffic(4 * 30, 1)
    assert torch.equal(model(x), x.relu().tanh())


def test_folded_block() -> None:
    """Convolution 2 P, W1|W2 5, attention 6, W3 3, residual 3, see ops/README."""
    model = count_compiled(parse_spec(SPEC), 32, (64, 64))
    block = model.blocks[2]
    assert block.shape == (32, 96, 4, 4) and block.times == 18
    assert 19 * block.unit < block.passes.infer.bytes <= 19 * block.unit + WEIGHTS
    assert block.passes.infer.launches == 5
    table = to_compiled_table([model])
    assert '18 x (32, 96, 4, 4)' in table and 'mean' in table


def test_tool_in_channels_last(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    """As in eager mode: the convolution 2 P, U to Q and K 5, and 6 more to the output."""
    path = tmp_path / 'new/counts.json'
    switches = ['--batch', '32', '--size', '64', '64', '--json', str(path), '--compile']
    words = [SPEC, *switches, '--memory-format', 'channels_last']
    monkeypatch.setattr('sys.argv', [str(TOOL), *words])
    runpy.run_path(str(TOOL), run_name='__main__')
    (model,) = json.loads(path.read_text())
    block = model['blocks'][2]
    assert (block['shape'], block['times']) == ([32, 96, 4, 4], 18)
    infer, unit = block['passes']['infer'], block['unit']
    assert 13 * unit < infer['bytes'] <= 13 * unit + WEIGHTS
    assert infer['launches'] == 3
    printed = capsys.readouterr().out
    assert f'{SPEC}, compiled, inference' in printed and f'written: {path}' in printed
