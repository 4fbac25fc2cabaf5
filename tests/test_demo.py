"""The demo's commands and its last line, without running what they run."""

import json
import runpy
import subprocess
from pathlib import Path

import pytest
import torch

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[1]
DEMO = str(ROOT / 'demo/mini_demo.py')


@pytest.mark.parametrize(('gpus', 'processes', 'batch'), [(0, 2, 4), (1, 1, 8), (8, 2, 4)])
def test_commands_and_last_line(
    gpus: int,
    processes: int,
    batch: int,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture,
) -> None:
    monkeypatch.chdir(ROOT)
    commands = []

    def run(command: tuple[str, ...]) -> subprocess.CompletedProcess:
        commands.append(list(command))
        (tmp_path / 'last_checkpoint').write_text('epoch_5.pth')
        metrics = {'coco/bbox_mAP_50': 0.6124, 'coco/segm_mAP_50': 0.58}
        (tmp_path / 'metrics.json').write_text(json.dumps(metrics))
        return subprocess.CompletedProcess(command, 0)

    monkeypatch.setattr(subprocess, 'run', run)
    monkeypatch.setattr(torch.cuda, 'device_count', lambda: gpus)
    monkeypatch.setattr('sys.argv', ['mini_demo.py', '--work-dir', str(tmp_path)])
    runpy.run_path(DEMO, run_name='__main__')
    make, train, test = commands
    assert make[1:] == ['tools/dataset_converters/make_mini_data.py', 'data/mini']
    assert train[1] == 'tools/dist_train.sh' and train[3] == str(processes)
    assert train[-1] == f'train_dataloader.batch_size={batch}'
    assert test[1] == 'tools/test.py' and test[3] == 'epoch_5.pth'
    last = capsys.readouterr().out.splitlines()[-1]
    reached = 'demo: bbox_mAP_50=0.612 segm_mAP_50=0.580 train=0s'
    assert last == f'{reached} pictures={tmp_path}/pictures'


def test_a_failure_ends_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    failed = subprocess.CompletedProcess((), 3)
    monkeypatch.setattr(subprocess, 'run', lambda command: failed)
    monkeypatch.setattr('sys.argv', ['mini_demo.py', '--work-dir', str(tmp_path)])
    with pytest.raises(SystemExit, match='failed with exit code 3'):
        runpy.run_path(DEMO, run_name='__main__')
