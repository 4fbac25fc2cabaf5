"""The configs for small data: their schedule, and peers that differ by the backbone alone."""

from copy import deepcopy
from functools import cache
from pathlib import Path

import pytest
import torch
from mmengine.config import Config
from mmengine.model import BaseModel
from mmengine.registry import MODELS, DefaultScope
from mmengine.runner import Runner
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.utils.data import DataLoader

from vminet_mm.checkpoints.formats import read_options
from vminet_mm.engine import load_config
from vminet_mm.engine.weights import check_content
from vminet_mm.errors import ConfigError

CONFIG_DIR = Path(__file__).parents[1] / 'configs'
DATA = ('mini', 'nuclei', 'camvid', 'cifar10')
FILES = sorted(path for path in CONFIG_DIR.glob('*/*.py') if path.stem.endswith(DATA))
OURS = [path for path in FILES if 'vminet' in path.stem]
# other backbones under the recipe of one of ours; that of the drawn scenes has its own
PEERS = {
    path: next(path.parent.glob(f'*vminet-ti*_{path.stem.rpartition("_")[2]}.py'))
    for path in FILES
    if path not in OURS and not path.stem.endswith('mini')
}


@cache
def read(path: Path) -> Config:
    return load_config(path)


def parameters(cfg: Config) -> int:
    with DefaultScope.overwrite_default_scope(cfg.default_scope):
        return sum(p.numel() for p in MODELS.build(cfg.model).parameters())


@pytest.mark.parametrize('path', PEERS, ids=lambda path: path.stem)
def test_peers_differ_by_their_backbone_alone(path: Path) -> None:
    peer, ours = deepcopy(read(path)), deepcopy(read(PEERS[path]))
    assert parameters(ours) / 2 < parameters(peer) < 6 * parameters(ours)
    backbone = peer.model.pop('backbone')
    assert backbone.type != ours.model.pop('backbone').type
    if backbone.get('out_type') == 'cls_token':  # and no mean of a map
        assert peer.model.pop('neck') is None
        ours.model.pop('neck')
    for cfg in (peer, ours):
        for part in ('neck', 'head', 'decode_head', 'auxiliary_head'):
            cfg.model.get(part, {}).pop('in_channels', None)
        cfg.pop('channels', None)
        cfg.pop('work_dir')
    assert peer.to_dict() == ours.to_dict()


@pytest.mark.parametrize('path', [*OURS, *PEERS], ids=lambda path: path.stem)
def test_batches_of_four_pictures_are_no_statistics(path: Path) -> None:
    """Of real pictures; the drawn scenes of the mini configs are much like one another."""
    cfg = read(path)
    is_small = cfg.train_dataloader.batch_size <= 4 and not path.stem.endswith('mini')
    with DefaultScope.overwrite_default_scope(cfg.default_scope):
        backbone = MODELS.build(cfg.model.backbone)
    norms = [m for m in backbone.modules() if isinstance(m, _BatchNorm)]
    assert not (norms and is_small)
    assert norms or is_small or path in PEERS  # of which some have layer norms


@pytest.mark.parametrize('path', OURS, ids=lambda path: path.stem)
def test_checkpoints_of_a_training_fit_its_config(path: Path) -> None:
    """As tools/test.py and load_model check them, by the config in the checkpoint."""
    cfg = read(path)
    with DefaultScope.overwrite_default_scope(cfg.default_scope):
        model = MODELS.build(cfg.model)
    content = dict(state_dict=model.state_dict(), meta=dict(cfg=cfg.pretty_text))
    assert read_options(content)['mask'] == 'tril'
    check_content(model, content, 'epoch_1.pth', path.name)
    name = 'stem_stride' if 'stem_stride' in cfg.model.backbone else 'mask'
    changed = deepcopy(cfg)
    changed.model.backbone[name] = 4 if name == 'stem_stride' else 'none'
    content['meta']['cfg'] = changed.pretty_text
    with pytest.raises(ConfigError, match=f'{name} is'):
        check_content(model, content, 'epoch_1.pth', path.name)


class Weight(BaseModel):
    """One parameter; keeps the rates of its optimizer."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(1))
        self.rates: list[float] = []

    def forward(self) -> None:
        """A step needs none."""

    def train_step(self, data: Tensor, optim_wrapper: object) -> dict[str, Tensor]:
        self.rates.append(optim_wrapper.param_groups[0]['lr'])
        optim_wrapper.update_params(self.weight.sum())
        return dict(loss=self.weight.sum().detach())


@pytest.mark.parametrize('path', OURS, ids=lambda path: path.stem)
def test_rates_rise_and_fall_over_a_length_that_is_told(path: Path, tmp_path: Path) -> None:
    cfg = read(path)
    loop, by_epoch = dict(cfg.train_cfg), 'max_epochs' in cfg.train_cfg
    loop.update(dict(max_epochs=2) if by_epoch else dict(max_iters=400))
    model = Weight()
    runner = Runner(
        model,
        str(tmp_path),
        train_dataloader=DataLoader(torch.ones(200), batch_size=1),
        train_cfg=loop,
        optim_wrapper=dict(optimizer=dict(type='SGD', lr=1.0)),
        param_scheduler=cfg.param_scheduler,
        default_hooks=dict(checkpoint=None),
        default_scope='mmengine',
        log_level='ERROR',
        experiment_name=path.stem,
    )
    runner.train()
    rates = model.rates
    assert len(rates) == 400 and rates[0] < 0.011
    assert abs(rates.index(max(rates)) - 100) < 3
    assert rates[200] == pytest.approx(0.5, abs=0.01)
    assert 0 <= rates[-1] < 0.005
