"""All exceptions of the package, and their text in one line.

The command-line tools catch these errors and print their text without a traceback.
"""

import os
import pickle
import signal

MAX_LENGTH = 300  # characters of an error, which may quote the whole input


def one_line(text: object, length: int | None = None) -> str:
    """Text in one line, truncated to a length if one is given."""
    text = ' '.join(str(text).split())
    return text if length is None or len(text) <= length else f'{text[:length]} ...'


def error_text(error: BaseException, length: int = MAX_LENGTH) -> str:
    """The type and the message of an error, in one line of bounded length."""
    text = one_line(error, length)
    return f'{type(error).__name__}: {text}' if text else type(error).__name__


class ConfigError(ValueError):
    """Invalid config, or invalid data, files or machine settings that it asks for."""


class InputError(ConfigError):
    """An input for inference cannot be read."""


class CheckpointWriteError(ConfigError):
    """A checkpoint could not be written; those before it are untouched."""


class NonFiniteError(ConfigError):
    """A loss or a weight is infinite or not a number."""


class DataError(RuntimeError):
    """An image or its labels cannot be used.

    Args:
        text (str): The file, the reason, and the fix. A data loader re-raises the error of a worker
            with the worker's whole traceback as text; only its last line is kept, unless
            ``VMINET_TRACEBACK=1`` is set in the environment.
    """

    def __init__(self, text: str) -> None:
        text = str(text).strip()
        if not os.environ.get('VMINET_TRACEBACK'):
            text = text.splitlines()[-1].rpartition('DataError: ')[2]
        super().__init__(text)


class CheckpointError(RuntimeError):
    """The file is not a readable checkpoint."""


class UnsafeCheckpointError(CheckpointError, pickle.UnpicklingError):
    """The checkpoint was refused because loading it could run code."""


class CheckpointMismatchError(CheckpointError):
    """The tensors of a checkpoint do not match the model."""


class RunStoppedError(Exception):
    """A signal ended the run, and its state is saved.

    Args:
        signum (int): The signal.
        checkpoint (str): The file with the saved state, or its folder.
        way (str): How to go on. Defaults to ``'--resume'``.
    """

    def __init__(self, signum: int, checkpoint: str, way: str = '--resume') -> None:
        name = signal.Signals(signum).name
        super().__init__(f'stopped by {name}. {checkpoint} holds the state: go on with {way}')
        self.exit_code = 128 + signum
