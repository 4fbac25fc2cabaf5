"""Atomic checkpoints (complete or absent), and a last one when the run is asked to stop."""

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from mmengine.dist import get_world_size, is_main_process
from mmengine.hooks import CheckpointHook
from mmengine.optim import OptimWrapperDict
from mmengine.runner import EpochBasedTrainLoop, IterBasedTrainLoop, Runner

from ...errors import CheckpointWriteError, ConfigError, RunStoppedError
from ..batches import images_per_iteration
from .stopping import StopSignals

INTERRUPTED = 'interrupted.pth'  # the state of a run that was asked to stop
VALIDATED = 'last_validation'  # in the message hub: the epoch or iteration of it
_PARTIAL = '.partial'


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Write a file atomically: under a temporary name, renamed once it is complete and on disk.

    Yields what to write instead, in the same folder. It is removed if the block fails.

    Raises:
        CheckpointWriteError: If the file system refuses.
    """
    partial = path.with_name(f'.{path.name}{_PARTIAL}')
    try:
        yield partial
        _sync(partial)
        os.replace(partial, path)
    except BaseException as error:
        with suppress(OSError):
            partial.unlink(missing_ok=True)
        if isinstance(error, OSError):
            raise CheckpointWriteError(
                f'{path} could not be written: {error.strerror or error}. The checkpoints before '
                'it are whole: fix that, then go on with --resume'
            ) from error
        raise
    with suppress(OSError):  # some file systems cannot, and have no need to
        _sync(path.parent)


def _sync(path: Path) -> None:
    """Wait until a file or folder is on the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


class SafeCheckpointHook(CheckpointHook):
    """MMEngine's hook with its arguments and file names, for a :class:`.ResumableRunner`.

    - ``last_checkpoint`` names whole files only, and a file goes only when its successor is whole.
    - After SIGTERM or SIGINT the current iteration is finished, its state saved and
      :class:`.RunStoppedError` raised, in all processes at the same iteration. A validation is
      broken off if there is one process and the state is saved already; otherwise it is finished.
    - A validation which the run that is resumed did not finish is run before the training goes on.
      So that this is known, the latest checkpoint is saved again when it was validated.
    """

    def before_train(self, runner: Runner) -> None:
        """Continue where the resumed run stopped."""
        super().before_train(runner)
        self.outdated: list[str] = []
        self.file_backend = _RemoveLater(self.file_backend, self.outdated)
        self.saved_iter = self.saved_validation = self.newest = None
        self.before_train_epoch(runner)  # a validation may come first
        if runner.resume_point:
            self.saved_iter, self.newest = runner.iter, runner.resume_point.path
            self.last_ckpt = runner.message_hub.get_info('last_ckpt')
            self._remove_outdated(runner)
        if is_main_process() and '://' not in str(self.out_dir):
            for partial in Path(self.out_dir).glob(f'.*{_PARTIAL}'):  # of a run that was killed
                partial.unlink()
        self.signals: StopSignals = runner.stop_signals
        self.signals.listen()
        if _validation_is_due(runner):
            runner.logger.info('Validating first: the run that is resumed did not finish it')
            runner.val_loop.run()

    def before_train_epoch(self, runner: Runner) -> None:
        """Note where the epoch began, for checkpoints within it."""
        self.epoch, self.epoch_began = runner.epoch, runner.iter - runner.batches_done(runner.epoch)

    def after_train_iter(self, runner: Runner, *args, **kwargs) -> None:
        """Save at the interval, and stop if any process was asked to."""
        super().after_train_iter(runner, *args, **kwargs)
        signum = self.signals.after_iteration()
        if _gradients_are_used(runner):
            self._stop_if(signum, runner, runner.iter + 1)

    def after_val_iter(self, runner: Runner, *args, **kwargs) -> None:
        """Stop within a validation if nothing is lost by it: the state is saved, and no other
        process waits for this one at the end."""
        if get_world_size() == 1 and self.saved_iter == runner.iter:
            self._stop_if(self.signals.asked, runner, runner.iter)

    def after_val_epoch(self, runner: Runner, metrics: dict[str, float]) -> None:
        """Save the best so far, and stop if any process was asked to."""
        self._require_metrics(metrics)
        progress = _progress(runner)
        runner.message_hub.update_info(VALIDATED, progress)
        super().after_val_epoch(runner, metrics)
        if self.saved_iter == runner.iter and self.saved_validation != progress:
            newest = Path(self.newest)
            if newest.parent == Path(self.out_dir):
                # once more, now that the validation is a part of the state
                self._write(runner, newest.name, dict(epoch=runner.epoch, iter=runner.iter))
        self._stop_if(self.signals.now(), runner, runner.iter)

    def _require_metrics(self, metrics: dict[str, float]) -> None:
        """Raise unless the validation gives what ``save_best`` asks for."""
        asked = (self.key_indicators or ()) if self.save_best else ()
        absent = [key for key in asked if key not in ('auto', *metrics)]
        if absent and metrics:
            raise ConfigError(
                f'default_hooks.checkpoint.save_best: the validation gives no {absent[0]}, but '
                f'{", ".join(metrics)}; take one of these, and go on with --resume'
            )

    def after_train(self, runner: Runner) -> None:
        """Publish, and leave the signals alone."""
        super().after_train(runner)
        self.signals.restore()

    def _stop_if(self, signum: int, runner: Runner, iteration: int) -> None:
        """End the run after ``iteration`` iterations with a saved state, if there was a signal."""
        if not signum:
            return
        if iteration != self.saved_iter:
            self._write(runner, INTERRUPTED, dict(epoch=runner.epoch, iter=iteration))
        self.signals.restore()
        raise RunStoppedError(signum, self.newest)

    def _save_checkpoint_with_step(self, runner: Runner, step: int, meta: dict[str, Any]) -> None:
        """Save under the name of the step, then remove what is not kept any longer."""
        name = self.filename_tmpl.format(step)
        self.last_ckpt = self.file_backend.join_path(self.out_dir, name)
        runner.message_hub.update_info('last_ckpt', self.last_ckpt)
        if self.max_keep_ckpts > 0:
            steps = [*(kept for kept in self.keep_ckpt_ids if kept != step), step]
            self.outdated += map(self.filename_tmpl.format, steps[: -self.max_keep_ckpts])
            self.keep_ckpt_ids.clear()
            self.keep_ckpt_ids.extend(steps[-self.max_keep_ckpts :])
            runner.message_hub.update_info('keep_ckpt_ids', list(self.keep_ckpt_ids))
        # the file lists what it supersedes, in case the run is killed right after it is written
        runner.message_hub.update_info('outdated', [*self.outdated, INTERRUPTED])
        self.outdated.clear()
        self._write(runner, name, meta)
        self._remove_outdated(runner)

    def _remove_outdated(self, runner: Runner) -> None:
        """Remove the files that the latest checkpoint has made superfluous."""
        for name in runner.message_hub.get_info('outdated', []):
            # only files of this folder, whatever a checkpoint from elsewhere lists
            path = self.file_backend.join_path(self.out_dir, os.path.basename(name))
            is_latest = name == os.path.basename(self.newest)
            if is_main_process() and not is_latest and self.file_backend.isfile(path):
                self.file_backend.remove_now(path)

    def _write(self, runner: Runner, name: str, meta: dict[str, Any]) -> None:
        """Save a checkpoint that a run can be resumed from, and make it the latest."""
        in_epoch = meta['epoch'] == self.epoch
        meta = meta | dict(
            batches_done=meta['iter'] - self.epoch_began if in_epoch else 0,
            images_per_iteration=images_per_iteration(runner.train_dataloader),
        )
        runner.save_checkpoint(
            self.out_dir,
            name,
            self.file_client_args,
            save_optimizer=self.save_optimizer,
            save_param_scheduler=self.save_param_scheduler,
            meta=meta,
            by_epoch=self.by_epoch,
            backend_args=self.backend_args,
            **self.args,
        )
        self.saved_iter, self.newest = meta['iter'], os.path.join(self.out_dir, name)
        self.saved_validation = runner.message_hub.get_info(VALIDATED)
        if is_main_process():
            with replacing(Path(runner.work_dir) / 'last_checkpoint') as file:
                file.write_text(self.newest)


class _RemoveLater:
    """A file backend that delays removals.

    Args:
        backend: The real one.
        names: Gets the names of the files.
    """

    def __init__(self, backend: Any, names: list[str]) -> None:
        self._backend, self._names = backend, names

    def __getattr__(self, name: str) -> Any:
        return getattr(self._backend, name)

    def remove(self, path: str) -> None:
        """Note the name of a file that is no longer wanted."""
        self._names.append(os.path.basename(path))

    def remove_now(self, path: str) -> None:
        """Remove a file at once."""
        self._backend.remove(path)


def _progress(runner: Runner) -> int:
    """What the validation interval counts: epochs or iterations."""
    loop = runner.train_loop
    return loop.iter if isinstance(loop, IterBasedTrainLoop) else loop.epoch


def _validation_is_due(runner: Runner) -> bool:
    """Whether a resumed run stands where MMEngine's loops validate, and has not done it."""
    loop, done = runner.train_loop, _progress(runner)
    if not isinstance(loop, (EpochBasedTrainLoop, IterBasedTrainLoop)) or not done:
        return False
    if runner.val_loop is None or done < loop.val_begin:
        return False
    loop._decide_current_val_interval()
    end = loop.max_iters if isinstance(loop, IterBasedTrainLoop) else loop.max_epochs
    is_due = done % loop.val_interval == 0 or done == end
    return is_due and runner.message_hub.get_info(VALIDATED) != done


def _gradients_are_used(runner: Runner) -> bool:
    """Whether no gradients wait for more to be added: a checkpoint does not hold them."""
    wrapper = runner.optim_wrapper
    wrappers = wrapper.values() if isinstance(wrapper, OptimWrapperDict) else [wrapper]
    return all(one.should_update() for one in wrappers)
