"""Errors of data pipelines: which image, which step, and out of a worker of a data loader."""

from pathlib import Path

import pytest
from mmcv.image import io
from mmcv.transforms import LoadImageFromFile
from mmengine.dataset import BaseDataset, Compose
from PIL import Image
from torch.utils.data import DataLoader

from vminet_mm.compat.data_errors import why_unreadable
from vminet_mm.errors import DataError


def halve(data: dict) -> dict:
    return data | dict(value=data['value'] / data['by'])


def pipeline() -> Compose:
    return Compose([lambda data: data | dict(by=data['value'] - 3), halve])


class Numbers(BaseDataset):
    def load_data_list(self) -> list[dict]:
        return [dict(img_path=f'{k}.jpg', value=k) for k in range(self.metainfo['number'])]


def numbers(number: int) -> Numbers:
    return Numbers(metainfo=dict(number=number), pipeline=pipeline().transforms, ann_file='a.json')


def test_what_works_is_left_alone() -> None:
    assert pipeline()(dict(value=4))['value'] == 4
    assert Compose([lambda data: None, halve])({}) is None


def test_step_and_image() -> None:
    with pytest.raises(DataError) as caught:
        pipeline()(dict(img_path='a.jpg', value=3))
    said = 'a.jpg: function fails, ZeroDivisionError: division by zero; fix or remove it; '
    assert str(caught.value) == f'{said}vminet_mm check-data CONFIG finds all such'
    assert isinstance(caught.value.__cause__, ZeroDivisionError)
    with pytest.raises(DataError, match="^function fails, KeyError: 'value'"):
        pipeline()({})


def test_a_pipeline_in_a_pipeline_names_the_image_once() -> None:
    with pytest.raises(DataError) as caught:
        Compose([pipeline()])(dict(img_path='a.jpg', value=3))
    assert str(caught.value).count('a.jpg') == str(caught.value).count(' fails, ') == 1


def test_worker() -> None:
    loader = DataLoader(numbers(5), batch_size=1, num_workers=1, collate_fn=list)
    with pytest.raises(DataError) as caught:
        list(loader)
    assert str(caught.value).startswith('3.jpg: function fails, ZeroDivisionError: ')


def test_worker_with_traceback(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv('VMINET_TRACEBACK', '1')
    loader = DataLoader(numbers(5), batch_size=1, num_workers=1, collate_fn=list)
    with pytest.raises(DataError) as caught:
        list(loader)
    said = str(caught.value)
    assert "data['value'] / data['by']" in said and said.count('3.jpg: function fails, ') == 1


def test_nothing_to_load() -> None:
    assert len(numbers(2)) == 2
    with pytest.raises(DataError, match='^a.json: no image is left'):
        numbers(0)


def test_remote_files_are_not_looked_at() -> None:
    assert why_unreadable('s3://bucket/a.jpg') is None


@pytest.mark.parametrize(('backend', 'package'), [('turbojpeg', 'jpeg'), ('tifffile', 'tifffile')])
def test_a_sound_image_is_not_blamed(
    backend: str, package: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where the package of the decoder is missing."""
    monkeypatch.setattr(io, package, None)
    path = tmp_path / 'a.jpg'
    Image.new('RGB', (5, 3)).save(path)
    load = LoadImageFromFile()
    assert load(dict(img_path=str(path)))['img'].shape == (3, 5, 3)
    load.imdecode_backend = backend
    with pytest.raises(DataError) as caught:
        Compose([load])(dict(img_path=str(path)))
    step = f"{path}: LoadImageFromFile with imdecode_backend='{backend}' fails, "
    assert str(caught.value).startswith(f"{step}AttributeError: 'NoneType' object has no")
    assert 'OpenCV' not in str(caught.value) and 'remove' not in str(caught.value)


def test_no_memory_is_no_fault_of_the_image(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def decode(*args: object) -> None:
        raise MemoryError

    monkeypatch.setattr(io.cv2, 'imdecode', decode)
    Image.new('RGB', (5, 3)).save(tmp_path / 'a.png')
    with pytest.raises(MemoryError):
        Compose([LoadImageFromFile()])(dict(img_path=str(tmp_path / 'a.png')))
