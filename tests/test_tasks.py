"""The table of the three tasks agrees with the libraries and with the shipped configs."""

from importlib import import_module
from pathlib import Path

import pytest
from mmengine.config import Config
from mmengine.registry import METRICS, MODELS
from mmengine.structures import BaseDataElement

from vminet_mm.errors import ConfigError
from vminet_mm.tasks import SCOPES, TASKS, Task, task_of

ROOT = Path(__file__).parents[1]
CONFIGS = dict(detection='mask_rcnn', segmentation='upernet', classification='cls')


def config_of(task: Task) -> Config:
    return Config.fromfile(sorted((ROOT / 'configs' / CONFIGS[task.name]).glob('*_mini.py'))[0])


@pytest.mark.parametrize('task', TASKS, ids=lambda task: task.name)
def test_names_are_those_of_the_library(task: Task) -> None:
    import_module(f'{task.scope}.apis')
    assert METRICS.get(f'{task.scope}.{task.dump}').__name__ == task.dump
    sample = task.make_sample(ori_shape=(3, 5))
    assert isinstance(sample, BaseDataElement) and sample.ori_shape == (3, 5)
    assert type(sample).__module__.startswith(f'{task.scope}.')


@pytest.mark.parametrize('task', TASKS, ids=lambda task: task.name)
def test_heads_are_those_of_the_library(task: Task) -> None:
    import_module(f'{task.scope}.models')
    names = [name for kinds in task.heads.values() for name in kinds]
    with MODELS.switch_scope_and_registry(task.scope) as registry:
        assert [registry.get(name).__name__ for name in names] == names
        assert registry.get(task.preprocessor).__name__ == task.preprocessor


@pytest.mark.parametrize('task', TASKS, ids=lambda task: task.name)
def test_shipped_configs_are_of_their_task(task: Task) -> None:
    cfg = config_of(task)
    assert task_of(cfg) is task is SCOPES[task.scope]


@pytest.mark.parametrize('task', TASKS, ids=lambda task: task.name)
def test_layouts_are_those_of_the_built_in_data(task: Task, mini_root: Path) -> None:
    layout = task.layout
    root = mini_root / layout.mini
    assert all((root / part).exists() for part in layout.parts())
    for split in ('train', 'val'):
        images, labels = layout.folders(root, split)
        assert any(images.glob(layout.files.replace('<class>', '*')))
        assert labels.is_file() or any(labels.glob(layout.label_files or '*'))
    for part in layout.parts():
        assert part in layout.describe()


def test_other_scopes_are_refused_with_the_three() -> None:
    for scope in ('mmpose', None):
        with pytest.raises(ConfigError) as caught:
            task_of(dict(default_scope=scope), 'a.py')
        assert 'a.py' in str(caught.value)
        assert all(task.scope in str(caught.value) for task in TASKS)
