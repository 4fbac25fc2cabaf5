"""Bit-exact resume: an interrupted run ends as it would have without the interruption."""

import logging
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from functools import partial
from itertools import chain, repeat
from pathlib import Path

from mmengine.config import Config
from mmengine.dist import master_only
from mmengine.hooks import CheckpointHook, Hook
from mmengine.optim import OptimWrapper, OptimWrapperDict
from mmengine.runner import CheckpointLoader, Runner
from mmengine.runner.base_loop import BaseLoop
from torch.utils.data import DataLoader

from ...checkpoints.formats import has_old_names
from ...compat.patching import temporarily
from ...datasets.checks.report import set_option
from ...errors import CheckpointError, ConfigError
from ..batches import images_per_iteration, require_norms_fed
from ..optim import prepare_for_compiler
from .checkpoint_hook import INTERRUPTED, SafeCheckpointHook, replacing
from .nonfinite import NonFiniteLossHook
from .nothing_learned import NothingLearnedHook
from .randomness import IterationSeedHook, number_draws
from .stopping import StopSignals, ignore_signals_in_worker


@dataclass(frozen=True)
class ResumePoint:
    """Where a run is resumed.

    Attributes:
        path: The checkpoint.
        seed: The seed of the run, if the checkpoint has it.
        epoch: The epoch to go on in.
        batches_done: How many of its batches are done.
        images_per_iteration: Of all processes together, if the checkpoint has it.
        remarks: What is to be logged of how the checkpoint was found.
    """

    path: str
    seed: int | None
    epoch: int
    batches_done: int
    images_per_iteration: int | None = None
    remarks: tuple[str, ...] = ()


def resume_from(cfg: Config, checkpoint: str | None) -> ResumePoint | None:
    """Set up a config to resume a run: its checkpoint, and its seed if the config has none.

    Without a checkpoint the latest whole one of ``cfg.work_dir`` is taken. Returns None where the
    run left none, so that it begins as it did before.

    Raises:
        ConfigError: If none of the checkpoints in the work dir is whole.
        CheckpointError: If the file that was asked for is not.
    """
    by_iteration = 'max_iters' in cfg.train_cfg
    if checkpoint:
        point = _read(checkpoint, by_iteration)
    else:
        point = _latest(Path(cfg.work_dir) / 'last_checkpoint', by_iteration)
    cfg.resume = point is not None
    if point is None:
        return None
    cfg.load_from = point.path
    if point.seed is not None:
        # now and not when MMEngine resumes: by then the order of the data is drawn
        cfg.randomness = dict(cfg.get('randomness') or {}, seed=point.seed)
    return point


def _latest(note: Path, by_iteration: bool) -> ResumePoint | None:
    """The checkpoint that ``last_checkpoint`` names, or the newest whole one there is."""
    if not note.is_file():
        return None
    remarks = []
    for path in _candidates(note):
        try:
            point = _read(path, by_iteration)
        except (RuntimeError, OSError) as error:
            remarks.append(f'{path} is not used: {error}')
        else:
            remarks.append(f'Auto resumed from the latest checkpoint {path}.')
            return replace(point, remarks=tuple(remarks))
    raise ConfigError(
        '\n'.join(['--resume: there is no whole checkpoint', *remarks, 'Start without --resume'])
    )


def _candidates(note: Path) -> Iterator[str]:
    """The checkpoints a run can be resumed from, the best first."""
    named = note.read_text().strip()
    if named:
        yield named
    folders = dict.fromkeys((note.parent.resolve(), Path(named or note).parent.resolve()))
    files = [
        file
        for folder in folders
        for name in ('epoch_*.pth', 'iter_*.pth', INTERRUPTED)
        for file in folder.glob(name)
        if file != Path(named).resolve()
    ]
    yield from map(str, sorted(files, key=lambda file: file.stat().st_mtime, reverse=True))


def _read(path: str, by_iteration: bool) -> ResumePoint:
    """Where a run goes on from a checkpoint, after all of the file was read."""
    content = CheckpointLoader.load_checkpoint(path, 'cpu')
    meta = content.get('meta') if isinstance(content, Mapping) else None
    if not isinstance(meta, Mapping) or not {'epoch', 'iter'} <= meta.keys():
        raise CheckpointError(f'{path} holds weights and not the state of a run of MMEngine')
    if has_old_names(content.get('state_dict', {})):
        raise CheckpointError(
            f'{path} is of a run of an earlier version, whose optimizer has the parameters in '
            f'another order; begin a new run from its weights: {set_option("load_from", path)}'
        )
    # without the entry, MMEngine's own hook saved it
    done = meta.get('batches_done', meta['iter'] if by_iteration else 0)
    seed, epoch = meta.get('seed'), meta['epoch']
    if not all(isinstance(value, int) and value >= 0 for value in (seed or 0, epoch, done)):
        raise CheckpointError(f'{path}: seed {seed!r}, epoch {epoch!r}, batches_done {done!r}')
    return ResumePoint(path, seed, epoch, done, meta.get('images_per_iteration'))


class _SkippedBatches(Iterator):
    """As many empty batches as a resumed loop draws and drops, then the real ones.

    Args:
        number: How many.
        batches: The data, which begin where the run is resumed.
    """

    def __init__(self, number: int, batches: Iterator) -> None:
        self._batches = chain(repeat(None, number), batches)

    def __next__(self) -> object:
        return next(self._batches)

    def skip_iter(self, number: int) -> None:
        """Draw and drop batches, as OneDL's mmengine asks for it."""
        for _ in range(number):
            next(self)


class ResumableRunner(Runner):
    """MMEngine's runner, whose runs can be killed and resumed at any moment without a trace.

    Everything random is drawn anew for each sample and each iteration (:mod:`.randomness`), the
    data goes on after the last batch that was used, without loading those before it, and
    checkpoints are saved as :mod:`.checkpoint_hook` says. No config has to ask for it.
    """

    resume_point: ResumePoint | None = None

    def _log_env(self, env_cfg: dict) -> None:
        """Log the environment, and the config into the log file alone: it has hundreds of lines."""
        consoles = [h for h in self.logger.handlers if type(h) is logging.StreamHandler]
        for handler in consoles:
            handler.addFilter(_is_no_config)
        try:
            super()._log_env(env_cfg)
        finally:
            for handler in consoles:
                handler.removeFilter(_is_no_config)
        file = Path(self._log_dir, f'{self.timestamp}.log')
        self.logger.info(f'{self.cfg.filename or "the config"} as it is used stands in {file}')

    @staticmethod
    def build_dataloader(
        dataloader: DataLoader | dict, seed: int | None = None, diff_rank_seed: bool = False
    ) -> DataLoader:
        """Build a data loader whose workers leave the signals to the main process."""
        loader = Runner.build_dataloader(dataloader, seed, diff_rank_seed)
        loader.worker_init_fn = partial(
            ignore_signals_in_worker, loader.worker_init_fn, os.getpid()
        )
        return loader

    def build_train_loop(self, loop: BaseLoop | dict) -> BaseLoop:
        """Build the loop on numbered samples, which begin where the run is resumed."""
        if isinstance(loop, BaseLoop) or isinstance(self._train_dataloader, DataLoader):
            return super().build_train_loop(loop)
        loader = self.build_dataloader(
            self._train_dataloader, self.seed, self._randomness_cfg.get('diff_rank_seed', False)
        )
        if not len(loader):
            raise ConfigError(
                f'train_dataloader: there are fewer images ({len(loader.dataset)}) than batch_size '
                'asks for, and drop_last leaves none; take a smaller batch_size'
            )
        require_norms_fed(self.model, loader)
        by_iteration = 'max_iters' in loop
        self._require_same_batches(loader, by_iteration)
        # an iteration-based loop begins to read data while it is built
        at_epoch = (lambda: 0) if by_iteration else (lambda: self.epoch)
        number_draws(
            loader,
            self.seed,
            progress=lambda: (at_epoch(), self.batches_done(at_epoch())),
            endless=by_iteration,
        )
        with temporarily(self, _train_dataloader=loader):
            loop = super().build_train_loop(loop)
        done = self.batches_done(0) if by_iteration else 0
        if done:
            loop.dataloader_iterator = _SkippedBatches(done, loop.dataloader_iterator)
        return loop

    def _require_same_batches(self, loader: DataLoader, by_iteration: bool) -> None:
        """Raise if batches of another size would repeat or leave out data, and warn otherwise."""
        point = self.resume_point
        before = point.images_per_iteration if point else None
        now = images_per_iteration(loader)
        if not before or not now or before == now:
            return
        change = f'the run had {before} images an iteration, of all processes, and now has {now}'
        if by_iteration or point.batches_done:
            raise ConfigError(
                f'--resume: {change}, so that its position in the data and in the schedule cannot '
                'be kept. Start as many processes with such a train_dataloader.batch_size that it '
                f'is {before}, or begin a new run from its weights: '
                f'{set_option("load_from", point.path)}'
            )
        self.logger.warning(f'{change}: the learning rate is not adapted to it')

    def batches_done(self, epoch: int) -> int:
        """How many batches of an epoch were done when the run was interrupted."""
        point = self.resume_point
        return point.batches_done if point and point.epoch == epoch else 0

    def register_default_hooks(self, hooks: dict[str, Hook | dict] | None = None) -> None:
        """Register the hooks, :class:`.SafeCheckpointHook` in place of MMEngine's own, and
        :class:`.NonFiniteLossHook` and :class:`.NothingLearnedHook` unless the config has
        ``default_hooks.non_finite=None`` or ``default_hooks.nothing_learned=None``."""
        defaults = dict(
            checkpoint=dict(type='CheckpointHook', interval=1),
            non_finite=dict(type=NonFiniteLossHook),
            nothing_learned=dict(type=NothingLearnedHook),
        )
        hooks = defaults | dict(hooks or {})
        for name in ('non_finite', 'nothing_learned'):  # of None, MMEngine drops its own alone
            if hooks[name] is None:
                del hooks[name]
        hook = hooks['checkpoint']
        kind = hook['type'] if isinstance(hook, dict) else None
        if kind in (CheckpointHook, 'CheckpointHook', 'mmengine.CheckpointHook'):
            hooks['checkpoint'] = dict(hook, type=SafeCheckpointHook)
        self.stop_signals = StopSignals()
        super().register_default_hooks(hooks)
        self.register_hook(IterationSeedHook())

    def build_optim_wrapper(self, optim_wrapper: object) -> object:
        """Build the optimizer wrapper; its groups are plain dicts, which can be compiled."""
        built = super().build_optim_wrapper(optim_wrapper)
        wrappers = built.values() if isinstance(built, OptimWrapperDict) else [built]
        for wrapper in wrappers:
            if isinstance(wrapper, OptimWrapper):
                prepare_for_compiler(wrapper)
        return built

    def load_or_resume(self) -> None:
        """Load or resume, and log how the checkpoint was found."""
        for remark in self.resume_point.remarks if self.resume_point else ():
            self.logger.info(remark)
        super().load_or_resume()

    @master_only
    def save_checkpoint(self, out_dir: str, filename: str, *args, **kwargs) -> None:
        """Save a checkpoint, whole or not at all.

        Raises:
            CheckpointWriteError: If the file system refuses.
        """
        if '://' in str(out_dir):  # remote storage has no partial files
            super().save_checkpoint(out_dir, filename, *args, **kwargs)
            return
        with replacing(Path(out_dir) / filename) as partial_file:
            super().save_checkpoint(out_dir, partial_file.name, *args, **kwargs)


def _is_no_config(record: logging.LogRecord) -> bool:
    return not record.getMessage().startswith('Config:\n')
