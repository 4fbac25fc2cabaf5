"""Implementation of tools/train.py and tools/test.py, for all three tasks."""

import argparse
import errno
import gc
import os
import sys
from collections.abc import Callable
from copy import deepcopy
from pathlib import Path

import torch
from mmengine.config import Config, ConfigDict, DictAction
from mmengine.dist import is_main_process
from mmengine.fileio import dump
from mmengine.logging import print_log
from mmengine.runner import CheckpointLoader, Runner, find_latest_checkpoint

from ..checkpoints.formats import started_from_checkpoint
from ..datasets.checks import require_sound_lists
from ..datasets.config_parts import metrics_of
from ..errors import CheckpointError, ConfigError, DataError, RunStoppedError, error_text
from ..tasks import CLASSIFICATION, SEGMENTATION, task_of
from .config import load_config, part_being_built, require_optimizer, require_parts
from .levels import require_strides_of_maps
from .optim import group_table
from .preflight import check_processes, local_rank, require_data
from .reliability.resume import ResumableRunner, ResumePoint, resume_from
from .settings import (
    apply_vis_backends,
    require_numbers,
    require_read_settings,
    require_vis_packages,
)
from .weights import (
    BUILD_ERRORS,
    check_content,
    explained_misfit,
    pretrained_entries,
    require_fit,
)

# what a config must have
TRAIN_PARTS = ('model', 'train_dataloader', 'train_cfg', 'optim_wrapper')
TEST_PARTS = ('model', 'test_dataloader', 'test_evaluator')
TRACEBACK = 'VMINET_TRACEBACK'  # set it to see where an error comes from
# errors of a file system that whoever runs a tool can fix
REFUSED = (errno.EACCES, errno.EDQUOT, errno.ENOSPC, errno.EPERM, errno.EROFS)


def add_cfg_options(parser: argparse.ArgumentParser) -> None:
    """Add the switch that overrides settings of the config."""
    parser.add_argument(
        '--cfg-options',
        nargs='+',
        action=DictAction,
        help='override settings of the config: key=value, key="[a,b]", nested keys with dots',
    )


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the switches that train.py and test.py share."""
    parser.add_argument('--work-dir', help='where logs, checkpoints and metrics go')
    parser.add_argument('--data-root', help='folder that every data set of the config is read from')
    add_cfg_options(parser)
    parser.add_argument(
        '--launcher', choices=['none', 'pytorch', 'slurm', 'mpi'], default='none', help='launcher'
    )
    # torch.distributed.launch passes one spelling or the other
    parser.add_argument('--local_rank', '--local-rank', type=int, default=0, help=argparse.SUPPRESS)


def run_tool(tool: Callable[[argparse.Namespace], object], args: argparse.Namespace) -> None:
    """Run a tool; what a user can fix ends it with one line and not with a traceback.

    ``VMINET_TRACEBACK=1`` in the environment keeps the traceback. After SIGTERM or SIGINT the exit
    code of a training is 143 or 130, as a shell counts.
    """
    is_first = local_rank() == 0  # only one of several processes reports
    exit_code = 0
    try:
        tool(args)
    except RunStoppedError as stopped:
        exit_code = stopped.exit_code
        if is_first:
            print(stopped, file=sys.stderr)
    except Exception as error:
        text = _what_to_fix(error)
        if text is None or os.environ.get(TRACEBACK):
            raise
        is_own = isinstance(error, (DataError, OSError))  # of this process alone
        raise SystemExit(f'error: {text}' if is_first or is_own else 1) from None
    if torch.distributed.is_initialized():
        # a thread of gloo that outlives the interpreter aborts the process now and then, so the
        # model and its process groups go first
        torch.distributed.barrier()
        gc.collect()
        torch.distributed.destroy_process_group()
    if exit_code:
        raise SystemExit(exit_code)


def _what_to_fix(error: Exception) -> str | None:
    """The message for an error that a user can fix; None for any other error."""
    if isinstance(error, (ConfigError, CheckpointError, DataError)):
        return str(error)
    part = part_being_built(error)
    if part:
        return f'the config cannot be built: {part}: {error_text(error)}'
    return str(error) if isinstance(error, OSError) and error.errno in REFUSED else None


def train(args: argparse.Namespace) -> None:
    """Train a model.

    Raises:
        ConfigError: If the config, its data or the machine do not allow it.
    """
    cfg = _load(args, TRAIN_PARTS)
    backbone = cfg.model.get('backbone') or ConfigDict()
    if args.amp:
        cfg.optim_wrapper.type = 'AmpOptimWrapper'
        cfg.optim_wrapper.setdefault('loss_scale', 'dynamic')
    if args.auto_scale_lr:
        if not (cfg.get('auto_scale_lr') or {}).get('base_batch_size'):
            raise ConfigError('--auto-scale-lr: the config has no auto_scale_lr.base_batch_size')
        cfg.auto_scale_lr.enable = True
    if args.pretrained:
        if not backbone:
            raise ConfigError('--pretrained: the model of the config has no backbone')
        backbone.init_cfg = dict(type='Pretrained', checkpoint=args.pretrained)
    point = _resume_point(cfg, args.resume)
    whole = dict(checkpoint=cfg.get('load_from'), whole=True)
    starts = [*pretrained_entries(backbone.get('init_cfg')), whole]
    for start in starts:
        _require_file(start.get('checkpoint'))
    require_read_settings(cfg)
    require_optimizer(cfg)
    require_numbers(cfg)
    require_data(cfg, ('train', 'val'))
    require_fit(cfg, starts)
    if local_rank() == 0:  # one process of a machine reads the lists
        require_sound_lists(cfg, ('train', 'val'))
    runner = _build_runner(cfg, ResumableRunner)
    require_strides_of_maps(runner.model)
    runner.resume_point = point
    if args.show_groups:
        show_groups(runner)
        return
    runner.train()


def show_groups(runner: Runner) -> None:
    """Print the parameters by learning rate and weight decay, as the optimizer is given them."""
    optim_wrapper = runner.build_optim_wrapper(runner.optim_wrapper)
    if is_main_process():
        print('\n'.join(group_table(runner.model, optim_wrapper.optimizer)))


def test(args: argparse.Namespace) -> dict[str, float]:
    """Test a checkpoint, which must fit the model to the last tensor; returns the metrics.

    Raises:
        ConfigError: If the config, its data or the machine do not allow it.
    """
    cfg = _load(args, TEST_PARTS)
    _require_file(args.checkpoint)
    cfg.load_from = None  # loaded below: MMEngine would only warn of a checkpoint that does not fit
    if args.metrics and not args.metrics.endswith('.json'):
        raise ConfigError(f'--metrics {args.metrics}: give a file that ends with .json')
    require_data(cfg, ('test',))
    content = CheckpointLoader.load_checkpoint(args.checkpoint, 'cpu')
    if local_rank() == 0:  # one process of a machine reads the lists
        require_sound_lists(cfg, ('test',))
    if args.show or args.show_dir:
        draw_predictions(cfg, args.show_dir, args.show, args.wait_time)
    if args.tta:
        use_tta(cfg)
    if args.deploy:
        cfg.custom_hooks = [*cfg.get('custom_hooks', []), dict(type='DeployHook')]
    if args.out:
        save_predictions(cfg, args.out)
    runner = _build_runner(cfg)
    require_strides_of_maps(runner.model)
    check_content(runner.model, content, args.checkpoint, args.config)
    with explained_misfit(args.checkpoint, args.config):
        runner.load_checkpoint(args.checkpoint, map_location='cpu', strict=True)
    metrics = runner.test()
    if args.metrics and is_main_process():
        dump(metrics, args.metrics, indent=2)
    return metrics


def draw_predictions(
    cfg: Config, show_dir: str | None, show: bool = False, wait_time: float = 2.0
) -> None:
    """Have the test draw every image's prediction beside its ground truth."""
    hook = dict(type='PredictionPictureHook', out_dir=show_dir, show=show, wait_time=wait_time)
    given = cfg.get('default_hooks', {}).get('visualization') or {}
    if 'score_thr' in given:
        hook['score_thr'] = given['score_thr']
    cfg.custom_hooks = [*cfg.get('custom_hooks', []), hook]


def use_tta(cfg: Config) -> None:
    """Turn on test-time augmentation: the config's, or for a classifier a horizontal flip.

    Raises:
        ConfigError: If the config does not say how.
    """
    if cfg.get('default_scope') == CLASSIFICATION.scope:
        pipeline = cfg.test_dataloader.dataset.pipeline
        flips = [dict(type='RandomFlip', prob=1.0), dict(type='RandomFlip', prob=0.0)]
        flip = dict(type='TestTimeAug', transforms=[flips, [pipeline[-1]]])
        cfg.setdefault('tta_model', dict(type='AverageClsScoreTTA'))
        cfg.setdefault('tta_pipeline', [*deepcopy(pipeline[:-1]), flip])
    if not (cfg.get('tta_model') and cfg.get('tta_pipeline')):
        raise ConfigError(
            '--tta needs tta_model and tta_pipeline in the config. mmdet offers DetTTAModel for '
            'boxes; it has none for masks, so there is no test-time augmentation of Mask R-CNN.'
        )
    cfg.test_dataloader.dataset.pipeline = cfg.tta_pipeline
    cfg.model = ConfigDict(**cfg.tta_model, module=cfg.model)


def save_predictions(cfg: Config, out: str) -> None:
    """Keep the predictions: in a ``.pkl`` file, or for segmentation as PNGs in a folder.

    Raises:
        ConfigError: If ``out`` is neither.
    """
    metrics = metrics_of(cfg.test_evaluator)
    if out.endswith(('.pkl', '.pickle')):
        metrics.append(dict(type=task_of(cfg).dump, out_file_path=out))
        is_whole = isinstance(cfg.test_evaluator, dict) and 'metrics' in cfg.test_evaluator
        if is_whole and 'dataset_prefixes' in cfg.test_evaluator:
            raise ConfigError(
                f'--out {out}: test_evaluator has one metric for each data set; give it dicts of '
                'metrics in a list to keep predictions'
            )
        if is_whole:
            cfg.test_evaluator.metrics = metrics
        else:
            cfg.test_evaluator = metrics
    elif cfg.get('default_scope') == SEGMENTATION.scope:
        hook = dict(type='LabelMapHook', out_dir=out)
        cfg.custom_hooks = [*cfg.get('custom_hooks', []), hook]
    else:
        raise ConfigError(f'--out {out}: give a file that ends with .pkl')


def _load(args: argparse.Namespace, parts: tuple[str, ...]) -> Config:
    """The config with the shared switches applied, after a look at it and at the machine."""
    os.environ.setdefault('LOCAL_RANK', str(args.local_rank or local_rank()))
    cfg = load_config(args.config, args.cfg_options, args.data_root, args.work_dir)
    require_parts(cfg, parts)
    apply_vis_backends(cfg, args.cfg_options or {})
    require_vis_packages(cfg)
    cfg.launcher = args.launcher
    check_processes(args.launcher)
    return cfg


def _build_runner(cfg: Config, kind: type[Runner] = Runner) -> Runner:
    """Build the runner and its model; a wrong option is the config's error."""
    try:
        return kind.from_cfg(cfg)
    except BUILD_ERRORS as error:
        part = part_being_built(error) or 'the runner'
        raise ConfigError(f'the config cannot be built: {part}: {error_text(error)}') from error


def _require_file(checkpoint: str | None) -> None:
    """Raise unless a local checkpoint exists; URLs are left to MMEngine."""
    if checkpoint and '://' not in checkpoint and not Path(checkpoint).is_file():
        raise ConfigError(f'there is no checkpoint {checkpoint}')


def _resume_point(cfg: Config, asked: str | None) -> ResumePoint | None:
    """Set up a config to resume, if ``--resume`` or the config asks for it."""
    if asked is None and cfg.get('resume'):
        asked = cfg.get('load_from') or 'auto'
    if asked is None:
        return None
    checkpoint = None if asked == 'auto' else asked
    _require_file(checkpoint)
    point = resume_from(cfg, checkpoint)
    if point:
        keep_norm_eval(cfg)
    return point


def keep_norm_eval(cfg: Config) -> None:
    """Keep ``norm_eval`` of the original run on resume, though --pretrained is not repeated."""
    backbone = cfg.model.get('backbone') or ConfigDict()
    if backbone.get('norm_eval') != 'auto' or backbone.get('init_cfg'):
        return
    checkpoint = cfg.load_from or find_latest_checkpoint(cfg.work_dir)
    if checkpoint and started_from_checkpoint(CheckpointLoader.load_checkpoint(checkpoint, 'cpu')):
        backbone.norm_eval = True
        print_log('norm_eval=True: the run began with a pre-trained backbone', logger='current')
