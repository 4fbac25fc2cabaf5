"""The options of the backbone that change how it computes, and not what."""

import copy
from types import SimpleNamespace

import pytest
import torch
import torch.nn.functional as F
from tiny_models import TINY, randomised
from torch import nn

from vminet_mm.models import VMINet, VMISABlock
from vminet_mm.models.vminet import auto_is_last

SIZES = [(64, 64), (75, 50), (33, 96)]


def backbone(**options: object) -> VMINet:
    return randomised(VMINet(TINY, img_size=64, out_indices=(1, 3), **options))


@pytest.mark.parametrize('form', ['matrix', 'recurrent'])
@pytest.mark.parametrize('size', SIZES, ids=str)
def test_torch_is_the_reference(form: str, size: tuple[int, int]) -> None:
    model = backbone(form=form, impl='reference').train()
    other = backbone(form=form, impl='torch').train()
    other.load_state_dict(model.state_dict())
    x = torch.randn(2, 3, *size)
    results = []
    for m in (model, other):
        m.double()
        loss = sum(y.square().mean() for y in m(x.double()))
        loss.backward()
        results.append({name: p.grad for name, p in m.named_parameters()} | {'loss': loss})
    for name, expected in results[0].items():
        torch.testing.assert_close(results[1][name], expected, msg=lambda m, n=name: f'{n}: {m}')


@pytest.mark.parametrize('channels_last', [True, False, 'auto'])
@pytest.mark.parametrize('given', [torch.contiguous_format, torch.channels_last], ids=str)
def test_memory_format(channels_last: bool | str, given: torch.memory_format) -> None:
    model = backbone(channels_last=channels_last).eval()
    x = torch.randn(2, 3, 96, 64)
    expected = backbone(channels_last=False).eval()
    expected.load_state_dict(model.state_dict())
    with torch.no_grad():
        outputs = model(x.contiguous(memory_format=given))
        for y, e in zip(outputs, expected(x), strict=True):
            torch.testing.assert_close(y, e, rtol=1e-4, atol=1e-4)
            wanted = torch.channels_last if channels_last is True else given
            assert y.is_contiguous(memory_format=wanted)


@pytest.mark.parametrize(
    ('device', 'dtype', 'autocast', 'is_last'),
    [
        ('cpu', torch.float32, False, True),
        ('cuda', torch.float32, False, False),
        ('cuda', torch.float32, True, True),
        ('cuda', torch.bfloat16, False, True),
        ('mps', torch.float16, False, False),
    ],
)
def test_auto_memory_format(
    device: str, dtype: torch.dtype, autocast: bool, is_last: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch, 'is_autocast_enabled', lambda device: autocast)
    assert auto_is_last(SimpleNamespace(device=torch.device(device), dtype=dtype)) is is_last


@pytest.mark.parametrize(
    'options',
    [dict(), dict(form='recurrent'), dict(attention='none'), dict(proj_bn=True, mask='none')],
    ids=str,
)
def test_deploy(options: dict) -> None:
    model = backbone(**options).eval()
    state = copy.deepcopy(model.state_dict())
    folded = copy.deepcopy(model)
    folded.switch_to_deploy()
    norms = [n for n, m in folded.named_modules() if isinstance(m, nn.BatchNorm2d)]
    assert norms == ['norm1', 'norm']  # those of the outputs
    assert not any(p.requires_grad for p in folded.parameters())
    assert not hasattr(folded.stages[0][1], 'key')
    assert folded.stages[0][1].dwconv.conv.bias is None  # in that of W1 and W2
    for size in SIZES:
        x = torch.randn(2, 3, *size)
        with torch.no_grad():
            for y, e in zip(folded(x), model(x), strict=True):
                assert (y - e).norm() <= 1e-4 * e.norm()
    again = copy.deepcopy(folded)
    again.switch_to_deploy()  # changes nothing more
    assert again.state_dict().keys() == folded.state_dict().keys()
    for name, value in model.state_dict().items():  # the model it was folded from is as it was
        assert torch.equal(value, state[name])


def test_deploy_keeps_other_norms() -> None:
    model = backbone(norm_cfg=dict(type='GN', num_groups=1)).eval()
    x = torch.randn(1, 3, 64, 64)
    expected = model(x)
    model.switch_to_deploy()
    for y, e in zip(model(x), expected, strict=True):
        assert (y - e).norm() <= 1e-4 * e.norm()


def test_deploy_in_training_mode_has_the_running_statistics() -> None:
    model = backbone().train()
    folded = copy.deepcopy(model)
    folded.switch_to_deploy()
    x = torch.randn(2, 3, 64, 64)
    torch.testing.assert_close(folded(x)[1], model.eval()(x)[1], rtol=1e-3, atol=1e-4)


def test_recurrent_parameters() -> None:
    attn = VMISABlock(4, (3, 5), attn_cfg=dict(form='recurrent')).attn
    assert attn.beta.shape == attn.alpha.shape == (3, 5) and (attn.beta == 1).all()
    assert not hasattr(attn, 'scale')


def test_native_grid_of_beta_is_resized(log: list[str]) -> None:
    small = VMISABlock(4, (2, 3), attn_cfg=dict(form='recurrent'))
    large = VMISABlock(4, (4, 5), attn_cfg=dict(form='recurrent'))
    nn.init.normal_(small.attn.beta)
    large.load_state_dict(small.state_dict())
    # no weights of a sum: the magnitude stays
    expected = F.interpolate(small.attn.beta[None, None], (4, 5), mode='bicubic')[0, 0]
    torch.testing.assert_close(large.attn.beta, expected)
    assert 'attn.beta resized from the grid (2, 3) of the checkpoint to (4, 5)' in log


@pytest.mark.parametrize('form', ['matrix', 'recurrent'])
def test_compiles_without_graph_breaks(form: str) -> None:
    block = randomised(VMISABlock(4, (4, 4), attn_cfg=dict(form=form))).train()
    x = torch.randn(2, 4, 6, 5)
    compiled = torch.compile(block, fullgraph=True, backend='aot_eager')
    out = compiled(x)
    out.sum().backward()
    torch.testing.assert_close(out, block(x))


def test_bad_options() -> None:
    with pytest.raises(ValueError, match="form.*'loop'"):
        VMINet('ti', form='loop')
    with pytest.raises(ValueError, match="impl.*'cuda'"):
        VMINet('ti', impl='cuda')
    with pytest.raises(ValueError, match="recurrent_mask.*'before'"):
        VMINet('ti', recurrent_mask='before')
    with pytest.raises(ValueError, match="channels_last .*'yes'"):
        VMINet('ti', channels_last='yes')
