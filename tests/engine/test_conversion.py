"""Converted checkpoints: the same logits in the mmpretrain model of the config that is named."""

import re
import runpy
import sys
from collections.abc import Callable
from pathlib import Path

import mmpretrain.models  # noqa: F401  registers
import pytest
import torch
from checkpoint_files import OPTIONS, TINY, assert_loaded, load, ours, prefixed, published, trained
from mmengine.config import Config
from mmengine.registry import DefaultScope
from mmengine.runner import load_checkpoint

from vminet_mm.checkpoints import read_checkpoint
from vminet_mm.checkpoints.formats import matching_config
from vminet_mm.engine import load_config
from vminet_mm.engine.conversion import convert
from vminet_mm.errors import CheckpointError, CheckpointMismatchError

ROOT = Path(__file__).parents[2]
CONFIGS = sorted(
    path.relative_to(ROOT).as_posix()
    for path in ROOT.glob('configs/cls/*_in1k.py')
    if '-authors_' not in path.name  # another schedule of a model that is there
)


def build(model: dict) -> torch.nn.Module:
    from mmpretrain.registry import MODELS

    with DefaultScope.overwrite_default_scope('mmpretrain'):
        return MODELS.build(model).eval()


def logits_of(model: torch.nn.Module, x: torch.Tensor) -> torch.Tensor:
    with torch.no_grad():
        return model.head(model.extract_feat(x))


@pytest.mark.parametrize('release', OPTIONS)
def test_full_size(release: str, write: Callable, tmp_path: Path) -> None:
    source = trained(release, 'xs')
    done = convert(write(dict(state_dict=source.state_dict())), tmp_path / 'new/folder/mm.pth')
    assert done.config == matching_config(done.options)
    assert f'\nconfig: {done.config}' in str(done)
    assert ('not named in the source' in str(done)) == (release == 'second')
    model = build(load_config(ROOT / done.config).model)
    load_checkpoint(model, str(done.dst), strict=True)  # as tools/test.py, and strictly
    x = torch.randn(2, 3, 224, 224)
    with torch.no_grad():
        expected = source(x)
    assert expected.std() > 0.1
    torch.testing.assert_close(
        logits_of(model, x), expected, rtol=1e-5, atol=1e-5 * expected.abs().max()
    )


@pytest.mark.parametrize('arch', ['ti', 's'])
def test_other_archs_fit_their_configs(arch: str, write: Callable, tmp_path: Path) -> None:
    done = convert(write(trained('second', arch).state_dict()), tmp_path / 'mm.pth')
    assert done.config == f'configs/cls/vminet-{arch}_3xb128-300e_in1k.py'
    load_checkpoint(build(load_config(ROOT / done.config).model), str(done.dst), strict=True)
    assert done.options == dict(arch=arch, proj_bn=False, attention='vmi_sa', img_size=(224, 224))


@pytest.mark.parametrize('path', CONFIGS)
def test_every_config_is_found_by_its_options(path: str) -> None:
    backbone = load_config(ROOT / path).model.backbone
    options = dict(proj_bn=False, attention='vmi_sa', mask='tril') | backbone
    assert matching_config(options) == path


def test_other_kernels_have_no_config(write: Callable, tmp_path: Path) -> None:
    state = prefixed('backbone.', ours(kernel_size=3))
    head = {'head.fc.weight': torch.randn(7, 32), 'head.fc.bias': torch.randn(7)}
    done = convert(write(dict(state_dict=state | head)), tmp_path / 'mm.pth')
    assert done.config is None and done.options['kernel_size'] == 3
    options = dict(arch='ti', proj_bn=False, attention='vmi_sa', mask='tril')
    assert matching_config(dict(options, kernel_size=7)) == matching_config(options) is not None
    assert matching_config(dict(options, kernel_size=3)) is None


@pytest.mark.parametrize('ema', [False, True])
@pytest.mark.parametrize('release', OPTIONS)
def test_tiny(release: str, ema: bool, write: Callable, tmp_path: Path) -> None:
    source = trained(release, TINY, seed=1, img_size=32, num_classes=5).double()
    wanted, other = published(release, seed=1), published(release, seed=2)
    state, averaged = (other, wanted) if ema else (wanted, other)
    path = write(dict(state_dict=prefixed('module.', state), state_dict_ema=averaged))
    done = convert(path, tmp_path / 'mm.pth', ema=ema)
    model = build(
        dict(
            type='ImageClassifier',
            backbone=dict(type='VMINet', arch=TINY, img_size=32, **OPTIONS[release]),
            neck=dict(type='GlobalAveragePooling'),
            head=dict(type='LinearClsHead', num_classes=5, in_channels=32),
        )
    )
    load_checkpoint(model, str(done.dst), strict=True)
    x = torch.randn(2, 3, 32, 32, dtype=torch.double)
    with torch.no_grad():
        torch.testing.assert_close(logits_of(model.double(), x), source(x), rtol=1e-9, atol=1e-9)
    assert done.config is None and done.num_classes == 5
    assert done.num_tensors == len(model.state_dict()) == dict(first=147, second=122)[release]
    assert done.checkpoint.state_key == ('state_dict_ema' if ema else 'state_dict')


@pytest.mark.parametrize('release', OPTIONS)
def test_converted_files_load_into_a_dense_backbone(
    release: str, write: Callable, log: list[str], tmp_path: Path
) -> None:
    path = write(published(release))
    done = convert(path, tmp_path / 'mm.pth')
    direct = load(path, **OPTIONS[release])
    log.clear()
    assert_loaded(load(str(done.dst), **OPTIONS[release]), direct.state_dict())
    assert '[state_dict] (mm release)' in log[-1]
    assert ('does not name its mask' in log[-1]) == (release == 'second')
    if release == 'first':  # which names the mask, and so does the converted file
        with pytest.raises(CheckpointMismatchError, match="mask is 'none' in the checkpoint"):
            load(str(done.dst), proj_bn=True, mask='band')
    meta = torch.load(done.dst, weights_only=True)['meta']['vminet']
    assert (meta['release'], meta['source'], meta['ema']) == (release, 'checkpoint.pth.tar', False)
    assert meta['arch'] == TINY and meta['proj_bn'] == (release == 'first')


def test_of_a_dense_mm_checkpoint(write: Callable, tmp_path: Path) -> None:
    state = ours(out_indices=(1, 3), mask='hybrid')
    head = {'head.fc.weight': torch.randn(7, 32).half(), 'head.fc.bias': torch.randn(7)}
    config = Config(dict(model=dict(backbone=dict(type='VMINet', mask='hybrid'))))
    content = dict(
        state_dict=prefixed('backbone.', state) | head | {'neck.scale': torch.ones(2)},
        meta=dict(cfg=config.pretty_text),
    )
    done = convert(write(content), tmp_path / 'mm.pth')
    again = convert(done.dst, tmp_path / 'again.pth')
    assert 'left out: norm1, neck' in str(done) and 'left out' not in str(again)
    assert done.options == again.options
    assert done.options['mask'] == 'hybrid' and done.options['band_halfwidth'] == 0.5
    written = read_checkpoint(again.dst)
    assert 'norm1.weight' not in written.backbone
    assert written.head['weight'].dtype == torch.float32
    torch.testing.assert_close(written.head['bias'], head['head.fc.bias'])
    torch.testing.assert_close(written.backbone['norm.weight'], state['norm.weight'])


def test_no_attention(write: Callable, tmp_path: Path) -> None:
    state = prefixed('backbone.', ours(attention='none'))
    state |= {'head.fc.weight': torch.ones(1000, 32), 'head.fc.bias': torch.ones(1000)}
    done = convert(write(state), tmp_path / 'mm.pth')
    assert done.options == dict(arch=TINY, proj_bn=False, attention='none')
    assert_loaded(load(str(done.dst), attention='none'), ours(attention='none'))


def test_incomplete_sources(write: Callable, tmp_path: Path) -> None:
    dst = tmp_path / 'mm.pth'

    def refused(state: dict, reason: str) -> None:
        with pytest.raises(CheckpointMismatchError, match=reason):
            convert(write(state), dst)
        assert not dst.exists()

    state = published('second')
    refused({k: v for k, v in state.items() if 'head' not in k}, 'has no class head')
    refused({k: v for k, v in state.items() if k != 'head.bias'}, 'has no class head')
    refused(state | {'head.weight': torch.ones(5, 31)}, r'class head is \(5, 31\) with bias \(5,\)')
    refused({k: v for k, v in state.items() if k != 'norm.weight'}, 'norm.weight .* is missing')
    grid = state | {'stages.1.1.sum.weight': torch.ones(1, 25)}
    refused(grid, r'not those of one image size: stages.1.1.attn.alpha \(5, 5\)')
    refused({'x.alpha': torch.ones(2, 2)} | state, r'x.alpha \(2, 2\) is not in the model')
    refused(dict(state_dict=state, meta=dict(vminet=dict(mask='x'))), "mask.*'x'")
    with pytest.raises(CheckpointError, match='no averaged weights'):
        convert(write(state), dst, ema=True)
    with pytest.raises(CheckpointError, match='does not exist'):
        convert(tmp_path / 'absent.pth', dst)


def test_destination(write: Callable, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path, dst = write(published('first')), tmp_path / 'mm.pth'
    dst.write_text('precious')
    with pytest.raises(CheckpointError, match=r'mm.pth exists; .*--force'):
        convert(path, dst)
    with pytest.raises(CheckpointError, match='exists; give the name of a file'):
        convert(path, tmp_path, force=True)
    with pytest.raises(CheckpointError, match='mm.pth'):  # a file where a folder must be
        convert(path, dst / 'below.pth')

    def full(content: object, part: Path) -> None:
        part.write_text('half of it')
        raise OSError('No space left on device')

    with monkeypatch.context() as patch, pytest.raises(CheckpointError, match='No space left'):
        patch.setattr(torch, 'save', full)
        convert(path, dst, force=True)
    assert dst.read_text() == 'precious'
    convert(path, dst, force=True)
    assert read_checkpoint(dst).release == 'mm'
    assert sorted(p.name for p in tmp_path.iterdir()) == ['checkpoint.pth.tar', 'mm.pth']


def test_tool(
    write: Callable,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture,
) -> None:
    path = write(dict(state_dict=published('first'), state_dict_ema=published('first', 1)))
    dst = str(tmp_path / 'mm.pth')

    def run(*args: str) -> None:
        monkeypatch.setattr(sys, 'argv', ['vminet_to_mm.py', *args])
        runpy.run_path(str(ROOT / 'tools/model_converters/vminet_to_mm.py'), run_name='__main__')

    run(path, dst, '--ema')
    printed = capsys.readouterr().out
    assert f'{path} [state_dict_ema]: VMINet, first release\n' in printed
    assert re.search(r"mm.pth: 147 tensors, arch=.*, proj_bn=True.*mask='none'", printed)
    assert 'none of configs/cls' in printed
    bias = torch.load(dst, weights_only=True)['state_dict']['head.fc.bias']
    torch.testing.assert_close(bias, published('first', 1)['head.bias'])
    with pytest.raises(SystemExit) as caught:
        run(path, dst)
    assert str(caught.value) == f'error: {dst} exists; overwrite it with --force'
    run(path, dst, '--force')
    bias = torch.load(dst, weights_only=True)['state_dict']['head.fc.bias']
    torch.testing.assert_close(bias, published('first')['head.bias'])
