"""Tools on data sets of several readers and numbers of channels."""

from functools import cache

import numpy as np
import pytest
from mmengine.config import Config
from reader_sets import CLASSES, NUMBER, SIZE, ReaderSet, make_set

from vminet_mm.analysis.complexity import count_complexity
from vminet_mm.datasets.checks import check_config
from vminet_mm.engine import load_config
from vminet_mm.inference import load_model
from vminet_mm.models.channels import input_channels
from vminet_mm.visualization.loading import LoadedModel
from vminet_mm.visualization.report import predict

CELLS = [
    (reader, channels)
    for reader in ('coco', 'xml', 'multi_label', 'list_file', 'label_maps')
    for channels in (1, 3, 4)
]
cells = pytest.mark.parametrize(('reader', 'channels'), CELLS)


@pytest.fixture(scope='session')
def sets(tmp_path_factory: pytest.TempPathFactory):
    """Function that makes the set of a cell, once."""
    folder = tmp_path_factory.mktemp('readers')
    return cache(lambda reader, channels: make_set(folder, reader, channels))


def config_of(cell: ReaderSet) -> Config:
    return load_config(cell.config)


@cells
def test_macs(reader: str, channels: int, sets) -> None:
    """The stem is the one part that has more to do with more channels."""
    counted = [count_complexity(config_of(sets(reader, c)), (64, 64)) for c in (channels, 1)]
    backbone = load_model(sets(reader, channels).config, device='cpu').model.backbone
    assert input_channels(backbone) == channels
    first = next(m for m in backbone.modules() if hasattr(m, 'kernel_size'))
    stem = 32 * 32 * 9 * first.out_channels  # locations, kernel, channels
    assert counted[0].macs - counted[1].macs == (channels - 1) * stem


@cells
def test_check(reader: str, channels: int, sets) -> None:
    """Sound data have no problem, and the objects are counted whoever reads them."""
    lines: list[str] = []
    report = check_config(config_of(sets(reader, channels)), echo=lines.append)
    assert report.problems == []
    assert f'{NUMBER["train"]} listed, {NUMBER["train"]} found' in '\n'.join(lines)
    counts = dict(list_file='box 2, disc 2', label_maps='box ').get(reader, 'box 4, disc 2')
    assert counts in '\n'.join(lines)
    assert [len(samples) for samples in report.samples.values()] == list(NUMBER.values())
    assert all(one.image.shape[2] == 3 for one in report.samples['train'])


def test_names_that_are_no_classes(sets) -> None:
    """Objects of XML files whose name is written otherwise cannot be learned, and this is said."""
    cfg = config_of(sets('xml', 3))
    for loader in (cfg.train_dataloader, cfg.val_dataloader):
        loader.dataset.metainfo.classes = ('Box', 'Disc')
    report = check_config(cfg, echo=lambda line: None)
    assert len(report.problems) == 2
    assert all('none of the 0 objects can be learned' in problem for problem in report.problems)
    assert 'train: 6 objects have a name that is no class' in '\n'.join(report.notes)


@cells
def test_prediction(reader: str, channels: int, sets) -> None:
    """A file is predicted for as its pixels are, and drawn in the size of the file."""
    cell = sets(reader, channels)
    model = load_model(cell.config, cell.checkpoint, device='cpu')
    assert model.channels == channels and model.classes == CLASSES
    predictions = model(cell.images)
    assert [one.image.shape for one in predictions] == [(*SIZE, 3)] * NUMBER['val']
    assert all(one.draw().ndim == 3 for one in predictions)
    pixels = model.read(cell.images[0])
    assert pixels.shape == (SIZE if channels == 1 else (*SIZE, channels))
    (again,) = model([pixels])
    assert predictions[0].contents(0.0) == again.contents(0.0)


@cells
def test_looking_into_the_model(reader: str, channels: int, sets) -> None:
    cell = sets(reader, channels)
    loaded = LoadedModel.of(load_model(cell.config, cell.checkpoint, device='cpu'))
    sample = loaded.read(cell.images[0])
    assert sample.inputs.shape[1] == channels
    assert sample.picture.shape[2] == 3 and sample.picture.dtype == np.uint8


@cells
def test_report(reader: str, channels: int, sets) -> None:
    """The metrics of every evaluator, and pictures of the best and the worst image."""
    cell = sets(reader, channels)
    found = predict(config_of(cell), cell.checkpoint, NUMBER['val'], 'cpu')
    metric = dict(
        coco='coco/bbox_mAP',
        xml='loose/mAP',
        multi_label='multi-label/mAP',
        list_file='single-label/precision',
        label_maps='mIoU',
    )[reader]
    assert metric in found.metrics
    assert found.images == NUMBER['val'] and len(found.best) + len(found.worst) == NUMBER['val']
    pictures = [one.pictures[0][1] for one in (*found.best, *found.worst)]
    assert all(picture.startswith('data:image/jpeg;base64,') for picture in pictures)
    assert all(0 <= one.score <= 1 for one in (*found.best, *found.worst))
