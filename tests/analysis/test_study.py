"""Studies: their members, and the table of trainings that are made up."""

import json
from pathlib import Path

import pytest
import torch
from mmengine.optim import build_optim_wrapper
from mmengine.registry import MODELS, DefaultScope
from mmpretrain.structures import DataSample

from vminet_mm.analysis import study
from vminet_mm.analysis.study_training import train_unfinished
from vminet_mm.errors import ConfigError


def test_what_costs_are_is_counted_for_the_budget(trainings: list[Path], tmp_path: Path) -> None:
    runs = study.study_runs('ablation', tmp_path, only=['tril', 'no-attention'])
    *_, finished = train_unfinished(runs)
    ours, without = study.study_rows(finished)
    assert ours.values == [40.0, 43.0, 42.0] and len(ours.seconds) == 3
    # 24 channels, 1 + 2 + 4 + 1 blocks; without attention, neither W2 nor fields in them
    widths = [24, *2 * [48], *4 * [96], 192]
    assert ours.params - without.params > sum(2 * w * w + 2 * w for w in widths)
    assert ours.macs > without.macs > 1e7


def test_table_by_hand() -> None:
    rows = [
        study.Row('a', 1_500_000, 23_400_000, [10.0, 20.0], [40.0, 43.0]),
        study.Row('b', 20_000, 1_000_000_000, [7.0, None], [0.5, 0.5]),
    ]
    assert study.to_table(rows, 'top-1').splitlines()[2:] == [
        '| a | 1.50 M | 0.023 G | 15 s | 41.5 | 3 | 2 |',
        '| b | 0.02 M | 1.000 G | 7 s | 0.5 | 0 | 2 |',
    ]
    row = study.Row('c', 1_000_000, 10**9, [1.0], [0.25], {'AP50': 0.75, 'AP75': 0.125})
    assert study.to_table([row], 'AP').splitlines() == [
        '| model | params | MACs | training | AP | spread | n | AP50 | AP75 |',
        '| --- | --- | --- | --- | --- | --- | --- | --- | --- |',
        '| c | 1.00 M | 1.000 G | 1 s | 0.25 | 0 | 1 | 0.75 | 0.125 |',
    ]


def test_other_metrics_are_means_of_the_runs(tmp_path: Path) -> None:
    run = study.study_runs('nuclei', tmp_path, only=['vminet-ti'])[0]
    log = run.folder / 'TIME/vis_data'
    log.mkdir(parents=True)
    for path in (run.folder / 'c.py', log / 'config.py'):
        run.config().dump(path)
    names = ('segm_mAP', 'segm_mAP_50', 'segm_mAP_75', 'bbox_mAP')
    metrics = {f'coco/{name}': 0.1 * i for i, name in enumerate(names, 1)}
    lines = [{'loss': 1.0, 'iter': 10, 'epoch': 1, 'step': 10}, {**metrics, 'step': 12}]
    (log / 'scalars.json').write_text('\n'.join(map(json.dumps, lines)))
    (row,) = study.study_rows([run])
    assert row.values == [0.1]
    assert row.also == {key: value for key, value in metrics.items() if key != 'coco/segm_mAP'}


def test_an_unknown_member_is_answered_with_those_there_are(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"'resnet'.* vminet"):
        study.study_runs('cifar10', tmp_path, only=['resnet'])


@pytest.mark.parametrize('name', study.STUDIES)
def test_members_build_in_both_sizes(name: str, tmp_path: Path) -> None:
    sizes = {}
    for full in (False, True):
        for run in study.study_runs(name, tmp_path, full):
            if run.seed > 0:
                continue
            cfg = run.config(data_root=str(tmp_path))
            by_epoch = 'max_epochs' in cfg.train_cfg  # as the validation has to be counted
            assert cfg.default_hooks.logger.get('log_metric_by_epoch', True) == by_epoch
            assert cfg.get('log_processor', {}).get('by_epoch', True) == by_epoch
            with DefaultScope.overwrite_default_scope(cfg.default_scope):
                sizes[run.member, full] = sum(
                    p.numel() for p in MODELS.build(cfg.model).parameters()
                )
    for member in study.STUDIES[name].members:
        assert sizes[member, False] <= sizes[member, True] < 2e7


def test_peers_on_a_cpu_have_the_macs_and_the_recipe_of_vminet(tmp_path: Path) -> None:
    """MACs within a tenth; all but the model is the same."""
    cfgs = [run.config() for run in study.study_runs('cifar10', tmp_path)]
    ours, *peers = (study.count_complexity(cfg, (32, 32)).macs for cfg in cfgs)
    assert ours == pytest.approx(16.03e6, rel=0.01)
    assert len(peers) == 3 and peers == pytest.approx([ours] * 3, rel=0.1)
    recipes = []
    for cfg in cfgs:
        recipe = cfg.to_dict()
        del recipe['model'], recipe['work_dir']
        recipes.append(recipe)
    assert recipes[1:] == [recipes[0]] * 3
    assert recipes[0]['train_dataloader']['dataset']['pipeline'][1]['padding'] == 2


def test_vim_costs_what_vminet_costs_and_learns(tmp_path: Path) -> None:
    """MACs within an eighth of VMINet's in both sizes; two steps on four images move weights."""
    members = {}
    for full in (False, True):
        ours, vim = (run.config() for run in study.study_runs('cifar10', tmp_path, full)[::3])
        assert vim.model.backbone.type == 'Vim'
        macs = [study.count_complexity(cfg, (32, 32)).macs for cfg in (ours, vim)]
        assert macs[1] == pytest.approx(macs[0], rel=1 / 8)
        members[full] = vim
    with DefaultScope.overwrite_default_scope('mmpretrain'):
        model = MODELS.build(members[False].model).train()
        wrapper = build_optim_wrapper(model, members[True].optim_wrapper)  # in float32
    before = {name: value.clone() for name, value in model.named_parameters()}
    samples = [DataSample().set_gt_label(i) for i in range(4)]
    images = [torch.randint(0, 256, (3, 32, 32)) for _ in samples]
    for _ in range(2):
        losses = model.train_step(dict(inputs=images, data_samples=samples), wrapper)
        assert losses['loss'].isfinite()
    still = [name for name, value in model.named_parameters() if torch.equal(value, before[name])]
    assert still == []
