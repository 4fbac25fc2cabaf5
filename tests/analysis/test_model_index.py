"""README.md and metafile.yml of the config folders, and model-index.yml, say what is true."""

import json
from pathlib import Path

import modelindex
import pytest
import torch
import yaml
from mmengine.config import Config
from mmengine.registry import MODELS, DefaultScope

from vminet_mm.analysis import count_complexity
from vminet_mm.engine import load_config

ROOT = Path(__file__).parents[2]
FOLDERS = ('cascade_rcnn', 'cls', 'mask_rcnn', 'peers', 'retinanet', 'segformer', 'upernet')
ENTRIES = {
    entry['Config']: entry
    for folder in FOLDERS
    for entry in yaml.safe_load((ROOT / 'configs' / folder / 'metafile.yml').read_text())['Models']
}
NUCLEI = 'configs/mask_rcnn/mask-rcnn_vminet-ti_fpn_nuclei.py'
SMALL = ('_mini.py', '_nuclei.py', '_camvid.py', '_cifar10.py')
MEASURED = sorted(config for config in ENTRIES if not config.endswith(SMALL))
OTHERS = [config for config in MEASURED if '/peers/' in config]
COUNTED = ('-xs_', '-xs-r_', '/vim-ti_', '/lvt_')  # one or two of a folder
XS = [config for config in MEASURED if any(name in config for name in COUNTED)]


def row_of(config: str) -> str:
    """The line of a folder's README table that links to a config."""
    path = ROOT / config
    lines = path.with_name('README.md').read_text().splitlines()
    rows = [line for line in lines if f'[{path.stem}]({path.name})' in line]
    assert len(rows) == 1, f'{path.stem} is in {len(rows)} lines of its README'
    return rows[0]


@pytest.mark.parametrize('folder', FOLDERS)
def test_metafile_lists_the_folder(folder: str) -> None:
    content = yaml.safe_load((ROOT / 'configs' / folder / 'metafile.yml').read_text())
    (collection,) = content['Collections']
    assert (ROOT / collection['README']).is_file()
    assert all(entry['In Collection'] == collection['Name'] for entry in content['Models'])
    assert all(entry['Name'] == Path(entry['Config']).stem for entry in content['Models'])
    listed = sorted(entry['Config'] for entry in content['Models'])
    assert listed == sorted(
        f'configs/{folder}/{p.name}' for p in (ROOT / f'configs/{folder}').glob('*.py')
    )


def test_model_index_imports_every_metafile() -> None:
    index = modelindex.load(str(ROOT / 'model-index.yml'))
    index.build_models_with_collections()
    assert sorted(model.name for model in index.models) == sorted(
        entry['Name'] for entry in ENTRIES.values()
    )


def test_no_result_is_claimed_before_there_is_one() -> None:
    """Results and Weights are for what was trained with these configs: those that are shipped."""
    for config, entry in ENTRIES.items():
        assert ('Results' in entry) == ('Weights' in entry) == (config == NUCLEI)
        assert ('not yet trained' in row_of(config)) == (config in MEASURED)


def test_results_are_those_of_the_shipped_weights() -> None:
    weights = ROOT / ENTRIES[NUCLEI]['Weights']
    assert weights.is_file()
    metrics = json.loads(weights.with_name('metrics.json').read_text())
    box, mask = (result['Metrics'] for result in ENTRIES[NUCLEI]['Results'])
    assert box['box AP'] == round(100 * metrics['coco/bbox_mAP'], 1)
    assert mask['mask AP'] == round(100 * metrics['coco/segm_mAP'], 1)


@pytest.mark.parametrize('config', MEASURED, ids=lambda config: Path(config).stem)
def test_readme_has_the_numbers_of_the_metafile(config: str) -> None:
    metadata = ENTRIES[config]['Metadata']
    assert f'| {metadata["Parameters"] / 1e6:.2f} M |' in row_of(config)
    digits = 2 if metadata['Input Size'] == '224 x 224' else 1
    assert f'| {metadata["FLOPs"] / 1e9:.{digits}f} G |' in row_of(config)


# tests/test_configs.py, which builds them anyway, has those of VMINet
@pytest.mark.parametrize('config', OTHERS, ids=lambda config: Path(config).stem)
def test_parameters_are_those_of_the_model(config: str) -> None:
    cfg = load_config(ROOT / config)
    with DefaultScope.overwrite_default_scope(cfg.default_scope), torch.device('meta'):
        model = MODELS.build(cfg.model)
    expected = ENTRIES[config]['Metadata']['Parameters']
    assert expected == sum(parameter.numel() for parameter in model.parameters())


def measured_flops(cfg: Config) -> tuple[int, tuple[int, int]]:
    """MACs and image size; of a cascade, which takes a minute, from few proposals."""
    if 'Cascade' not in cfg.model.get('roi_head', {}).get('type', ''):
        counts = count_complexity(cfg)
        return counts.macs, counts.shape
    rpn = cfg.model.test_cfg.rpn
    wanted, few = rpn.max_per_img, []
    for rpn.max_per_img in (4, 8):
        few.append(count_complexity(cfg))
    each = (few[1].macs - few[0].macs) // 4
    return few[0].macs + (wanted - 4) * each, few[0].shape


@pytest.fixture(scope='module')
def measured() -> dict[str, tuple[int, tuple[int, int]]]:
    """What was measured, by model and data: some configs differ in their schedule alone."""
    return {}


@pytest.mark.parametrize('config', XS, ids=lambda config: Path(config).stem)
def test_flops_are_those_that_the_tool_measures(config: str, measured: dict) -> None:
    cfg = load_config(ROOT / config)
    key = str((cfg.model, cfg.test_dataloader))
    measured[key] = measured.get(key) or measured_flops(cfg)
    macs, shape = measured[key]
    metadata = ENTRIES[config]['Metadata']
    assert metadata['FLOPs'] == macs
    assert metadata['Input Size'] == f'{shape[0]} x {shape[1]}'


@pytest.mark.parametrize('config', sorted(set(ENTRIES) - set(MEASURED)))
def test_small_configs_are_in_the_readme(config: str) -> None:
    assert ('built-in' if config.endswith('_mini.py') else 'real_data.md') in row_of(config)
