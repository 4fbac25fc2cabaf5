"""Exporting trained models to ONNX and torch.export, see docs/export.md."""

from .export import Export, export, require_small
from .outputs import Outputs, exportable, make_outputs
from .program import save_onnx, save_pt2, trace
from .verify import Difference, verify

__all__ = [
    'Difference',
    'Export',
    'Outputs',
    'export',
    'exportable',
    'make_outputs',
    'require_small',
    'save_onnx',
    'save_pt2',
    'trace',
    'verify',
]
