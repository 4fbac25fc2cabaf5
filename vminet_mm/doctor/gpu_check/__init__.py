"""One command that says what a GPU does with this package: correctness, speed and memory.

Every step is a process of its own, so that none can take another down with it.
"""

from .page import as_page
from .run import Outcome, run_steps
from .steps import STEPS, Step

__all__ = ['STEPS', 'Outcome', 'Step', 'as_page', 'run_steps']
