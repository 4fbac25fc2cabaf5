"""The switches of train.py and test.py that change a config, and the scripts around them."""

import argparse
import subprocess
from pathlib import Path

import pytest
import torch
from in_process import run_here
from mmengine.config import Config

from vminet_mm.engine import load_config, run_tool
from vminet_mm.engine.launch import draw_predictions, keep_norm_eval, save_predictions, use_tta
from vminet_mm.errors import ConfigError

ROOT = Path(__file__).resolve().parents[2]
CONFIGS = {
    'mmdet': 'configs/mask_rcnn/mask-rcnn_vminet-xs_sfp_1x_coco.py',
    'mmseg': 'configs/upernet/upernet_vminet-xs_8xb2-160k_ade20k-512x512.py',
    'mmpretrain': 'configs/cls/vminet-xs_3xb128-300e_in1k.py',
}


def config(scope: str) -> Config:
    return load_config(ROOT / CONFIGS[scope])


def tool(*command: str) -> subprocess.CompletedProcess:
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=300)


def test_drawing_is_a_hook() -> None:
    for scope in CONFIGS:
        cfg = config(scope)
        number = len(cfg.get('custom_hooks', []))
        cfg.default_hooks.visualization.score_thr = 0.7
        draw_predictions(cfg, 'pictures', show=True, wait_time=1.5)
        assert len(cfg.custom_hooks) == number + 1
        assert cfg.custom_hooks[-1] == dict(
            type='PredictionPictureHook',
            out_dir='pictures',
            show=True,
            wait_time=1.5,
            score_thr=0.7,
        )


def test_tta() -> None:
    segmentor = config('mmseg')
    use_tta(segmentor)
    assert segmentor.model.type == 'SegTTAModel' and segmentor.model.module.type == 'EncoderDecoder'
    assert segmentor.test_dataloader.dataset.pipeline[-1].type == 'TestTimeAug'
    classifier = config('mmpretrain')
    use_tta(classifier)
    assert classifier.model.module.type == 'ImageClassifier'
    steps = classifier.test_dataloader.dataset.pipeline
    assert [step.type for step in steps].count('PackInputs') == 0
    assert [flip['prob'] for flip in steps[-1].transforms[0]] == [1.0, 0.0]
    with pytest.raises(ConfigError, match='no test-time augmentation of Mask R-CNN'):
        use_tta(config('mmdet'))


def test_saved_predictions() -> None:
    detector, segmentor = config('mmdet'), config('mmseg')
    save_predictions(detector, 'a.pkl')
    assert [e.type for e in detector.test_evaluator] == ['CocoMetric', 'DumpDetResults']
    save_predictions(segmentor, 'maps')
    assert segmentor.custom_hooks[-1] == dict(type='LabelMapHook', out_dir='maps')
    with pytest.raises(ConfigError, match=r'ends with \.pkl'):
        save_predictions(detector, 'a.txt')


@pytest.mark.parametrize('pretrained', [True, False])
def test_resumed_run_keeps_norm_eval(pretrained: bool, tmp_path: Path, log: list[str]) -> None:
    began = config('mmdet')
    if pretrained:
        began.model.backbone.init_cfg = dict(type='Pretrained', checkpoint='a.pth')
    checkpoint = tmp_path / 'epoch_1.pth'
    torch.save(dict(meta=dict(cfg=began.pretty_text), state_dict={}), checkpoint)
    (tmp_path / 'last_checkpoint').write_text(str(checkpoint))
    resumed = config('mmdet')
    resumed.work_dir = str(tmp_path)
    keep_norm_eval(resumed)
    assert resumed.model.backbone.norm_eval == (True if pretrained else 'auto')
    said = 'norm_eval=True: the run began with a pre-trained backbone'
    assert (said in log) == pretrained


def fail(args: argparse.Namespace) -> None:
    """A tool that gets no usable argument."""
    raise ConfigError('no such thing; do this')


def test_run_tool_ends_with_one_line() -> None:
    with pytest.raises(SystemExit, match='^error: no such thing; do this$'):
        run_tool(fail, argparse.Namespace())


def test_traceback_is_kept_when_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv('VMINET_TRACEBACK', '1')
    with pytest.raises(ConfigError, match='no such thing'):
        run_tool(fail, argparse.Namespace())


def test_one_process_of_a_machine_tells(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv('LOCAL_RANK', raising=False)
    monkeypatch.setenv('SLURM_LOCALID', '1')
    with pytest.raises(SystemExit) as ended:
        run_tool(fail, argparse.Namespace())
    assert ended.value.code == 1


@pytest.mark.parametrize('script', ['train.py', 'test.py'])
def test_help(script: str, capsys: pytest.CaptureFixture) -> None:
    assert run_here(str(ROOT / 'tools' / script), '--help') == 0
    printed = capsys.readouterr().out
    for switch in ('--work-dir', '--cfg-options', '--launcher', '--data-root'):
        assert switch in printed


@pytest.mark.parametrize(
    'script', ['dist_train.sh', 'dist_test.sh', 'slurm_train.sh', 'slurm_test.sh']
)
def test_scripts_tell_their_usage(script: str) -> None:
    done = tool('bash', f'tools/{script}')
    assert done.returncode == 2 and f'usage: bash tools/{script}' in done.stderr


def test_slurm_passes_everything_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    srun = tmp_path / 'srun'
    srun.write_text('#!/bin/sh\nprintf "%s\\n" "$@"\nexit 7\n')
    srun.chmod(0o755)
    monkeypatch.setenv('PATH', f'{tmp_path}:/usr/bin:/bin')
    monkeypatch.setenv('GPUS', '4')
    monkeypatch.setenv('SRUN_ARGS', '--quotatype=auto --exclusive')
    done = tool('bash', 'tools/slurm_test.sh', 'part', 'job', 'c.py', 'a.pth', '--out', 'x y.pkl')
    assert done.returncode == 7
    words = done.stdout.splitlines()
    assert {'--partition=part', '--gres=gpu:4', '--ntasks=4', '--exclusive'} <= set(words)
    rest = ['c.py', 'a.pth', '--out', 'x y.pkl', '--launcher', 'slurm']
    assert words[-8:] == ['-u', 'tools/test.py', *rest]
