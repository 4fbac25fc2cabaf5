"""All checks in their order, each as far as the packages allow it."""

from collections.abc import Callable
from typing import Any

from ..errors import error_text
from .data import check_config, check_roots
from .machine import check_devices, check_environment, check_space, check_triton
from .packages import check_packages
from .report import Section
from .upstream import check_compat, check_operators


def diagnose(
    config: str | None = None, data_root: str | None = None, installed: bool = True
) -> list[Section]:
    """Look at the installation, the machine and the data.

    Of a config its needs are checked; what else is missing is then no problem. The data root
    replaces that of the config's data; without a config it should have one of the known layouts.
    """
    packages, usable = check_packages(installed)
    sections = [packages]
    if {'numpy', 'torch'} <= usable:
        sections.append(_run(check_devices))
    if 'mmengine' in usable:
        sections.append(_run(check_environment))
    sections.append(_run(check_compat))
    if 'mmcv' in usable:
        sections.append(_run(check_operators))
    if 'vminet_mm' in usable:
        sections.append(_run(check_triton))
    work_dir = 'work_dirs'
    if config is None:
        sections.append(check_roots(data_root))
    elif 'vminet_mm' in usable:
        needs, cfg = check_config(config, data_root, usable)
        sections.append(needs)
        work_dir = cfg.work_dir if cfg else work_dir
    return [*sections, _run(check_space, work_dir)]


def _run(check: Callable[..., Section], *args: Any) -> Section:
    """Run a check; an error of the check itself is reported as a problem."""
    try:
        return check(*args)
    except Exception as error:
        name = check.__name__
        section = Section(name)
        section.problem(
            f'{name} failed: {error_text(error)}',
            f"python -c 'from vminet_mm.doctor.diagnosis import *; {name}(*{args})'",
            fatal=False,
        )
        return section
