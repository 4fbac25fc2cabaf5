"""Trying all folders, each in a process of its own with a time limit."""

import multiprocessing
import os
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor, as_completed
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import torch

from .errors import WorkerError
from .trial import Outcome, try_folder

# imported once, by the server that every worker is a fork of
PRELOADED = ('vminet_mm', 'mmdet.models', 'mmseg.models', 'mmpretrain.models', __name__)


def run_folders(
    folders: list[tuple[str, Path]], arch: str = 'ti', jobs: int = 1, seconds: float = 300
) -> Iterator[Outcome]:
    """Try folders, and yield what became of each as it is known.

    Args:
        folders: Library and folder of each.
        arch: Of VMINet.
        jobs: Folders tried at the same time; the threads are divided between them.
        seconds: Time limit of a folder.
    """
    threads = max(1, torch.get_num_threads() // jobs)
    with ThreadPoolExecutor(jobs) as pool:
        trials = {
            pool.submit(run_limited, _try_folder, (path, library, arch, threads), seconds): (
                library,
                path,
            )
            for library, path in folders
        }
        for trial in as_completed(trials):
            library, path = trials[trial]
            try:
                yield trial.result()
            except WorkerError as error:
                yield Outcome(library, path.name, reason=str(error), seconds=seconds)


def run_limited(function: Callable[..., Any], arguments: tuple, seconds: float) -> Any:
    """Call a function in another process.

    Args:
        function: One that can be imported.
        arguments: For it.
        seconds: After which the process is killed.

    Raises:
        WorkerError: If the process crashes, or takes longer.
    """
    context = multiprocessing.get_context('forkserver')
    context.set_forkserver_preload(list(PRELOADED))
    receiver, sender = context.Pipe(duplex=False)
    worker = context.Process(target=_send_result, args=(sender, function, arguments), daemon=True)
    worker.start()
    sender.close()
    try:
        if not receiver.poll(seconds):
            raise WorkerError(f'not finished after {seconds:g} s')
        return receiver.recv()
    except EOFError:
        worker.join()
        raise WorkerError(f'the process ended with exit code {worker.exitcode}') from None
    finally:
        worker.kill()
        worker.join()
        receiver.close()


def _send_result(sender: Connection, function: Callable[..., Any], arguments: tuple) -> None:
    with open(os.devnull, 'w') as nowhere:  # what upstream prints and warns of
        os.dup2(nowhere.fileno(), 1)
        os.dup2(nowhere.fileno(), 2)
        sender.send(function(*arguments))


def _try_folder(path: Path, library: str, arch: str, threads: int) -> Outcome:
    torch.set_num_threads(threads)
    return try_folder(path, library, arch)
