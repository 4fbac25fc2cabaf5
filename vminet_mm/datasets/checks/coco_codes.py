"""Run-length codes of masks, decoded without pycocotools, which does not validate them and writes
out of bounds for an invalid code."""

from typing import Any

import numpy as np

FIRST, LAST = 48, 111  # bytes of a compressed code, 6 bits each: 5 of a number, 1 to continue
GOES_ON, SIGN, BITS = 32, 16, 5
MAX_PARTS = 7  # of a number of 32 bits


def code_runs(code: Any) -> np.ndarray | None:
    """The lengths of the runs of a code, of 0 and 1 in turn; None if the code is invalid.

    A code is a dict whose ``counts`` are a list of numbers or a compressed string.
    """
    counts = code.get('counts') if isinstance(code, dict) else None
    if isinstance(counts, str):
        return _decompressed(counts)
    if not isinstance(counts, list) or not all(type(run) is int and run >= 0 for run in counts):
        return None
    return np.array(counts, dtype=np.int64)


def _decompressed(text: str) -> np.ndarray | None:
    """The runs of a compressed code, as pycocotools' ``rleFrString`` reads it."""
    parts = np.frombuffer(text.encode(), dtype=np.uint8).astype(np.int64)
    if not parts.size:
        return parts
    if parts.min() < FIRST or parts.max() > LAST:
        return None
    parts -= FIRST
    ends = np.flatnonzero(parts & GOES_ON == 0)
    if not ends.size or ends[-1] != len(parts) - 1:  # cut off within a number
        return None
    starts = np.concatenate([[0], ends[:-1] + 1])
    lengths = ends - starts + 1
    if lengths.max() > MAX_PARTS:
        return None
    shifts = BITS * (np.arange(len(parts)) - np.repeat(starts, lengths))
    values = np.add.reduceat((parts & (GOES_ON - 1)) << shifts, starts)
    values -= np.where(parts[ends] & SIGN, 1 << (BITS * lengths), 0)
    # from the fourth run on, a code stores the difference to the run two before
    values[1::2] = values[1::2].cumsum()
    values[2::2] = values[2::2].cumsum()
    return values if values.min() >= 0 else None
