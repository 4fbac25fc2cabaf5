"""Trainings of a study that are made up."""

import json
from pathlib import Path

import pytest
from mmengine.config import Config

from vminet_mm.analysis import study_training

ACCURACY = [40.0, 43.0, 42.0]  # of a run, by its seed


@pytest.fixture
def trainings(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """The work dirs in which a training was started, in their order."""
    started: list[Path] = []

    def train(command: list[str], *_: object) -> tuple[int, int]:
        assert command[1].endswith('tools/train.py') and '--resume' in command
        config, work_dir = Path(command[2]), Path(command[command.index('--work-dir') + 1])
        started.append(work_dir)
        log = work_dir / 'TIME/vis_data'
        log.mkdir(parents=True, exist_ok=True)
        cfg = Config.fromfile(config)
        for path in (work_dir / config.name, log / 'config.py'):
            cfg.dump(path)
        accuracy = ACCURACY[cfg.randomness.seed]
        lines = [{'loss': 1.0, 'iter': 10, 'epoch': 1, 'step': 10}]
        lines += [{'accuracy/top1': accuracy, 'step': cfg.train_cfg.max_epochs}]
        (log / 'scalars.json').write_text('\n'.join(map(json.dumps, lines)))
        return 0, 0

    monkeypatch.setattr(study_training, 'run_command', train)
    return started
