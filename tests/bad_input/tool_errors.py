"""Running the tools in this process, and what they say of what they refuse."""

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from vminet_mm.engine import run_tool

DEFAULTS = dict(
    cfg_options=None,
    data_root=None,
    launcher='none',
    local_rank=0,
    # tools/train.py
    amp=False,
    auto_scale_lr=False,
    show_groups=False,
    resume=None,
    pretrained=None,
    # tools/test.py
    out=None,
    metrics=None,
    show=False,
    show_dir=None,
    wait_time=0.0,
    tta=False,
    deploy=False,
)


def refusal(
    tool: Callable, config: str | Path, work_dir: Path, lines: int = 1, **switches: Any
) -> str:
    """What a tool says that refuses to run: so many lines, and no traceback.

    Args:
        tool: ``vminet_mm.engine.train`` or ``test``.
        config: The config file.
        work_dir: Where the tool would write.
        lines: How many lines are expected.
        **switches: Those of the tool that are not as usual.
    """
    arguments = DEFAULTS | dict(config=str(config), work_dir=str(work_dir)) | switches
    with pytest.raises(SystemExit) as caught:
        run_tool(tool, argparse.Namespace(**arguments))
    text = str(caught.value.code)
    assert text.startswith('error: ') and 'Traceback' not in text
    assert len(text.splitlines()) == lines, text
    return text.removeprefix('error: ')
