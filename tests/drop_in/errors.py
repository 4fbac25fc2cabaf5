"""What may be wrong with a folder, a swap, a trial or its process."""


class NotApplicableError(ValueError):
    """There is no image backbone that VMINet could replace; the message says why."""


class SwapError(ValueError):
    """No rule says how to give a part of the model the new channels."""


class TrialError(RuntimeError):
    """The model ran, and what it gave is wrong."""


class WorkerError(RuntimeError):
    """A worker did not finish; the message says why."""
