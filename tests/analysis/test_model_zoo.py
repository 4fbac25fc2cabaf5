"""Specs, what they build, and that folding changes no result."""

import pytest
import timm
import torch
from torch import nn

from vminet_mm.analysis.authors_model import ARCHS, AuthorsVMINet
from vminet_mm.analysis.model_zoo import SHORT_NAMES, ModelSpec, build_model, fold, parse_spec
from vminet_mm.analysis.paper_tables import read_tables

SIZE = (64, 96)


def trained(model: nn.Module) -> nn.Module:
    """Give every norm statistics, gain and shift of its own."""
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.running_mean.normal_(0, 0.2)
            module.running_var.uniform_(0.5, 1.5)
            nn.init.uniform_(module.weight, 0.5, 1.0)
            nn.init.normal_(module.bias, 0, 0.2)
    return model


def count_norms(model: nn.Module) -> int:
    return sum(isinstance(module, nn.BatchNorm2d) for module in model.modules())


@pytest.mark.parametrize(
    ('text', 'family', 'name', 'options', 'deploy'),
    [
        ('vminet-xs', 'vminet', 'xs', {}, False),
        ('vminet-b:deploy', 'vminet', 'b', {}, True),
        (
            'vminet-s:deploy,impl=torch,mask=none',
            'vminet',
            's',
            dict(impl='torch', mask='none'),
            True,
        ),
        ('vminet-ti:proj_bn=true,band_halfwidth=0.25', 'vminet', 'ti', None, False),
        ('reference-ti:release=first', 'reference', 'ti', dict(release='first'), False),
        ('vim-ti:impl=reference', 'peer', 'vim-ti', dict(impl='reference'), False),
        ('vmamba-t', 'peer', 'vmamba-t', {}, False),
        ('starnet_s4', 'timm', 'starnet_s4', {}, False),
        ('resnet18.a1_in1k', 'timm', 'resnet18.a1_in1k', {}, False),
        ('timm:resnet18:deploy', 'timm', 'resnet18', {}, True),
        ('mmpretrain:resnet18_8xb32_in1k', 'mmpretrain', 'resnet18_8xb32_in1k', {}, False),
        ('mmpretrain:ResNet:depth=18', 'mmpretrain', 'ResNet', dict(depth=18), False),
    ],
)
def test_specs(text: str, family: str, name: str, options: dict | None, deploy: bool) -> None:
    options = dict(proj_bn=True, band_halfwidth=0.25) if options is None else options
    assert parse_spec(text) == ModelSpec(text, family, name, options, deploy)


@pytest.mark.parametrize(
    ('text', 'message'),
    [
        ('vminet-l', "'l' is not an arch of vminet; choose one of b, s, ti, xs"),
        ('reference-l', "'l' is not an arch of reference; choose one of b, s, ti, xs"),
        ('vminet-xs:maks=none', "'maks' is not an option of vminet; choose one of .*mask"),
        ('vminet-xs:fast', 'an option is deploy or key=value, not .*fast'),
        ('vminet-xs:deploy:mask=none', 'too many colons'),
        ('reference-xs:mask=none', "'mask' is not an option of reference; choose one of release"),
        ('reference-xs:release=third', "'third' is not a release; choose one of first, second"),
        ('reference-xs:deploy', 'leave out deploy'),
        ('vim-b', "'b' is not an arch of vim; choose one of s, ti"),
        ('vim', "'vim' is not a model; choose one of .*vim-"),
        ('vmamba-t:img_size=3', "'img_size' is not an option of vmamba; choose one of .*impl"),
        ('starnet_s9', "'starnet_s9' is not a model; choose one of .*starnet_s4"),
        ('vmnet-xs', "'vmnet-xs' is not a model; choose one of .*vminet-xs"),
        ('mmpretrain:resnet18_8xb32', 'not a model or backbone of .*resnet18_8xb32_in1k'),
        ('mmpretrain:ResNeet', 'choose one of .*ResNet'),
        ('mmpretrain:resnet18_8xb32_in1k:depth=50', 'takes no options'),
    ],
)
def test_wrong_specs_list_the_choices(text: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        parse_spec(text)


def test_timm_is_asked_for_where_it_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr('vminet_mm.analysis.model_zoo.find_spec', lambda name: None)
    with pytest.raises(ValueError, match=r'pip install .*\[bench\]'):
        parse_spec('starnet_s4')


@pytest.mark.parametrize(
    ('text', 'message'),
    [
        ('vminet-ti:mask=round', 'mask must be'),
        ('starnet_s4:color=red', "'starnet_s4:color=red' cannot be built: .*color"),
        ('mobilevitv2_050:deploy', 'cannot be folded'),
    ],
)
def test_what_cannot_be_built(text: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        build_model(parse_spec(text), SIZE)


def test_reference_needs_whole_cells() -> None:
    with pytest.raises(ValueError, match='divisible by 32'):
        build_model(parse_spec('reference-ti'), (64, 80))


@pytest.mark.parametrize(
    'text',
    [
        'vminet-ti:mask=band',
        'reference-ti',
        'reference-ti:release=first',
        'vim-ti',
        'lvt-base',
        'resnet18',
        'deit_tiny_patch16_224',
        'mmpretrain:resnet18_8xb32_in1k',
        'mmpretrain:MobileNetV2:widen_factor=0.5',
    ],
)
def test_a_model_maps_images_to_logits(text: str) -> None:
    model = build_model(parse_spec(text), SIZE)
    assert not model.training
    with torch.no_grad():
        assert model(torch.randn(1, 3, *SIZE)).shape == (1, 1000)


@pytest.mark.parametrize('arch', ARCHS)
def test_reference_has_the_parameters_of_ours(arch: str) -> None:
    ours = sum(p.numel() for p in build_model(parse_spec(f'vminet-{arch}')).parameters())
    theirs = sum(p.numel() for p in build_model(parse_spec(f'reference-{arch}')).parameters())
    assert ours == theirs


def test_reference_takes_rectangles() -> None:
    model = AuthorsVMINet('second', dict(base_channels=4, expansion=2, depths=(1, 0, 0, 0)), SIZE)
    assert model.stages[0][1].sum.weight.shape == (1, 16 * 24)


@pytest.mark.parametrize(
    'text',
    [
        'vminet-ti:mask=hybrid',
        'vminet-ti:proj_bn=true,mask=none',
        'vminet-ti:form=recurrent',
        'starnet_s1',
        'repvit_m0_9',
        'mmpretrain:resnet18_8xb32_in1k',
        'mmpretrain:MobileOne:arch=s0',
    ],
)
@torch.no_grad()
def test_folding_keeps_the_logits_and_leaves_few_norms(text: str) -> None:
    spec = parse_spec(text)
    model = trained(build_model(spec, SIZE))
    x = torch.randn(2, 3, *SIZE)
    expected, norms = model(x), count_norms(model)
    folded = fold(spec, model)
    assert (folded(x) - expected).abs().max() <= 1e-4 * expected.abs().max()
    assert count_norms(folded) <= 0.05 * norms  # StarNet's last one stands before the average


def test_deploy_folds() -> None:
    assert count_norms(build_model(parse_spec('vminet-ti:deploy'))) == 0


@pytest.mark.parametrize(
    ('text', 'top1'),
    [
        ('vminet-xs', 78.6),
        ('vminet-xs:deploy,impl=reference', 78.6),
        ('vminet-xs:mask=hybrid', 78.9),
        ('vminet-xs:form=recurrent', 78.8),
        ('vminet-s:mask=none', None),
        ('vminet-xs:attention=none', None),
        ('vminet-xs:img_size=192', None),
        ('reference-b', 82.4),
        ('reference-s:release=first', 79.0),
        ('reference-ti:release=first', None),
        ('starnet_s4:deploy', 78.4),
        ('starnet_s1', None),
        ('swin_tiny', 81.3),  # the paper's row, though mmpretrain's metafile has 81.18
        ('vminet-xs:form=matrix,mask=tril', 78.6),
        ('vminet-xs:mask=hybrid,form=recurrent', None),
        ('starnet_s4:drop_rate=0.1', None),
        ('mmpretrain:resnet50_8xb32_in1k', 76.55),  # the figure of mmpretrain's own table
        ('mmpretrain:resnet18_8xb16_cifar10', None),
        ('mmpretrain:ResNet:depth=18', None),
    ],
)
def test_published_accuracies(text: str, top1: float | None) -> None:
    published = parse_spec(text).top1
    assert (published and published[0]) == top1
    assert published is None or published[1]


def test_every_name_for_the_benchmark_is_a_model_with_its_accuracy() -> None:
    rows = [row for table in read_tables() for row in table.rows if row.benchmark]
    assert len({row.benchmark for row in rows}) > 15
    first = {row.benchmark: row for row in reversed(rows)}  # of a model in two tables
    for row in first.values():
        top1 = {**row.reported, **row.paper}.get('top1')
        assert top1 is None or parse_spec(row.benchmark).top1[0] == top1
    assert all(timm.is_model(name) for name in SHORT_NAMES.values())
