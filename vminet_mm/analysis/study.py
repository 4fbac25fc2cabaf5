"""Backbones trained on real pictures on equal terms: one recipe, budget and evaluation.

A study trains its members one after the other (:mod:`.study_training`), each in a folder of its
own.
"""

import json
import statistics
from collections.abc import Iterator, Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mmengine.config import Config

from ..engine import load_config, set_data_root
from ..errors import ConfigError
from ..files import shipped
from .complexity import count_complexity
from .run_log import SCALARS
from .run_results import find_runs

SECONDS = 'seconds.json'  # of each start of a run, in its folder


@dataclass(frozen=True)
class Member:
    """A model of a study.

    Attributes:
        config: Its config, below ``configs/``.
        options: Settings that make it this member, keys in dotted notation.
        small: Settings for the budget of a CPU.
        seeds: A run each.
    """

    config: str
    options: Mapping[str, Any] = field(default_factory=dict)
    small: Mapping[str, Any] = field(default_factory=dict)
    seeds: Sequence[int] = (0,)


@dataclass(frozen=True)
class Study:
    """Members by name, and what they are compared by.

    Attributes:
        metric: As the evaluator of the task names it.
        shape: Height and width that MACs are counted at.
        members: Models by name.
        small: Settings of all of them for the budget of a CPU.
        also: Metrics that stand in the table as well.
    """

    metric: str
    shape: tuple[int, int]
    members: Mapping[str, Member]
    small: Mapping[str, Any] = field(default_factory=dict)
    also: Sequence[str] = ()


@dataclass(frozen=True)
class StudyRun:
    """A training of a study.

    Attributes:
        study: Name of the study.
        member: Name of the member.
        seed: Of the training.
        full: Whether the config is trained as shipped, and not for the budget of a CPU.
        folder: The work dir.
    """

    study: str
    member: str
    seed: int
    full: bool
    folder: Path

    def config(self, data_root: str | None = None) -> Config:
        """What is trained; for ``data_root`` see :func:`vminet_mm.engine.set_data_root`."""
        study = STUDIES[self.study]
        member = study.members[self.member]
        small = {} if self.full else {**study.small, **member.small}
        options = {**small, **member.options, 'randomness.seed': self.seed}
        # merging takes ``_delete_`` out of what it is given
        return load_config(shipped('configs') / member.config, deepcopy(options), data_root)

    @property
    def started_with(self) -> Path:
        """The file of the config that the run was last started with."""
        return self.folder.with_suffix('.py')

    def changes(self) -> list[str]:
        """Names of settings that differ from those of the last start, wherever the data lie.

        None differ where nothing has been trained yet.
        """
        if not self.started_with.is_file() or not any(self.folder.rglob(SCALARS)):
            return []
        before, now = map(_settings, (Config.fromfile(self.started_with), self.config()))
        return [name for name in {**before, **now} if before.get(name, self) != now.get(name, self)]

    def result(self) -> float | None:
        """The metric at the end of the training; None where that has not been reached."""
        return self.metrics().get(STUDIES[self.study].metric)

    def metrics(self) -> Mapping[str, float]:
        """All metrics at the end of the training; none where that has not been reached."""
        for run in find_runs(self.folder):
            if run.last.step >= run.length:
                return run.last.metrics
        return {}

    def seconds(self) -> float | None:
        """Time of all starts, or None if one was killed before its end was noted.

        On a CPU that of the processor, on a GPU that of the clock.
        """
        starts = read_seconds(self.folder)
        return None if None in starts else sum(starts)


def _settings(cfg: Config) -> dict[str, Any]:
    """The leaves of a config by their names in dotted notation, less the folders of a machine."""
    set_data_root(cfg, '/')
    return {name: v for name, v in _leaves(cfg.to_dict()) if name != 'work_dir'}


def _leaves(node: Any, name: str = '') -> Iterator[tuple[str, Any]]:
    """The values in nested dicts and sequences by their names."""
    if isinstance(node, (dict, list, tuple)):
        for key, value in node.items() if isinstance(node, dict) else enumerate(node):
            yield from _leaves(value, f'{name}.{key}' if name else str(key))
    else:
        yield name, node


def read_seconds(work_dir: Path) -> list[float | None]:
    """The time of each start of a run; None where it is not known."""
    note = work_dir / SECONDS
    return json.loads(note.read_text()) if note.is_file() else []


@dataclass(frozen=True)
class Row:
    """What a member costs and reached.

    Attributes:
        name: The member.
        params: Number of parameters.
        macs: Multiply-accumulates of one image.
        seconds: Of training and validation, one number a finished run; None where not known.
        values: The metric at the end of each.
        also: Means of the other metrics by name.
    """

    name: str
    params: int
    macs: int
    seconds: list[float | None]
    values: list[float]
    also: Mapping[str, float] = field(default_factory=dict)


def _variant(seeds: Sequence[int] = (0,), **options: Any) -> Member:
    """VMINet on CIFAR-10, with the kernels of the paper; a CPU trains one of 24 channels."""
    arch = dict(_delete_=True, base_channels=24, expansion=2, depths=(1, 2, 4, 1))
    small = {'model.backbone.arch': arch, 'model.backbone.strides': (2, 2, 2, 1)}
    options = dict(options, kernel_size=7)
    changes = {f'model.backbone.{key}': value for key, value in options.items()}
    return Member('cls/vminet-ti_cifar10.py', changes, small, seeds)


_CIFAR10_VMINET = Member(
    'cls/vminet-ti_cifar10.py',
    small={
        'model.backbone.arch': dict(
            _delete_=True, base_channels=20, expansion=2, depths=(1, 2, 2, 1)
        ),
        'model.backbone.strides': (2, 2, 1, 2),
        'model.head.in_channels': 160,
    },
)
# of VMINet's MACs, for a CPU to within a tenth
_CIFAR10_PEERS = {
    'resnet18': Member(
        'cls/resnet18-w32_cifar10.py',
        small={
            'model.backbone.stem_channels': 11,
            'model.backbone.base_channels': 11,
            'model.head.in_channels': 88,
        },
    ),
    'convnext': Member(
        'cls/convnext-c24_cifar10.py',
        small={
            'model.backbone.arch': dict(depths=[1, 2, 4, 1], channels=[28, 56, 112, 224]),
            'model.backbone.stem_patch_size': 2,
            'model.head.in_channels': 224,
        },
    ),
    'vim': Member(
        'cls/vim-w192_cifar10.py',
        small={'model.backbone.arch.embed_dims': 64, 'model.head.in_channels': 64},
    ),
}
_CIFAR10_VARIANTS = {
    'tril': _variant((0, 1, 2)),
    'no-attention': _variant((0, 1, 2), attention='none'),
    'no-mask': _variant((0, 1, 2), mask='none'),
    'band': _variant(mask='band'),
    'hybrid': _variant(mask='hybrid'),
    'recurrent': _variant(form='recurrent'),
}
_CIFAR10_SMALL = {
    'optim_wrapper.type': 'AmpOptimWrapper',
    'optim_wrapper.dtype': 'bfloat16',
    # pictures are moved by less, as it was better in the first two epochs
    'train_dataloader.dataset.pipeline.1.padding': 2,
}
STUDIES = dict(
    cifar10=Study(
        'accuracy/top1',
        (32, 32),
        {'vminet': _CIFAR10_VMINET, **_CIFAR10_PEERS},
        {**_CIFAR10_SMALL, 'train_cfg.max_epochs': 24},
    ),
    ablation=Study(
        'accuracy/top1',
        (32, 32),
        _CIFAR10_VARIANTS,
        {**_CIFAR10_SMALL, 'train_cfg.max_epochs': 2},
    ),
    nuclei=Study(
        'coco/segm_mAP',
        (256, 256),
        {
            'vminet-ti': Member('mask_rcnn/mask-rcnn_vminet-ti_fpn_nuclei.py', seeds=(0, 1)),
            'resnet18': Member('mask_rcnn/mask-rcnn_r18_fpn_nuclei.py'),
            'pvtv2-b0': Member('mask_rcnn/mask-rcnn_pvtv2-b0_fpn_nuclei.py', seeds=(0, 1)),
        },
        also=('coco/segm_mAP_50', 'coco/segm_mAP_75', 'coco/bbox_mAP'),
    ),
    camvid=Study(
        'mIoU',
        (360, 480),
        {
            'vminet-ti': Member('upernet/upernet_vminet-ti_camvid.py'),
            'resnet18': Member('upernet/upernet_r18_camvid.py'),
            'mit-b0': Member('upernet/upernet_mit-b0_camvid.py'),
        },
        also=('aAcc',),
    ),
)


def study_runs(
    name: str, out: str | Path, full: bool = False, only: Sequence[str] = ()
) -> list[StudyRun]:
    """The trainings of a study in their order: the first seed of each member, then the second.

    With ``full`` the configs are trained as shipped, as a GPU can, and not those for a CPU.

    Raises:
        ConfigError: If there is no such member.
    """
    members = STUDIES[name].members
    unknown = set(only) - set(members)
    if unknown:
        names = ', '.join(members)
        raise ConfigError(f'--only: {name} has no member {sorted(unknown)}; there are: {names}')
    folder = Path(out) / name / ('full' if full else 'small')
    runs = [
        StudyRun(name, title, seed, full, folder / title / f'seed{seed}')
        for title, member in members.items()
        if not only or title in only
        for seed in member.seeds
    ]
    return sorted(runs, key=lambda run: run.seed)


def study_rows(finished: Sequence[StudyRun]) -> list[Row]:
    """A row for each member of these runs, in the order of the study."""
    members: dict[str, list[StudyRun]] = {}
    for run in finished:
        members.setdefault(run.member, []).append(run)
    rows = []
    for name, runs in members.items():
        study = STUDIES[runs[0].study]
        counts = count_complexity(runs[0].config(), study.shape)
        seconds, values = [run.seconds() for run in runs], [run.result() for run in runs]
        also = {key: statistics.mean(run.metrics()[key] for run in runs) for key in study.also}
        rows.append(Row(name, counts.params, counts.macs, seconds, values, also))
    return rows


def to_table(rows: Sequence[Row], metric: str) -> str:
    """The rows as Markdown; the spread is the distance from the lowest to the highest value."""
    also = list(rows[0].also) if rows else []
    header = ['model', 'params', 'MACs', 'training', metric, 'spread', 'n', *also]
    lines = [header, ['---'] * len(header)]
    lines += [
        [
            *(row.name, f'{row.params / 1e6:.2f} M', f'{row.macs / 1e9:.3f} G'),
            *(_mean_seconds(row.seconds), f'{statistics.mean(row.values):.4g}'),
            *(f'{max(row.values) - min(row.values):.3g}', f'{len(row.values)}'),
            *(f'{row.also[key]:.4g}' for key in also),
        ]
        for row in rows
    ]
    return '\n'.join(f'| {" | ".join(line)} |' for line in lines)


def _mean_seconds(seconds: Sequence[float | None]) -> str:
    """The mean of those that are known."""
    known = [value for value in seconds if value is not None]
    return f'{statistics.mean(known):.0f} s' if known else 'not known'
