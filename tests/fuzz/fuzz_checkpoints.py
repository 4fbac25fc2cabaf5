"""Checkpoints of every kind from one set of tensors, and damage to them."""

import torch
from checkpoint_files import State, ours, prefixed
from fuzz_strategies import FORMS, MASKS, RECURRENT_MASKS, SEEDS, Tensors, sizes
from hypothesis import strategies as st

FIELDS = ('.alpha', '.scale', '.beta')
PARTS = {
    'attn.query.': 'f1.conv.',
    'attn.key.': 'f2.conv.',
    'proj.': 'g.',
}  # of a block; the authors' names
HEAD = {'weight': torch.arange(160.0).view(5, 32), 'bias': torch.arange(5.0)}
EDGES = st.sampled_from([32, 64, 96])


def published(state: State, release: str) -> State:
    """Our tensors under the authors' names."""
    named: State = {}
    for name, value in state.items():
        prefix, dot, part = name.rpartition('.')
        if part == 'alpha':
            named[prefix.removesuffix('attn') + 'sum.weight'] = value.reshape(1, -1)
        elif part in ('scale', 'beta'):
            both = [state[k] for k in (f'{prefix}.scale', f'{prefix}.beta') if k in state]
            named[prefix.removesuffix('attn') + 'stack'] = torch.cat([x.flatten() for x in both])
        else:
            for own, theirs in PARTS.items():
                name = name.replace(f'.{own}', f'.{theirs}')
            depthwise = 'dwconv' if release == 'first' else 'conv'
            named[name.replace('.dwconv.', f'.{depthwise}.')] = value
    return named | {f'head.{part}': value for part, value in HEAD.items()}


@st.composite
def models(draw: st.DrawFn) -> tuple[str, dict, State]:
    """The release, the options and the tensors of a tiny VMINet."""
    release = draw(st.sampled_from(['first', 'second', 'mm']))
    options: dict = dict(img_size=draw(EDGES))
    if release == 'first':
        options |= dict(proj_bn=True, mask='none')
    elif release == 'mm':
        options |= dict(
            img_size=(draw(EDGES), draw(EDGES)),
            out_indices=draw(st.sampled_from([(3,), (0, 3), (0, 1, 2, 3)])),
            mask=draw(st.one_of(MASKS, st.just('hybrid'))),
            form=draw(FORMS),
            recurrent_mask=draw(RECURRENT_MASKS),
            proj_bn=draw(st.booleans()),
            attention=draw(st.sampled_from(['vmi_sa', 'vmi_sa', 'none'])),
        )
    return release, options, Tensors(ours(draw(SEEDS), **options))


def wrapped(state: State, release: str, kind: str) -> tuple[dict, str]:
    """What a trainer writes, and the entry of it that the weights lie in."""
    if release == 'mm':
        head = {f'head.fc.{part}': value for part, value in HEAD.items()}
        state = prefixed('backbone.', state) | head
    else:
        state = published(state, release)
    rest = dict(epoch=3, optimizer=dict(state={0: dict(exp_avg=torch.ones(2))}))
    return {
        'bare': (state, ''),
        'module': (prefixed('module.', state), ''),
        'compiled': (dict(rest, model=prefixed('module._orig_mod.', state)), 'model'),
        'trainer': (dict(rest, state_dict=state, model=7), 'state_dict'),
        'averaged': (dict(rest, state_dict_ema=state), 'state_dict_ema'),
    }[kind]


KINDS = st.sampled_from(['bare', 'module', 'compiled', 'trainer', 'averaged'])
DAMAGE = st.sampled_from(['drop', 'rename', 'shape', 'add', 'grid', 'half', 'counter'])
ADDED = st.sampled_from(
    ['stages.0.1.extra', 'stages.3.2.attn.query.weight', 'stem.1.bias', 'norm7.bias']
)


@st.composite
def damaged(draw: st.DrawFn, state: State, release: str) -> State:
    """The tensors with up to three changes, of which not every one does harm."""
    state = Tensors(state)
    for kind in draw(st.lists(DAMAGE, max_size=3)):
        fields = [k for k in state if k.endswith(('.alpha', '.beta')) and state[k].ndim == 2]
        of_kind = dict(
            counter=[k for k in state if k.endswith('num_batches_tracked')],
            grid=fields,
            # the authors' names have no shape for these
            shape=[k for k in state if release == 'mm' or not k.endswith(FIELDS)],
        )
        names = of_kind.get(kind, [*state])
        if not names:
            continue
        name = draw(st.sampled_from(names))
        value = state[name]
        if kind == 'grid':
            height, width = draw(sizes(9))
            state[name] = torch.rand(height, width if release == 'mm' else height)
        elif kind == 'half' and value.is_floating_point():
            state[name] = value.half()
        elif kind == 'shape':
            state[name] = draw(st.sampled_from([value[None, None], value.new_zeros(0)]))
        elif kind == 'add':
            state[draw(ADDED)] = torch.ones(2)
        elif kind in ('drop', 'rename', 'counter'):
            del state[name]
            if kind == 'rename':
                state[f'{name}_x'] = value
    return state
