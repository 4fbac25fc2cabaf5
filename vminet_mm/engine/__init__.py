from .config import load_config, set_data_root
from .launch import add_arguments, add_cfg_options, run_tool, test, train
from .preflight import check_processes, require_data

__all__ = [
    'add_arguments',
    'add_cfg_options',
    'check_processes',
    'load_config',
    'require_data',
    'run_tool',
    'set_data_root',
    'test',
    'train',
]
