"""How much the fuzz tests try: a few examples that are always the same, or many new ones.

HYPOTHESIS_PROFILE=thorough python -m pytest tests/fuzz
"""

import os

from hypothesis import HealthCheck, settings

COMMON = dict(
    deadline=None,  # nothing here is timed
    database=None,  # a failure prints what draws it again
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)
settings.register_profile('quick', max_examples=20, derandomize=True, **COMMON)
settings.register_profile('thorough', max_examples=1000, print_blob=True, **COMMON)
settings.load_profile(os.environ.get('HYPOTHESIS_PROFILE', 'quick'))
