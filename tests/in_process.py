"""Commands of Python run in this process, which spares starting it and importing the libraries."""

import runpy
import subprocess
import sys
from pathlib import Path

import pytest
from global_state import unchanged_globals
from mmengine.visualization import Visualizer


def run_here(*words: str) -> int | str:
    """Run ``python WORDS``; returns its exit code, or the message that it ends with.

    The commands of Python that it starts by ``subprocess.run`` run here as well.

    Args:
        words: A script, or -m and a module, and the arguments.
    """
    for kind in (Visualizer, *Visualizer.__subclasses__()):
        kind._instance_dict.clear()  # a command has a visualizer of its own
    is_module = words[0] == '-m'
    with unchanged_globals(), pytest.MonkeyPatch.context() as patch:
        patch.setattr('subprocess.run', _start_here(subprocess.run))
        patch.setattr('sys.argv', [*words[is_module:]])
        try:
            if is_module:
                runpy.run_module(words[1], run_name='__main__', alter_sys=True)
            else:
                runpy.run_path(words[0], run_name='__main__')
        except SystemExit as end:
            return end.code or 0
    return 0


def _start_here(start):
    """``subprocess.run``, which does not start the scripts of this interpreter."""

    def run(command, *args, **options) -> subprocess.CompletedProcess:
        """Run a script here, and start all else."""
        is_script = command[0] == sys.executable and Path(command[1]).suffix == '.py'
        if not is_script:
            return start(command, *args, **options)
        return subprocess.CompletedProcess(command, run_here(*command[1:]))

    return run
