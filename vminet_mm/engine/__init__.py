from .config import ConfigError, load_config, set_data_root
from .launch import add_arguments, run_tool, test, train
from .preflight import check_processes, require_data

__all__ = [
    'ConfigError',
    'add_arguments',
    'check_processes',
    'load_config',
    'require_data',
    'run_tool',
    'set_data_root',
    'test',
    'train',
]
