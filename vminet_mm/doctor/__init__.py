"""Whether training can run on this machine, and what fixes it: ``python -m vminet_mm.doctor``.

It must start where torch or an mm package is missing or broken, so nothing but the standard library
is imported before the check that needs it; nor does ``import vminet_mm`` import anything else.
"""

from .diagnosis import diagnose
from .report import Problem, Section, can_train

__all__ = ['Problem', 'Section', 'can_train', 'diagnose']
