"""Checks before any long work starts: the data's layout and the number of processes."""

import os

import torch
from mmengine.config import Config

from ..datasets.config_parts import missing_paths
from ..errors import ConfigError
from ..tasks import LAYOUTS_TEXT

# what each sets for the processes that it starts
LAUNCHERS = dict(pytorch='RANK', slurm='SLURM_PROCID', mpi='OMPI_COMM_WORLD_LOCAL_RANK')
LOCAL_RANKS = ('LOCAL_RANK', 'SLURM_LOCALID', 'OMPI_COMM_WORLD_LOCAL_RANK')

LAYOUTS = f"""The layouts are
{LAYOUTS_TEXT}
and --data-root DIR points a config at such a folder. The built-in data set is made with
  vminet_mm make-mini-data"""


def require_data(cfg: Config, splits: tuple[str, ...]) -> None:
    """Raise ConfigError unless the files and folders that the data sets name are there."""
    missing = [f'{s}: {path} is missing' for s in splits for path in missing_paths(cfg, s)]
    if missing:
        raise ConfigError('\n'.join([*missing, LAYOUTS]))


def local_rank() -> int:
    """Number of this process on its machine, as torchrun, Slurm or Open MPI gives it; else 0."""
    given = (os.environ.get(variable) for variable in LOCAL_RANKS)
    return next((int(rank) for rank in given if rank), 0)


def check_processes(launcher: str) -> None:
    """Raise ConfigError if a launcher is named that did not start this process, or if there are
    more processes on this machine than GPUs; without CUDA any number goes.
    """
    variable = LAUNCHERS.get(launcher)
    if variable and variable not in os.environ:
        raise ConfigError(
            f'--launcher {launcher}: it did not start this process ({variable} is not set); start '
            'with vminet_mm dist-train or vminet_mm slurm-train, or leave out --launcher'
        )
    variable = dict(pytorch='LOCAL_WORLD_SIZE', slurm='SLURM_NTASKS_PER_NODE').get(launcher, '')
    wanted = os.environ.get(variable, '1')
    wanted = int(wanted) if wanted.isdecimal() else 1
    present = torch.cuda.device_count()
    if torch.cuda.is_available() and wanted > present:
        raise ConfigError(
            f'{wanted} GPUs were asked for, {present} {"is" if present == 1 else "are"} there; '
            f'start with {present}, or with CUDA_VISIBLE_DEVICES= to train on the CPU'
        )
