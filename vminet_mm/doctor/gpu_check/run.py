"""Run steps, each in processes of its own and within its time."""

import json
import os
import signal
import subprocess
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, TextIO

from .steps import Command, Plan, Step

MIN_SECONDS = 1.0


@dataclass(frozen=True)
class Outcome:
    """How a command ended.

    Attributes:
        step: The name of its step.
        name: Its own.
        command: The words.
        code: The exit code; None where its time was up.
        seconds: How long it ran.
        output: What it printed to stdout.
        result: What it wrote as JSON, if it did.
    """

    step: str
    name: str
    command: Command
    code: int | None
    seconds: float
    output: str = ''
    result: Any = field(default=None)


def run_steps(steps: Sequence[Step], plan: Plan, minutes: float, log: TextIO) -> list[Outcome]:
    """Run steps in order, all output logged; what one leaves of the time goes to those after it."""
    end, outcomes = time.monotonic() + 60 * minutes, []
    for index, step in enumerate(steps):
        left = end - time.monotonic()
        limit = max(left * step.seconds / sum(one.seconds for one in steps[index:]), MIN_SECONDS)
        outcomes += _run_step(step, plan, time.monotonic() + limit, log)
        (plan.out / 'gpu_check.json').write_text(as_json(outcomes))  # also if the next one hangs
    return outcomes


def as_json(outcomes: Sequence[Outcome]) -> str:
    """All outcomes with their results."""
    return json.dumps([asdict(outcome) for outcome in outcomes], indent=2)


def _run_step(step: Step, plan: Plan, end: float, log: TextIO) -> list[Outcome]:
    outcomes = []
    for name, command in step.commands(plan).items():
        print(f'\n== {step.name}: {name}\n$ {" ".join(command)}', file=log, flush=True)
        start = time.monotonic()
        code, output = run_command(command, max(end - start, MIN_SECONDS), log)
        seconds = time.monotonic() - start
        print(f'-- {state(code)} after {seconds:.1f} s', file=log, flush=True)
        result = _read(Path(plan.json(name)))
        outcomes.append(Outcome(step.name, name, command, code, seconds, output, result))
    return outcomes


def run_command(command: Command, seconds: float, log: TextIO) -> tuple[int | None, str]:
    """Run a command, and end it with all processes that it started when its time is up.

    Returns the exit code, None where time was up, and stdout.
    """
    streams = dict(stdout=subprocess.PIPE, stderr=subprocess.PIPE, stdin=subprocess.DEVNULL)
    try:
        process = subprocess.Popen(
            command, text=True, errors='replace', start_new_session=True, **streams
        )
    except OSError as error:  # no bash, for example
        print(error, file=log)
        return 127, ''
    try:
        output, errors = process.communicate(timeout=seconds)
        code = process.returncode
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        output, errors = process.communicate()
        code = None
    print(output, errors, sep='\n', file=log, flush=True)
    return code, output


def state(code: int | None) -> str:
    """An exit code in words."""
    return {0: 'done', None: 'out of time'}.get(code, f'failed ({code})')


def _read(path: Path) -> Any:
    try:
        return json.loads(path.read_text())
    except (OSError, ValueError):  # not written, or not to its end
        return None
