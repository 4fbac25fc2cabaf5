"""The selective scan of Mamba: its definition, a version in torch, and the orders of tokens."""

from .chunked_torch import selective_scan
from .implementations import SCAN_IMPLS, choose_scan, scan_name
from .orders import ScanOrder, scan_order, scan_steps

__all__ = [
    'SCAN_IMPLS',
    'ScanOrder',
    'choose_scan',
    'scan_name',
    'scan_order',
    'scan_steps',
    'selective_scan',
]
