"""The wheel, installed beside the stack, in an empty folder: configs, tools and the command."""

import ast
import os
import shutil
import subprocess
import sys
from importlib.metadata import Distribution, PathDistribution
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow

ROOT = Path(__file__).resolve().parents[1]
SOURCES = ('configs', 'demo', 'docs', 'tools', 'vminet_mm', 'weights')
FILES = ('LICENSE', 'MANIFEST.in', 'README.md', 'model-index.yml', 'pyproject.toml', 'setup.py')
PIP = (sys.executable, '-m', 'pip', '--quiet', '--no-input', '--disable-pip-version-check')
# import names that are not those of the registry
DISTRIBUTIONS = {
    'PIL': 'pillow',
    'mmcv': 'mmcv-lite',
    'mmseg': 'mmsegmentation',
    'pytorch_grad_cam': 'grad-cam',
    'yaml': 'pyyaml',
}
# brought by torch, or used where they are installed
NOT_REQUIRED = {'triton', 'openvino', 'transformers', 'cv2'}  # the last comes with mmengine
CONFIG = """
_base_ = 'vminet_mm::mask_rcnn/mask-rcnn_vminet-ti_fpn_mini.py'
train_dataloader = dict(batch_size=4, num_workers=0)
val_dataloader = dict(num_workers=0)
train_cfg = dict(max_epochs=1, val_interval=1)
"""


@pytest.fixture(scope='module')
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder into which the wheel was installed; the sources were elsewhere."""
    folder = tmp_path_factory.mktemp('package')
    source, wheels, target = (folder / name for name in ('source', 'wheels', 'target'))
    for name in SOURCES:
        unwanted = shutil.ignore_patterns('__pycache__', '.mim')
        shutil.copytree(ROOT / name, source / name, ignore=unwanted)
    for name in FILES:
        shutil.copy(ROOT / name, source)
    offline = ('--no-deps', '--no-index')
    build = (*PIP, 'wheel', *offline, '--no-build-isolation', '-w', str(wheels), str(source))
    subprocess.run(build, check=True)
    (wheel,) = wheels.glob('*.whl')
    subprocess.run([*PIP, 'install', *offline, '--target', str(target), str(wheel)], check=True)
    shutil.rmtree(source)
    return target


@pytest.fixture
def run(installed: Path, tmp_path: Path):
    """Function that runs Python with the installed package, in an empty folder."""

    def run(*arguments: str, code: int = 0) -> str:
        done = subprocess.run(
            [sys.executable, *arguments],
            cwd=tmp_path,
            env={**os.environ, 'PYTHONPATH': str(installed)},
            capture_output=True,
            text=True,
        )
        assert done.returncode == code, done.stdout + done.stderr
        return done.stdout + done.stderr

    return run


def test_it_holds_configs_tools_and_the_model_index(installed: Path) -> None:
    package = installed / 'vminet_mm'
    for folder in ('configs', 'demo', 'docs', 'tools', 'weights'):
        files = {path.relative_to(ROOT) for path in (ROOT / folder).rglob('*.[psyjm]*')}
        files = {path for path in files if '__pycache__' not in path.parts}
        assert files and all((package / '.mim' / path).is_file() for path in files)
    assert (package / '.mim/model-index.yml').is_file()
    assert (package / 'py.typed').is_file()
    assert (installed / 'bin/vminet_mm').is_file()


@pytest.fixture(scope='module')
def metadata(installed: Path) -> Distribution:
    return PathDistribution(next(installed.glob('vminet_mm-*.dist-info')))


def test_everything_that_is_imported_is_required(metadata: Distribution) -> None:
    required = {line.partition(';')[0].strip() for line in metadata.requires}
    names = {line.split('>')[0].split('=')[0].split('<')[0] for line in required}
    imported = set()
    for path in (ROOT / 'vminet_mm').rglob('*.py'):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Import):
                imported |= {alias.name.partition('.')[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and not node.level:
                imported.add(node.module.partition('.')[0])
    foreign = imported - sys.stdlib_module_names - NOT_REQUIRED
    assert {'torch', 'mmengine', 'scipy'} <= foreign
    assert {DISTRIBUTIONS.get(name, name) for name in foreign} - names == set()


def test_it_says_what_it_is_and_where_it_comes_from(metadata: Distribution) -> None:
    said = metadata.metadata
    urls = dict(url.split(', ') for url in said.get_all('Project-URL'))
    assert {'Paper', "Authors' code"} <= set(urls)
    assert all(url.startswith('https://') for url in urls.values())
    classifiers = said.get_all('Classifier')
    assert 'Typing :: Typed' in classifiers and 'Operating System :: OS Independent' in classifiers
    for minor in range(10, 14):
        assert f'Programming Language :: Python :: 3.{minor}' in classifiers
    assert said['Requires-Python'] == '>=3.10' and said['Description'].startswith('# VMINet')


def test_configs_and_weights_are_found_from_anywhere(run, installed: Path) -> None:
    """By name, by path, and by MMEngine's hub."""
    code = """if True:
        import torch, vminet_mm
        from mmengine.hub import get_config, get_model
        from vminet_mm import load_model
        from vminet_mm.engine import load_config
        mini = 'cls/vminet-ti_mini.py'
        names = [f'vminet_mm::{mini}', f'configs/{mini}']
        found = [get_config(names[0]), *map(load_config, names)]
        assert {cfg.model.backbone.type for cfg in found} == {'VMINet'}
        assert len({cfg.filename for cfg in found}) == 1
        print(vminet_mm.__file__, found[0].filename)
        name = 'vminet_mm::mask_rcnn/mask-rcnn_vminet-ti_fpn_nuclei.py'
        by_name = load_model('mask-rcnn_vminet-ti_nuclei', device='cpu').model
        by_hub = get_model(name, pretrained=True)
        assert type(by_hub).__name__ == 'MaskRCNN'
        for key, tensor in by_name.state_dict().items():
            assert torch.equal(tensor, by_hub.state_dict()[key]), key
        print(get_config(name, pretrained=True).model_path)
    """
    said = run('-c', code)
    shipped = f'{installed}/vminet_mm/.mim'
    assert f'{installed}/vminet_mm/__init__.py {shipped}/configs/cls/vminet-ti_mini.py' in said
    assert f'{shipped}/weights/mask-rcnn_vminet-ti_nuclei/weights.pth' in said


def test_a_detector_trains_from_an_empty_folder(run, installed: Path, tmp_path: Path) -> None:
    (tmp_path / 'mine.py').write_text(CONFIG)
    run('-m', 'vminet_mm', 'make-mini-data', 'data/mini', '--train', '8', '--val', '4')
    said = run(str(installed / 'bin/vminet_mm'), 'train', 'mine.py')
    assert 'coco/bbox_mAP' in said
    assert (tmp_path / 'work_dirs/mine/epoch_1.pth').is_file()
    metrics = ('--metrics', 'found.json', '--work-dir', 'tested')
    run('-m', 'vminet_mm', 'test', 'mine.py', 'work_dirs/mine/epoch_1.pth', *metrics)
    assert (tmp_path / 'found.json').is_file()


def test_messages_name_what_is_there(run, installed: Path) -> None:
    code = """if True:
        import sys
        from vminet_mm.cli import main
        for config in ('missing.py', 'configs/cls/vminet-ti_mini.py'):
            sys.argv = ['vminet_mm', 'train', config]
            try:
                main()
            except SystemExit as end:
                print(end)
    """
    missing, mini = run('-c', code).split('error: ')[1:]
    assert f'{installed}/vminet_mm/.mim/configs' in missing
    assert 'vminet_mm make-mini-data' in mini
