"""Reading VMINet checkpoints: the authors' two releases, mmpretrain's, and bare state dicts.

Whatever its origin, a checkpoint becomes a :class:`Checkpoint` with this package's names, and is
loaded strictly: every tensor of the backbone must be there and fit.
"""

import ast
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from mmengine.logging import print_log
from mmengine.runner import CheckpointLoader
from torch import Tensor, nn

from .compat.safe_load import CheckpointError, safe_load

RELEASES = ('first', 'second', 'mm')

# where trainers put the weights, the first one found is taken
STATE_KEYS = ('state_dict', 'model')
EMA_STATE_KEYS = ('state_dict_ema', 'model_ema')

# parts of a block in the authors' state dicts -> ours
_BLOCK_PARTS = {
    'dwconv.': 'dwconv.',
    'conv.': 'dwconv.',
    'f1.conv.': 'query.',
    'f2.conv.': 'key.',
    'g.': 'proj.',
}
# options that change no tensor's shape, and their values where a config does not give them
_DEFAULT_SETTINGS = dict(mask='tril', attention='vmi_sa')
_BLOCK = re.compile(r'(stages\.\d+\.[1-9]\d*\.)(.+)')


class CheckpointMismatchError(CheckpointError):
    """A checkpoint does not fit the model it is meant for."""


@dataclass
class Checkpoint:
    """The weights of a VMINet, with this package's names.

    Attributes:
        backbone: State dict of the backbone.
        head: ``weight`` and ``bias`` of the linear classifier, or empty.
        release: One of :data:`RELEASES`: the authors' first or second, or ``'mm'``.
        source: The file.
        settings: What the file tells of the backbone's options (``mask``, ``attention``).
    """

    backbone: dict[str, Tensor]
    head: dict[str, Tensor]
    release: str
    source: str
    settings: dict[str, str] = field(default_factory=dict)

    @property
    def arch(self) -> dict:
        """``base_channels``, ``expansion`` and ``depths``, read off the shapes."""
        blocks = re.findall(r'^stages\.(\d+)\.\d+\.query\.weight$', '\n'.join(self.backbone), re.M)
        query = self.backbone['stages.0.1.query.weight']
        return dict(
            base_channels=query.shape[1],
            expansion=query.shape[0] // query.shape[1],
            depths=tuple(blocks.count(str(i)) for i in range(4)),
        )

    @property
    def proj_bn(self) -> bool:
        """Whether the blocks end with a norm, as in the first release."""
        return any('.proj.bn.' in name for name in self.backbone)


def read_checkpoint(path: str, ema: bool = False, prefix: str | None = None) -> Checkpoint:
    """Read a VMINet checkpoint of any kind.

    Args:
        path: A file, or an address that MMEngine can read.
        ema: Take the averaged weights. MMEngine's own checkpoints hold them where the weights
            usually are.
        prefix: Where the backbone lies in the state dict, by default found by itself.

    Raises:
        CheckpointMismatchError: If it holds no VMINet, or no averaged weights where asked for.
    """
    is_remote = '://' in str(path)
    content = CheckpointLoader.load_checkpoint(path, 'cpu') if is_remote else safe_load(path)
    state = _strip_wrappers(_find_state(content, ema, path))
    if prefix is None:
        prefix = 'backbone.' if any(name.startswith('backbone.') for name in state) else ''
    prefix = prefix.rstrip('.') + '.' if prefix else ''
    body = {k[len(prefix) :]: v for k, v in state.items() if k.startswith(prefix)}
    if 'stem.0.conv.weight' not in body:
        raise CheckpointMismatchError(
            f'{path} holds no VMINet: {prefix}stem.0.conv.weight is not among its '
            f'{len(state)} tensors ({", ".join(list(state)[:5])}, ...)'
        )
    head_names = ('head.fc.', 'head.')
    head = {
        k.rsplit('.', 1)[-1]: v
        for k, v in state.items()
        if k.rpartition('.')[0] + '.' in head_names
    }
    body = {k: v for k, v in body.items() if not k.startswith('head.')}
    settings = _read_settings(content)
    release = 'mm'
    if 'stages.0.1.f1.conv.weight' in body:
        release = 'first' if 'stages.0.1.g.bn.weight' in body else 'second'
        body = _rename(body)
        if release == 'first':
            settings = dict(mask='none', attention='vmi_sa')
    return Checkpoint(body, head, release, str(path), settings)


def load_backbone(
    backbone: nn.Module, path: str, ema: bool = False, prefix: str | None = None
) -> None:
    """Load a checkpoint of any kind into a VMINet, strictly, and log what was loaded.

    Only the norms of stages which the checkpoint does not return, and the class head, may be
    absent or left over.

    Args:
        backbone: A :class:`vminet_mm.models.VMINet`.
        path: See :func:`read_checkpoint`.
        ema: See :func:`read_checkpoint`.
        prefix: See :func:`read_checkpoint`.

    Raises:
        CheckpointMismatchError: Naming the tensors and their shapes, if arch, block release or
            mask do not fit or a tensor is missing.
    """
    checkpoint = read_checkpoint(path, ema, prefix)
    model = backbone.state_dict()
    given = checkpoint.backbone
    optional = re.compile(r'norm\d?\.')
    missing = [k for k in model if k not in given and not re.match(r'norm\d\.', k)]
    unexpected = [k for k in given if k not in model and not optional.match(k)]
    resized = [
        k for k in model if k.endswith('.alpha') and k in given and given[k].shape != model[k].shape
    ]
    unfit = [
        k for k in model if k in given and k not in resized and given[k].shape != model[k].shape
    ]
    problems = _settings_problems(backbone, checkpoint)
    problems += [f'missing {k} {tuple(model[k].shape)}' for k in missing]
    problems += [f'unexpected {k} {tuple(given[k].shape)}' for k in unexpected]
    problems += [
        f'{k} is {tuple(given[k].shape)}, the model wants {tuple(model[k].shape)}' for k in unfit
    ]
    if problems:
        more = f'\n  ... and {len(problems) - 12} more' if len(problems) > 12 else ''
        raise CheckpointMismatchError(
            f'{path} does not fit the backbone (it holds arch={_arch_name(backbone, checkpoint)}, '
            f'proj_bn={checkpoint.proj_bn}, release {checkpoint.release!r}):\n  '
            + '\n  '.join(problems[:12])
            + more
        )
    left = [k for k in model if k not in given]
    unused = [k for k in given if k not in model]
    backbone.load_state_dict(given, strict=False)
    print_log(
        f'VMINet from {path} ({checkpoint.release} release): {len(model) - len(left)} of '
        f'{len(model)} tensors loaded, {len(resized)} of them resized; {len(left)} left as '
        f'initialised {_modules(left)}; {len(unused) + len(checkpoint.head)} not used '
        f'{_modules(unused + [f"head.{k}" for k in checkpoint.head])}',
        logger='current',
    )


def _find_state(content: Mapping, ema: bool, path: str) -> dict[str, Tensor]:
    """The state dict inside of whatever a trainer wrote."""
    if not isinstance(content, Mapping):
        raise CheckpointMismatchError(f'{path} holds a {type(content).__name__}, no state dict')
    is_mm = 'ema_state_dict' in content  # MMEngine swaps: the averaged weights are the main ones
    keys = EMA_STATE_KEYS if ema and not is_mm else STATE_KEYS
    found = [k for k in keys if isinstance(content.get(k), Mapping)]
    if ema and not is_mm and not found:
        raise CheckpointMismatchError(f'{path} holds no averaged weights; load it without ema')
    state = content[found[0]] if found else content
    return {k: v for k, v in state.items() if isinstance(v, Tensor)}


def _strip_wrappers(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """Remove the prefixes of DataParallel and torch.compile."""
    return {re.sub(r'^((module|_orig_mod)\.)+', '', k): v for k, v in state.items()}


def _rename(published: dict[str, Tensor]) -> dict[str, Tensor]:
    """Translate the authors' names into ours."""
    renamed = {}
    for name, value in published.items():
        block = _BLOCK.fullmatch(name)
        if block is None:
            renamed[name] = value
            continue
        place, part = block.groups()
        if part == 'sum.weight':
            renamed[place + 'alpha'] = _to_grid(value, name)
        elif part == 'stack':
            renamed[place + 'scale'], renamed[place + 'beta'] = value[:1].clone(), value[1:].clone()
        else:
            old = next((p for p in _BLOCK_PARTS if part.startswith(p)), None)
            renamed[place + (_BLOCK_PARTS[old] + part[len(old) :] if old else part)] = value
    return renamed


def _to_grid(weight: Tensor, name: str) -> Tensor:
    """Token weights (1, L) of a square image as (sqrt L, sqrt L)."""
    edge = math.isqrt(weight.numel())
    if edge**2 != weight.numel():
        raise CheckpointMismatchError(f'{name} {tuple(weight.shape)} is not on a square grid')
    return weight.reshape(edge, edge)


def _read_settings(content: Mapping) -> dict[str, str]:
    """The backbone's options out of the config that MMEngine keeps in a checkpoint."""
    meta = content.get('meta') if isinstance(content.get('meta'), Mapping) else {}
    if isinstance(meta.get('vminet'), Mapping):
        return dict(meta['vminet'])
    if not isinstance(meta.get('cfg'), str):
        return {}
    # parsed and never run: a config is a program, and the file may come from anywhere
    for node in ast.walk(ast.parse(meta['cfg'])):
        if isinstance(node, ast.Call) and getattr(node.func, 'id', None) == 'dict':
            options = {k.arg: k.value.value for k in node.keywords if _is_constant(k.value)}
            if options.get('type') == 'VMINet':
                return {k: options.get(k, v) for k, v in _DEFAULT_SETTINGS.items()}
    return {}


def _is_constant(node: ast.AST) -> bool:
    return isinstance(node, ast.Constant)


def _settings_problems(backbone: nn.Module, checkpoint: Checkpoint) -> list[str]:
    """What differs between the options of the model and those the checkpoint was trained with."""
    return [
        f'it was trained with {name}={checkpoint.settings[name]!r}, the model has '
        f'{name}={getattr(backbone, name)!r}'
        for name in _DEFAULT_SETTINGS
        if name in checkpoint.settings and checkpoint.settings[name] != getattr(backbone, name)
    ]


def _arch_name(backbone: nn.Module, checkpoint: Checkpoint) -> str:
    """The name of the checkpoint's arch, or its settings where it has none."""
    arch = checkpoint.arch
    names = [name for name, known in backbone.arch_settings.items() if known == arch]
    return repr(names[0]) if names else str(arch)


def _modules(names: list[str]) -> str:
    """The modules that tensors belong to, for a log line."""
    modules = sorted({name.rpartition('.')[0] for name in names})
    return f'({", ".join(modules)})' if modules else ''
