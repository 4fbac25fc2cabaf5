"""Exporting trained models to ONNX and torch.export, see docs/export.md."""

from .export import Export, export, require_small
from .outputs import Outputs, exportable, make_outputs
from .program import save_onnx, save_pt2, trace
from .scoring import OnnxModel, score
from .session import open_session, read_metadata
from .verify import Difference, verify

__all__ = [
    'Difference',
    'Export',
    'OnnxModel',
    'Outputs',
    'export',
    'exportable',
    'make_outputs',
    'open_session',
    'read_metadata',
    'require_small',
    'save_onnx',
    'save_pt2',
    'score',
    'trace',
    'verify',
]
