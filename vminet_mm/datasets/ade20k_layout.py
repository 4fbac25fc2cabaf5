"""Segmentation data laid out as ADE20K, with classes of one's own; the one module to need mmseg."""

import os
from collections.abc import Sequence
from typing import Any

from mmengine.registry import DATASETS
from mmseg.datasets import ADE20KDataset
from PIL import Image
from torch import Tensor

from ..compat.data_errors import FIX
from ..errors import DataError
from .pictures import loaded_size


@DATASETS.register_module()
class ADE20KLayoutDataset(ADE20KDataset):
    """ADE20K, or other data of its layout whose classes are given by ``metainfo.classes``.

    Label 0 is ignored, label i is the i-th class, counted from 1. mmseg's own class takes the names
    of ADE20K alone, and would take a shorter list of names for a selection of its 150.

    Args:
        metainfo (dict | None): ``classes`` and ``palette`` (RGB).
            Defaults to None, ADE20K.
        **kwargs: As of mmseg's ``ADE20KDataset``.
    """

    def __init__(self, metainfo: dict | None = None, **kwargs) -> None:
        if metainfo and 'classes' in metainfo:  # ADE20K's 150 colors do not fit them
            metainfo = {'palette': [], **metainfo}
        super().__init__(metainfo=metainfo, **kwargs)

    @classmethod
    def get_label_map(cls, new_classes: Sequence[str] | None = None) -> None:
        """No label is mapped to another: the files count in the order of the names."""
        return None

    def prepare_data(self, idx: int) -> Any:
        """The sample of an index, through the pipeline.

        Raises:
            DataError: If its label map has a label that is no class, which on a GPU would end the
                run without a word of which; or more than one channel of 8 bits, of which mmseg
                would take the lower 8; or another size than its image, which it would not notice.
        """
        info = self.get_data_info(idx)
        path = info.get('seg_map_path', '')
        if os.path.isfile(path) and os.path.isfile(info['img_path']):
            _check_kind(path, info['img_path'])
        data = super().prepare_data(idx)
        sample = data.get('data_samples') if isinstance(data, dict) else None
        if hasattr(sample, 'gt_sem_seg'):
            self._check_labels(sample.gt_sem_seg.data, path)
        return data

    def _check_labels(self, labels: Tensor, path: str) -> None:
        number, first = len(self.metainfo['classes']), int(self.reduce_zero_label)
        outside = labels[(labels >= number) & (labels != self.ignore_index)]
        if len(outside):
            raise DataError(
                f'{path}: label {int(outside[0]) + first} is out of range; with {number} classes '
                f'the labels are {first} to {number - 1 + first}; {FIX}'
            )


def _check_kind(path: str, image: str) -> None:
    """Raise unless a label map has, by its header, one channel of 8 bits and its image's size."""
    try:
        with Image.open(path) as file:
            mode, size = file.mode, file.size
    except Exception:  # decoders raise errors of many kinds; loading reports them
        return
    if mode not in ('L', 'P'):
        raise DataError(f'{path} is {mode}; a label map has one channel of 8 bits; {FIX}')
    if 1 in size:
        raise DataError(f'{path} has a single row or column, which mmseg does not read; {FIX}')
    of_image = loaded_size(image)
    if of_image and sorted(size) != sorted(of_image[0]):  # in whichever orientation it is read
        raise DataError(f'{path} is {size}, its image {of_image[0]}; {FIX}')
