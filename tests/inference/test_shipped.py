"""The models that come with their weights: small, whole, and loaded by name."""

import json
import runpy
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from vminet_mm.engine import load_config
from vminet_mm.errors import ConfigError
from vminet_mm.inference import load_model, shipped_names
from vminet_mm.inference.shipped import WEIGHTS, find_shipped

ROOT = Path(__file__).parents[2]
DEMO = str(ROOT / 'demo/image_demo.py')
NUCLEI = 'mask-rcnn_vminet-ti_nuclei'
MAX_BYTES = 6e6
each = pytest.mark.parametrize('name', shipped_names())


def test_there_is_the_model_of_nuclei() -> None:
    assert NUCLEI in shipped_names()


@each
def test_weights_are_small_and_finite_and_in_half_precision(name: str) -> None:
    path = find_shipped(name)[1]
    assert path.stat().st_size <= MAX_BYTES
    tensors = torch.load(path, weights_only=True)['state_dict'].values()
    floats = [tensor for tensor in tensors if tensor.is_floating_point()]
    assert floats and all(t.dtype == torch.half and t.isfinite().all() for t in floats)


@each
def test_log_and_metrics_are_of_one_run(name: str) -> None:
    lines = [json.loads(line) for line in (WEIGHTS / name / 'log.json').read_text().splitlines()]
    metrics = json.loads((WEIGHTS / name / 'metrics.json').read_text())
    last = lines[-1]
    for key, value in metrics.items():
        if key in last:  # of the weights before they were rounded to half precision
            assert value == pytest.approx(last[key], abs=0.01)
    assert 'coco/segm_mAP' in metrics


def test_the_config_is_the_one_in_configs() -> None:
    config = load_config(ROOT / 'configs/mask_rcnn/mask-rcnn_vminet-ti_fpn_nuclei.py')
    shipped = load_config(find_shipped(NUCLEI)[0])
    assert shipped.model == config.model
    assert shipped.test_dataloader == config.test_dataloader


def test_a_disk_on_a_dark_ground_is_a_nucleus() -> None:
    model = load_model(NUCLEI, device='cpu')
    rows, columns = np.mgrid[:128, :160]
    inside = (rows - 60) ** 2 + (columns - 90) ** 2 < 11**2
    picture = np.where(inside, 150, 15).astype(np.uint8)[..., None].repeat(3, 2)
    (prediction,) = model(picture)
    objects = prediction.to_dict(score_thr=0.5)['objects']
    left, top, right, bottom = max(objects, key=lambda found: found['score'])['box']
    assert abs((left + right) / 2 - 90) < 4 and abs((top + bottom) / 2 - 60) < 4


def test_an_unknown_name_is_told_with_those_that_are_there() -> None:
    with pytest.raises(ConfigError, match=f'no shipped model .*resnet.* {NUCLEI}'):
        load_model('resnet')
    with pytest.raises(ConfigError, match='shipped with its weights: give no mine.pth'):
        load_model(NUCLEI, 'mine.pth')
    assert load_model(Path(NUCLEI), device=None).task == 'detection'  # a name all the same


def test_microscope_pictures_of_16_bits(tmp_path: Path, log: list[str]) -> None:
    """Found where the 16 bits are used; with 12 of them, the picture is named as dark."""
    model = load_model(NUCLEI, device='cpu')
    rows, columns = np.mgrid[:128, :160]
    disk = np.where((rows - 60) ** 2 + (columns - 90) ** 2 < 11**2, 150, 15).astype(np.uint16)
    found = {}
    for name, factor in (('whole', 256), ('dark', 16)):
        path = tmp_path / f'{name}.tif'
        cv2.imwrite(str(path), disk * factor)
        (prediction,) = model(path)
        found[name] = len(prediction.to_dict(score_thr=0.5)['objects'])
    assert found['whole'] > 0 and found['dark'] == 0
    assert [line for line in log if 'nearly black' in line] == [
        f'{tmp_path}/dark.tif has 16 bits a channel, and no value above 2400: its upper 8 bits '
        'are nearly black. Scale its values to 65535 before'
    ]


def test_demo_takes_the_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    picture = tmp_path / 'picture.png'
    cv2.imwrite(str(picture), np.zeros((64, 64, 3), np.uint8))
    command = ['image_demo.py', str(picture), '--out-dir', str(tmp_path / 'out')]
    monkeypatch.setattr('sys.argv', [*command, '--device', 'cpu', '--model', NUCLEI])
    runpy.run_path(DEMO, run_name='__main__')
    assert (tmp_path / 'out/picture.png').is_file()
    for switches in ([], ['--model', NUCLEI, '--config', 'a.py'], ['--config', 'a.py']):
        monkeypatch.setattr('sys.argv', [*command, *switches])
        with pytest.raises(SystemExit, match='2'):
            runpy.run_path(DEMO, run_name='__main__')
