from .page import write_report
from .predictions import predict
from .work_dir import read_work_dir

__all__ = ['predict', 'read_work_dir', 'write_report']
