"""VMI-SA as a module, and its options."""

import ast
import inspect
import re

import pytest
import torch
import torch.nn.functional as F
from mmengine.registry import MODELS

from vminet_mm.checkpoints.formats import STRIDE_DEFAULTS
from vminet_mm.models import VMISA, VMINet
from vminet_mm.models.attention import NoAttention
from vminet_mm.models.options import ATTN_DEFAULTS, parse_attn


def test_by_hand() -> None:
    """Two tokens, one channel in, two hidden ones, under the mask tril."""
    attn = VMISA(1, 2, (1, 2))
    with torch.no_grad():
        attn.query.weight.copy_(torch.tensor([1.0, 2.0]).view(2, 1, 1, 1))
        attn.key.weight.copy_(torch.tensor([3.0, 1.0]).view(2, 1, 1, 1))
        attn.query.bias.zero_(), attn.key.bias.zero_()
        attn.alpha.copy_(torch.tensor([[0.5, 0.25]]))
        attn.scale.fill_(2.0), attn.beta.fill_(0.5)
    x = torch.tensor([1.0, 2.0]).view(1, 1, 1, 2)
    # E = ReLU6(Q) K: (1*3, 2*6) and (2*1, 4*2); c = 0.5*3 + 0.25*12 and, of token 2 alone, 0.25*8
    y = [[2 * 4.5 + 0.5 * 3, 2 * 4.5 + 0.5 * 12], [2 * 2 + 0.5 * 2, 2 * 2 + 0.5 * 8]]
    torch.testing.assert_close(attn(x)[0, :, 0], torch.tensor(y).clamp(0, 6))


def test_without_attention() -> None:
    plain, x = NoAttention(3, 5), torch.randn(2, 3, 4, 1) * 9
    torch.testing.assert_close(
        plain(x), F.conv2d(x, plain.query.weight, plain.query.bias).clamp(0, 6)
    )


@pytest.mark.parametrize('form', ['matrix', 'recurrent'])
def test_hooks_see_the_attention_without_gradients(form: str) -> None:
    model, seen = VMINet('ti', img_size=32, form=form).eval(), []
    for stage in model.stages:
        stage[1].attn.register_forward_hook(lambda _, args, out: seen.append(tuple(out.shape)))
    with torch.no_grad():
        model(torch.randn(1, 3, 32, 48))
    assert seen == [(1, 48, 8, 12), (1, 96, 4, 6), (1, 192, 2, 3), (1, 384, 1, 2)]


def test_short_forms_are_options_of_attn_cfg() -> None:
    options = dict(mask='band', band_halfwidth=0.25, form='recurrent', impl='reference')
    torch.manual_seed(0)
    short = VMINet('ti', img_size=32, **options)
    torch.manual_seed(0)
    long = MODELS.build(dict(type='VMINet', arch='ti', img_size=32, attn_cfg=options))
    assert short.attn_cfg == long.attn_cfg == ATTN_DEFAULTS | options
    x = torch.randn(1, 3, 33, 40)
    assert torch.equal(short(x)[0], long(x)[0])


def test_options_given_twice() -> None:
    assert parse_attn(dict(mask='none'), dict(mask='none'))['mask'] == 'none'
    with pytest.raises(ValueError, match='one of the two'):
        parse_attn(dict(mask='none'), dict(mask='band'))
    with pytest.raises(TypeError, match="unexpected.*'masks'.*'mask'.*arch.*mask_padding"):
        VMINet('ti', masks='none')
    with pytest.raises(TypeError, match='are arch, .* stem_stride, strides, mask, '):
        VMINet('ti', foo=1)
    with pytest.raises(TypeError, match="unexpected.*'arch'"):
        parse_attn(dict(arch='ti'))
    with pytest.raises(ValueError, match='must be a dict'):
        VMINet('ti', attn_cfg='tril')


@pytest.mark.parametrize('name, default', (ATTN_DEFAULTS | STRIDE_DEFAULTS).items())
def test_help_has_type_and_default_of_each_option(name: str, default: object) -> None:
    text = ' '.join(inspect.getdoc(VMINet).split())
    pattern = rf'(- ``{name}``| {name}) \((\w+)[^)]*\): .*?\. Defaults to (`*)(.*?)\3\. '
    entry = re.search(pattern, text)
    kind, value = entry[2], ast.literal_eval(entry[4])
    assert value == default and kind in (type(default).__name__, 'Sequence')


@pytest.mark.parametrize('form', ['matrix', 'recurrent'])
@pytest.mark.parametrize('deploy', [False, True])
def test_names_from_before_the_module(form: str, deploy: bool) -> None:
    """State dicts in which query, key, alpha, beta and scale were the block's own."""
    torch.manual_seed(1)
    source, target = (VMINet('ti', img_size=32, form=form).eval() for _ in range(2))
    if deploy:
        source.switch_to_deploy(), target.switch_to_deploy()
    state = {name.replace('.attn.', '.'): value for name, value in source.state_dict().items()}
    assert not any('attn' in name for name in state)
    kept = dict(state)
    target.load_state_dict(state)
    assert list(state) == list(kept)  # the caller's own is left alone
    for name, value in source.state_dict().items():
        assert torch.equal(target.state_dict()[name], value), name
