"""Top-level settings of a config that MMEngine's runner would ignore."""

from difflib import get_close_matches
from importlib.util import find_spec

from mmengine.config import Config, ConfigDict

from ..errors import ConfigError

# what the runner and our tools read
_READ = (
    *('model', 'work_dir', 'default_scope', 'launcher', 'load_from', 'resume', 'randomness'),
    *('train_dataloader', 'val_dataloader', 'test_dataloader'),
    *('train_cfg', 'val_cfg', 'test_cfg', 'val_evaluator', 'test_evaluator'),
    *('optim_wrapper', 'param_scheduler', 'auto_scale_lr', 'data_preprocessor'),
    *('default_hooks', 'custom_hooks', 'env_cfg', 'log_processor', 'log_level'),
    *('visualizer', 'vis_backends', 'experiment_name', 'custom_imports', 'compile', 'sync_bn'),
    *('model_wrapper_cfg', 'find_unused_parameters', 'tta_model', 'tta_pipeline'),
)
# settings of other runners and of older versions, and what to write instead; not the names that
# configs use as variables, such as the `optimizer` of mmseg's schedules
_INSTEAD = dict(
    strategy="the tools train with MMEngine's Runner, without FSDP and DeepSpeed; remove it",
    optimizer_config='write optim_wrapper=dict(clip_grad=dict(...))',
    lr_config='write param_scheduler=[dict(...)]',
    total_epochs='write train_cfg=dict(max_epochs=...)',
    evaluation='write val_evaluator and train_cfg=dict(val_interval=...)',
    checkpoint_config='write default_hooks=dict(checkpoint=dict(...))',
    log_config='write default_hooks=dict(logger=dict(interval=...))',
    fp16='use the switch --amp',
    resume_from='use the switch --resume',
)

_LENGTHS = ('train_cfg.max_epochs', 'train_cfg.max_iters', 'train_cfg.val_interval')

# packages that MMEngine's backends of its visualizer import at the start of a run
_PACKAGES = dict(
    AimVisBackend='aim',
    ClearMLVisBackend='clearml',
    DVCLiveVisBackend='dvclive',
    MLflowVisBackend='mlflow',
    NeptuneVisBackend='neptune',
    TensorboardVisBackend='tensorboard',
    WandbVisBackend='wandb',
)


def require_read_settings(cfg: Config) -> None:
    """Raise ConfigError if a top-level setting would have no effect.

    Names that are none of MMEngine's are variables and left alone, but for misspelled ones.
    """
    problems = []
    if cfg.get('runner_type', 'Runner') != 'Runner':
        problems.append(
            f"runner_type={cfg.runner_type!r}: the tools train with MMEngine's Runner, whose runs "
            'can be resumed exactly; remove runner_type'
        )
    wrapper = str((cfg.get('model_wrapper_cfg') or {}).get('type', ''))
    if 'FullySharded' in wrapper:
        problems.append(
            f'model_wrapper_cfg.type={wrapper}: runs are not resumed exactly with sharded weights, '
            'which need a GPU besides; remove model_wrapper_cfg, --launcher alone makes it DDP'
        )
    for name, value in cfg.items():
        if name in _INSTEAD and value is not None:
            way_out = f'or take it out with --cfg-options {name}=None'
            problems.append(f'{name} is not read: {_INSTEAD[name]}, {way_out}')
        elif name not in _READ and isinstance(value, dict):
            meant = get_close_matches(name, _READ, 1, cutoff=0.9)
            if meant and not name.startswith(meant[0]):  # or a variable, such as val_dataloader_b
                problems.append(f'{name} is not read; {meant[0]} is meant')
    if problems:
        raise ConfigError('\n'.join(problems))


def require_numbers(cfg: Config) -> None:
    """Raise ConfigError for a setting that is not a number, or with which nothing is learned."""
    values = {}
    for name in _LENGTHS:
        value = cfg.train_cfg.get(name.split('.')[1])
        is_whole = isinstance(value, float) and value.is_integer()  # such as 160e3
        values[name] = int(value) if is_whole else value, 1
    for split in ('train', 'val'):
        loader = cfg.get(f'{split}_dataloader') or {}
        values[f'{split}_dataloader.batch_size'] = loader.get('batch_size'), 1
        values[f'{split}_dataloader.num_workers'] = loader.get('num_workers'), 0
    problems = [
        f'{name} is {value!r}; it must be a whole number from {minimum}'
        for name, (value, minimum) in values.items()
        if value is not None and not (type(value) is int and value >= minimum)
    ]
    rate = (cfg.optim_wrapper.get('optimizer') or {}).get('lr', 1)
    if not isinstance(rate, (int, float)) or rate <= 0:
        problems.append(
            f'optim_wrapper.optimizer.lr is {rate!r}; it must be a number above 0, or nothing is '
            'learned'
        )
    if problems:
        raise ConfigError('\n'.join(problems))


def apply_vis_backends(cfg: Config, cfg_options: dict) -> None:
    """Give the visualizer the top-level ``vis_backends`` where they were changed alone.

    In the configs of OpenMMLab ``visualizer`` was made of ``vis_backends`` when the base was read:
    a change of ``vis_backends`` in a config below or with ``--cfg-options`` would do nothing.
    """
    wanted, visualizer = cfg.get('vis_backends'), cfg.get('visualizer')
    if not wanted or not isinstance(visualizer, dict):
        return
    given = visualizer.get('vis_backends') or []
    is_default = [backend.get('type') for backend in given] in ([], ['LocalVisBackend'])
    if any(name.split('.')[0] == 'vis_backends' for name in cfg_options) or is_default:
        visualizer['vis_backends'] = [ConfigDict(backend) for backend in wanted]


def require_vis_packages(cfg: Config) -> None:
    """Raise ConfigError if a backend of the visualizer needs a package that is not there."""
    for backend in (cfg.get('visualizer') or {}).get('vis_backends') or []:
        kind = str(backend.get('type')).rpartition('.')[2]
        package = _PACKAGES.get(kind)
        if package and find_spec(package) is None:
            raise ConfigError(
                f'vis_backends: {kind} needs the package {package}; pip install {package}, or take '
                'the backend out of the config'
            )
