"""--out DIR of a segmentor: one label map an image, wherever it lies."""

from pathlib import Path
from types import SimpleNamespace

import cv2
import numpy as np
import pytest
import torch
from mmengine.dataset import ConcatDataset
from mmengine.structures import PixelData
from mmseg.datasets import BaseSegDataset
from mmseg.structures import SegDataSample

from vminet_mm.inference.label_map_hook import LabelMapHook

NAMES = ['one/\u732b/x.png', 'one/b/x.png', 'two/\u732b/x.png', 'two/b/x.png']


def run(folder: Path, count: int, **meta: object) -> np.ndarray:
    """Write the label maps of four images of one name; the maps have pixels 0 to 3 above 0."""
    for name in NAMES:
        (folder / name).parent.mkdir(parents=True)
        (folder / name).with_suffix('.jpg').touch()
    classes = dict(classes=tuple(map(str, range(count))))
    parts = [
        BaseSegDataset(
            data_root=str(folder), data_prefix=dict(img_path=part), metainfo=classes, test_mode=True
        )
        for part in ('one', 'two')
    ]
    dataset = ConcatDataset(parts)
    hook = LabelMapHook(str(folder / 'out'))
    hook.before_test(SimpleNamespace(test_dataloader=SimpleNamespace(dataset=dataset)))
    for number in range(len(NAMES)):
        labels = torch.zeros(1, 3, 5, dtype=torch.long)
        labels[0, 1, 2] = count - 1 - number
        sample = SegDataSample(pred_sem_seg=PixelData(data=labels))
        sample.set_metainfo(dict(img_path=dataset.get_data_info(number)['img_path'], **meta))
        hook.after_test_iter(None, 0, outputs=[sample])
    files = sorted((folder / 'out').rglob('*.*'))
    assert [str(file.relative_to(folder / 'out')) for file in files] == sorted(NAMES)
    maps = [cv2.imdecode(np.fromfile(file, np.uint8), cv2.IMREAD_UNCHANGED) for file in files]
    return np.stack(maps)


@pytest.mark.parametrize(('first', 'meta'), [(0, {}), (1, dict(reduce_zero_label=True))])
def test_images_of_one_name_keep_their_maps(tmp_path: Path, first: int, meta: dict) -> None:
    maps = run(tmp_path, 5, **meta)
    assert maps.shape == (4, 3, 5) and maps.dtype == np.uint8
    assert sorted(maps[:, 1, 2]) == [first + 1, first + 2, first + 3, first + 4]
    maps[:, 1, 2] = first
    assert (maps == first).all()


def test_many_classes(tmp_path: Path) -> None:
    maps = run(tmp_path, 300)
    assert maps.dtype == np.uint16 and maps.max() == 299
