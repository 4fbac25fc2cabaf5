"""Classifiers by name: ours, the authors' implementation, peers of here, timm and mmpretrain.

A spec is a name with options, ``NAME[:OPTION[,OPTION...]]``:

- ``vminet-xs``: ours, archs ti, xs, s and b; the options are those of ``VMINet``, for example
  ``vminet-xs:form=recurrent,impl=torch``.
- ``reference-xs``: the authors' classifier (separate W1 and W2, unfolded norms, a masked copy of
  E), which is made for the size it is timed at; option ``release=first``.
- ``vim-ti``: a backbone of :mod:`vminet_mm.peers` in lower case and its arch: ``vim-s``,
  ``localvim-t``, ``plainmamba-l1``, ``vmamba-t``, ``efficientvmamba-s``, ``lvt-base``; the options
  are those of its class, for example ``vim-ti:impl=reference``.
- ``starnet_s4``: a name of timm, or ``swin_tiny`` or ``deit_small`` for short; the options go to
  ``timm.create_model``.
- ``mmpretrain:resnet50_8xb32_in1k``: a model of mmpretrain. ``mmpretrain:ResNet:depth=18``: one of
  its backbones with its options.

``deploy`` among the options folds the model for inference: ours with ``switch_to_deploy`` and its
last norm into the linear layer, a peer's batch norms and what it can re-parametrize itself.

``engine=torch|compile|ort|openvino`` among the options says what runs the model, see
:mod:`vminet_mm.analysis.engines`; by default torch, or torch.compile with ``--compile``.
"""

import difflib
import inspect
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from importlib.util import find_spec

import torch
import yaml
from torch import Tensor, nn
from torch.fx.experimental.optimization import fuse
from torch.fx.proxy import TraceError

from .. import peers
from ..models import VMINet
from ..tasks import CLASSIFICATION
from .authors_model import ARCHS, RELEASES, AuthorsVMINet
from .engines import ENGINES, is_runtime
from .published import Published, published_top1

NUM_CLASSES = 1000
PEERS = {name.lower(): name for name in peers.HOMES if not name.endswith('Head')}
# of timm
SHORT_NAMES = {
    'swin_tiny': 'swin_tiny_patch4_window7_224',
    'deit_small': 'deit_small_patch16_224',
}
Size = tuple[int, int]


@dataclass(frozen=True)
class ModelSpec:
    """What a spec says.

    Attributes:
        text: The spec itself.
        family: ``vminet``, ``reference``, ``peer``, ``timm`` or ``mmpretrain``.
        name: The arch of the first two, that with its model of the third, the name within the
            package of the others.
        options: For the constructor.
        deploy: Whether the model is folded for inference.
        engine: What runs it, or None where that is left to the settings.
    """

    text: str
    family: str
    name: str
    options: dict
    deploy: bool
    engine: str | None = None

    @property
    def only_infers(self) -> bool:
        """Whether the model cannot be trained as it is asked for."""
        return self.deploy or is_runtime(self.engine)

    @property
    def top1(self) -> Published | None:
        """See :func:`~vminet_mm.analysis.published.published_top1`."""
        return published_top1(self.family, self.name, self.options)


def parse_spec(text: str) -> ModelSpec:
    """Read a spec, see the head of this module.

    Raises:
        ValueError: If it names a model or an option that there is not; the message lists the
            choices.
    """
    name, *rest = text.split(':')
    family, dash, arch = name.partition('-')
    if dash and family in ('vminet', 'reference'):
        name = arch
    else:
        family = 'peer' if dash and family in PEERS else 'timm'
    if name in ('timm', CLASSIFICATION.scope) and rest:
        family, name = name, rest.pop(0)
    if len(rest) > 1:
        raise ValueError(f'{text!r} has too many colons; a spec is NAME[:OPTION[,OPTION...]]')
    options, deploy = _parse_options(text, rest[0] if rest else '')
    engine = options.pop('engine', None)
    _require('an engine', engine or 'torch', ENGINES)
    if family == 'reference' and deploy:
        raise ValueError(f'{text!r}: the reference is what is not folded; leave out deploy')
    _CHECKS[family](name, options)
    return ModelSpec(text, family, name, options, deploy, engine)


def _parse_options(text: str, given: str) -> tuple[dict, bool]:
    """The options of a spec, and whether it says ``deploy``."""
    parts = [part for part in given.split(',') if part]
    options = dict(part.split('=', 1) for part in parts if '=' in part)
    flags = {part for part in parts if '=' not in part}
    if flags - {'deploy'}:
        raise ValueError(f'{text!r}: an option is deploy or key=value, not {sorted(flags)}')
    return {key: yaml.safe_load(value) for key, value in options.items()}, bool(flags)


def _check_vminet(name: str, options: dict) -> None:
    choices = {*VMINet.argument_names()} - {'arch', 'out_indices', 'in_channels', 'attn_cfg'}
    _require('an arch of vminet', name, VMINet.arch_settings)
    for key in options:
        _require('an option of vminet', key, choices)


def _check_reference(name: str, options: dict) -> None:
    _require('an arch of reference', name, ARCHS)
    for key in options:
        _require('an option of reference', key, ('release',))
    _require('a release', options.get('release', 'second'), RELEASES)


def _check_peer(name: str, options: dict) -> None:
    model, _, arch = name.partition('-')
    backbone = getattr(peers, PEERS[model])
    _require(f'an arch of {model}', arch, backbone.arch_settings)
    others = {'self', 'arch', 'out_type', 'out_indices', 'in_channels', 'init_cfg'}
    for key in options:
        choices = {*inspect.signature(backbone).parameters} - others
        _require(f'an option of {model}', key, choices)


def _check_timm(name: str, options: dict) -> None:
    if find_spec('timm') is None:
        raise ValueError(f"{name!r} needs the package timm: pip install 'vminet-mm[bench]'")
    import timm

    if not timm.is_model(SHORT_NAMES.get(name, name)):
        ours = [f'{family}-{arch}' for family in ('vminet', 'reference') for arch in ARCHS]
        others = [f'{model}-' for model in PEERS]
        _require('a model', name, [*ours, *others, *SHORT_NAMES, *timm.list_models()])


def _check_mmpretrain(name: str, options: dict) -> None:
    from mmpretrain import list_models
    from mmpretrain.models import backbones

    models, types = list_models(), backbones.__all__
    _require('a model or backbone of mmpretrain', name, [*types, *models])
    if name in models and options:
        raise ValueError(f'{name!r} of mmpretrain takes no options; its backbones do: {types}')


def _require(what: str, name: str, choices: Iterable[str]) -> None:
    """Raise unless a name is among the choices; of many the closest are listed."""
    choices = sorted(choices)
    if name not in choices:
        close = difflib.get_close_matches(name, choices, n=8, cutoff=0.4)
        listed = choices if len(choices) <= 30 else close
        raise ValueError(f'{name!r} is not {what}; choose one of {", ".join(listed)}')


class Classifier(nn.Module):
    """A backbone, global average pooling and a linear layer.

    Args:
        backbone (nn.Module): Maps images to a sequence of outputs, of which the last is used, (B,
            C, H, W) or (B, C).
        channels (int): C.
    """

    def __init__(self, backbone: nn.Module, channels: int) -> None:
        super().__init__()
        self.backbone = backbone
        self.head = nn.Linear(channels, NUM_CLASSES)

    def forward(self, images: Tensor) -> Tensor:
        """Map images (B, 3, H, W) to logits (B, 1000)."""
        x = self.backbone(images)[-1]
        return self.head(x.mean((2, 3)) if x.ndim == 4 else x)


def build_model(spec: ModelSpec, size: Size = (224, 224)) -> nn.Module:
    """Build the classifier of a spec at random weights, in evaluation mode, from images to logits.

    Raises:
        ValueError: If an option has a wrong value or the model cannot be folded.
    """
    try:
        model = _BUILDERS[spec.family](spec.name, spec.options, size).eval()
    except TypeError as error:
        if 'unexpected keyword argument' not in str(error):
            raise
        raise ValueError(f'{spec.text!r} cannot be built: {error}') from error
    return fold(spec, model) if spec.deploy else model


def _build_vminet(name: str, options: dict, size: Size) -> nn.Module:
    backbone = VMINet(name, **options)
    return Classifier(backbone, backbone.out_channels[-1])


def _build_reference(name: str, options: dict, size: Size) -> nn.Module:
    if any(edge % 32 for edge in size):
        raise ValueError(f'reference-{name} needs sides divisible by 32, not {size}')
    return AuthorsVMINet(options.get('release', 'second'), name, size, NUM_CLASSES)


def _build_peer(name: str, options: dict, size: Size) -> nn.Module:
    model, _, arch = name.partition('-')
    kind = getattr(peers, PEERS[model])
    by_type = {'out_type': kind.out_types[0]} if hasattr(kind, 'out_types') else {}
    backbone = kind(arch, **by_type, **options)
    if PEERS[model] == 'LVT':  # its head has attention of its own
        return nn.Sequential(backbone, peers.LVTClsHead(NUM_CLASSES, backbone.out_channels[-1]))
    return Classifier(backbone, backbone.out_channels[-1])


def _build_timm(name: str, options: dict, size: Size) -> nn.Module:
    import timm

    name = SHORT_NAMES.get(name, name)
    if timm.get_pretrained_cfg(name).fixed_input_size:
        options = dict(img_size=size) | options
    return timm.create_model(name, num_classes=NUM_CLASSES, **options)


def _build_mmpretrain(name: str, options: dict, size: Size) -> nn.Module:
    from mmpretrain import get_model, list_models
    from mmpretrain.registry import MODELS

    if name in list_models():
        return get_model(name, pretrained=False)
    # with its scope, whatever the default scope is
    backbone = MODELS.build(dict(type=f'mmpretrain.{name}', **options))
    backbone.eval()  # that of some returns nothing
    with torch.no_grad():
        channels = backbone(torch.zeros(1, 3, *size))[-1].shape[1]
    return Classifier(backbone, channels)


def fold(spec: ModelSpec, model: nn.Module) -> nn.Module:
    """Fold a model of a spec for inference, in part in place.

    Raises:
        ValueError: If torch.fx cannot trace it.
    """
    if spec.family == 'vminet':
        return _fold_classifier(model)
    try:
        return _fold_peer(model)
    except TraceError as error:
        raise ValueError(f'{spec.text!r} cannot be folded: {error}') from error


@torch.no_grad()
def _fold_classifier(classifier: Classifier) -> Classifier:
    """Fold our backbone, and its last norm into the linear layer.

    The norm maps each channel affinely, therefore it may as well act after the average.
    """
    backbone, head = classifier.backbone, classifier.head
    backbone.switch_to_deploy()
    norm, backbone.norm = backbone.norm, nn.Identity()
    gain = norm.weight / (norm.running_var + norm.eps).sqrt()
    head.bias += head.weight @ (norm.bias - norm.running_mean * gain)
    head.weight *= gain
    return classifier


def _fold_peer(model: nn.Module) -> nn.Module:
    """Re-parametrize what the model itself can, then fold batch norms into convolutions."""
    if hasattr(model, 'backbone'):  # of mmpretrain
        if hasattr(model.backbone, 'switch_to_deploy'):
            model.backbone.switch_to_deploy()
        model.backbone = fuse(model.backbone)
        return model
    from timm.utils.model import reparameterize_model

    return fuse(reparameterize_model(model))


_CHECKS: dict[str, Callable] = dict(
    vminet=_check_vminet,
    reference=_check_reference,
    peer=_check_peer,
    timm=_check_timm,
    mmpretrain=_check_mmpretrain,
)
_BUILDERS: dict[str, Callable] = dict(
    vminet=_build_vminet,
    reference=_build_reference,
    peer=_build_peer,
    timm=_build_timm,
    mmpretrain=_build_mmpretrain,
)
