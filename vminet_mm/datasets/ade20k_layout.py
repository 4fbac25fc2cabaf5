"""Segmentation data laid out as ADE20K, with classes of one's own; the one module to need mmseg."""

from collections.abc import Sequence

from mmengine.registry import DATASETS
from mmseg.datasets import ADE20KDataset


@DATASETS.register_module()
class ADE20KLayoutDataset(ADE20KDataset):
    """ADE20K, or other data of its layout whose classes are given by ``metainfo.classes``.

    Label 0 is ignored, label i is the i-th class, counted from 1. mmseg's own class takes the names
    of ADE20K alone, and would take a shorter list of names for a selection of its 150.
    """

    def __init__(self, metainfo: dict | None = None, **kwargs) -> None:
        if metainfo and 'classes' in metainfo:  # ADE20K's 150 colours do not fit them
            metainfo = {'palette': [], **metainfo}
        super().__init__(metainfo=metainfo, **kwargs)

    @classmethod
    def get_label_map(cls, new_classes: Sequence[str] | None = None) -> None:
        """No label is mapped to another: the files count in the order of the names."""
        return None
