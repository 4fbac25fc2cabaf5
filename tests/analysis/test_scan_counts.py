"""Multiply-accumulates of selective scans against sums by hand, and against what papers print."""

from pathlib import Path

import pytest
from mmengine.config import Config

from vminet_mm.analysis import count_complexity
from vminet_mm.analysis.complexity import to_table
from vminet_mm.engine import load_config

PEERS = Path(__file__).parents[2] / 'configs/peers'


def classifier(channels: int, **backbone: object) -> Config:
    averages = backbone.get('type') not in ('Vim', 'LocalVim')
    head = dict(type='LinearClsHead', num_classes=10, in_channels=channels)
    neck = dict(type='GlobalAveragePooling') if averages else None
    model = dict(type='ImageClassifier', backbone=backbone, neck=neck, head=head)
    return Config(dict(default_scope='mmpretrain', model=model))


def test_vim_by_hand() -> None:
    """One layer of 16 channels on 4 patches and the class token, with 32 channels to scan."""
    backbone = dict(type='Vim', arch=dict(embed_dims=16, num_layers=1), img_size=32)
    counts = count_complexity(classifier(16, out_type='cls_token', **backbone), (32, 32))
    tokens, inner, states, rank = 5, 32, 16, 1
    once = 4 * 3 * 16 * 16 * 16 + 16 * 10 + tokens * (16 * 2 * inner + inner * 16)
    before = (tokens + 3) * inner * 4 + tokens * inner * (rank + 2 * states) + tokens * rank * inner
    assert counts.macs == once + 2 * (before + tokens * inner * (4 * states + 2))
    assert counts.authors_macs == once + before + 2 * tokens * inner * (5 * states + 2)
    assert f'As papers count: {counts.authors_macs / 1e9:.2f} G' in to_table(counts)


def test_plain_mamba_by_hand() -> None:
    """One layer on a single patch; four scans with one set of projections."""
    arch = dict(embed_dims=16, num_layers=1, num_convs=0, conv_layers=())
    counts = count_complexity(classifier(16, type='PlainMamba', arch=arch, img_size=16), (16, 16))
    once = 64 * (3 * 49 * 64) + 64 * 64 * 16 + 16 * 10 + 16  # stem, patch, linear, pooling
    once += 2 * 5 * 16  # the norms, as MMEngine counts them
    layer = 16 * 64 + 32 * 49 + 32 * 33 + 32 + 32 * 16
    assert counts.macs == once + layer + 4 * 32 * (4 * 16 + 2)
    assert counts.authors_macs == once + layer + 4 * 32 * (9 * 16 + 1)


@pytest.mark.slow
@pytest.mark.parametrize(
    ('kind', 'arch', 'channels', 'options', 'giga'),
    [
        ('Vim', 'ti', 192, dict(out_type='cls_token'), 1.5),
        ('Vim', 's', 384, dict(out_type='cls_token'), 5.1),
        ('LocalVim', 't', 192, dict(out_type='avg_featmap'), 1.5),
        ('LocalVim', 's', 384, dict(out_type='avg_featmap'), 4.8),
        ('PlainMamba', 'l1', 192, {}, 3.0),
        ('PlainMamba', 'l2', 384, {}, 8.1),
        ('VMamba', 't', 768, {}, 4.9),
    ],
)
def test_macs_are_within_2_per_cent_of_what_papers_print(
    kind: str, arch: str, channels: int, options: dict, giga: float
) -> None:
    counts = count_complexity(classifier(channels, type=kind, arch=arch, **options))
    assert counts.authors_macs == pytest.approx(giga * 1e9, rel=0.02)


@pytest.mark.slow
@pytest.mark.parametrize(
    ('name', 'count', 'giga'),
    [
        # printed as 1.3, and no rule of counting comes within 2 % of 1.30: see docs/peers.md
        ('efficient-vmamba-s_3xb128-300e_in1k', 'authors_macs', 1.337),
        ('lvt_3xb128-300e_in1k', 'macs', 0.9),
    ],
)
def test_macs_of_the_shipped_classifiers(name: str, count: str, giga: float) -> None:
    counts = count_complexity(load_config(PEERS / f'{name}.py'))
    tolerance = 0.02 if giga == 0.9 else 0.0005
    assert getattr(counts, count) == pytest.approx(giga * 1e9, rel=tolerance)


def test_of_other_models_there_is_one_count() -> None:
    backbone = dict(type='VMINet', arch=dict(base_channels=8, expansion=2, depths=(1, 0, 0, 0)))
    counts = count_complexity(classifier(64, **backbone, img_size=64), (64, 64))
    assert counts.authors_macs is None and 'papers count' not in to_table(counts)
