"""The selective scan of Mamba: its definition, a version in torch, and the choice between them."""

from .chunked_torch import selective_scan
from .implementations import SCAN_IMPLS, choose_scan, scan_name

__all__ = ['SCAN_IMPLS', 'choose_scan', 'scan_name', 'selective_scan']
