"""The steps of a GPU's check: what is started, and how much of the time each may take."""

import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from ...files import shipped

Command = list[str]
PEERS = ('starnet_s4', 'starnet_s4:deploy', 'swiftformer_s', 'mobilevitv2_100')
OURS = ('vminet-xs', 'vminet-xs:deploy', 'vminet-xs:impl=triton', 'vminet-xs:impl=triton,deploy')
# name of a config: what it inherits, where it is none of ours
DETECTORS = {
    'mask-rcnn_vminet-xs': None,
    'mask-rcnn_vminet-s': None,
    'mask-rcnn_r50': 'mmdet::mask_rcnn/mask-rcnn_r50_fpn_1x_coco.py',
    'mask-rcnn_swin-t': 'mmdet::swin/mask-rcnn_swin-t-p4-w7_fpn_1x_coco.py',
}
SEGMENTORS = {
    'upernet_vminet-xs': None,
    'upernet_vminet-s': None,
    'upernet_r50': 'mmseg::upernet/upernet_r50_4xb4-160k_ade20k-512x512.py',
    'upernet_swin-t': (
        'mmseg::swin/swin-tiny-patch4-window7-in1k-pre_upernet_8xb2-160k_ade20k-512x512.py'
    ),
}
MINI_DETECTOR = 'configs/mask_rcnn/mask-rcnn_vminet-ti_fpn_mini.py'
MINI_SEGMENTOR = 'configs/upernet/upernet_vminet-ti_mini.py'


@dataclass(frozen=True)
class Plan:
    """The settings that all steps share.

    Attributes:
        out: Folder that steps write into.
        device: ``'cuda'`` or ``'cpu'``.
        tiny: Whether everything is cut small, to see that it runs.
    """

    out: Path
    device: str
    tiny: bool

    def json(self, name: str) -> str:
        """The file of a command's results."""
        return str(self.out / f'{name}.json')

    @property
    def timing(self) -> Command:
        """The switches of the benchmarks."""
        rounds = ['1', '--seconds', '0'] if self.tiny else ['3', '--seconds', '0.1']
        return ['--device', self.device, '--format', 'md', '--rounds', *rounds]


@dataclass(frozen=True)
class Step:
    """A step of the check.

    Attributes:
        name: As in ``--only``.
        title: What it shows.
        seconds: What it may take of eight minutes.
        commands: Maps a plan to command lines, each with a name; they run one after the other.
    """

    name: str
    title: str
    seconds: float
    commands: Callable[[Plan], dict[str, Command]]


def _tool(path: str, *arguments: str) -> Command:
    return [sys.executable, str(shipped(path)), *arguments]


def _part(module: str, plan: Plan) -> dict[str, Command]:
    words = [sys.executable, '-m', f'{__package__}.{module}', '--device', plan.device]
    words += ['--json', plan.json(module)] + ['--tiny'] * plan.tiny
    return {module: words}


def _doctor(plan: Plan) -> dict[str, Command]:
    return {'doctor': _tool('tools/doctor.py')}


def _kernels(plan: Plan) -> dict[str, Command]:
    tests = Path('tests/ops').absolute()
    files = ['matrix_triton', 'matrix_project_triton', 'recurrent_triton', 'precision', 'verdict']
    chosen = [str(tests / f'test_{name}.py') for name in files]
    if plan.tiny:
        chosen = [*chosen[-1:], '-k', 'depends_on']
    return {'kernels': [sys.executable, '-m', 'pytest', '--no-header', *chosen]}


def _classifiers(plan: Plan) -> dict[str, Command]:
    """Table 3: eager in two dtypes, a batch of one, compiled, in CUDA graphs, and training."""
    models = ['vminet-xs', 'reference-xs'] if plan.tiny else [*OURS, 'reference-xs', *PEERS]
    half = ['--amp', '--dtype']
    small, large = (['2'], ['2']) if plan.tiny else (['1'], ['128'])
    size = ['--size', '32'] if plan.tiny else []
    cases = {
        'eager_fp16': [*half, 'fp16', '--batch', *large, '--mode', 'both'],
        'eager_fp16_one': [*half, 'fp16', '--batch', *small],
        'compiled_fp16': [*half, 'fp16', '--batch', *large, '--mode', 'both', '--compile'],
        'eager_bf16': [*half, 'bf16', '--batch', *large, '--mode', 'both'],
        'compiled_fp16_one': [*half, 'fp16', '--batch', *small, '--compile'],
        'captured_fp16_one': [*half, 'fp16', '--batch', *small, '--compile', 'reduce-overhead'],
        'compiled_bf16': [*half, 'bf16', '--batch', *large, '--mode', 'both', '--compile'],
        'recurrent': [*half, 'fp16', '--batch', *large, '--mode', 'both'],
    }
    if plan.tiny:
        cases = {'eager_bf16': cases['eager_bf16']}
    chosen = dict.fromkeys(cases, models)
    if 'recurrent' in cases:
        forms = ['vminet-xs', 'vminet-xs:form=recurrent', 'vminet-xs:form=recurrent,impl=triton']
        chosen['recurrent'] = forms
    tool = 'tools/analysis_tools/benchmark.py'
    return {
        name: _tool(tool, *chosen[name], *switches, *size, *plan.timing, '--json', plan.json(name))
        for name, switches in cases.items()
    }


def _downstream(plan: Plan) -> dict[str, Command]:
    switches = ['--mode', 'train', '--batch', '2', *plan.timing]
    if plan.tiny:
        configs = {'small': [str(shipped(path)) for path in (MINI_DETECTOR, MINI_SEGMENTOR)]}
        switches += ['--size', '64', '64']
    else:
        configs = {'detectors': _configs(plan, DETECTORS), 'segmentors': _configs(plan, SEGMENTORS)}
        switches += ['--amp', '--dtype', 'fp16']
    tool = 'tools/analysis_tools/benchmark_downstream.py'
    return {
        name: _tool(tool, *paths, *switches, '--json', plan.json(name))
        for name, paths in configs.items()
    }


def _configs(plan: Plan, named: dict[str, str | None]) -> list[str]:
    """The files of configs; for those of other packages one is written that inherits from it."""
    paths = []
    for name, base in named.items():
        if base is None:
            kind, arch = name.split('_')
            folder, end = {
                'mask-rcnn': ('mask_rcnn', 'fpn_1x_coco'),
                'upernet': ('upernet', '8xb2-160k_ade20k-512x512'),
            }[kind]
            paths.append(str(shipped(f'configs/{folder}/{kind}_{arch}_{end}.py')))
            continue
        path = plan.out / f'{name}.py'
        path.write_text(f'_base_ = {base!r}\n')
        paths.append(str(path))
    return paths


def _launch(plan: Plan) -> dict[str, Command]:
    """A short training through the launcher, on a GPU with NCCL, of the data of the step resume."""
    options = ['train_cfg.max_iters=4', 'train_cfg.val_interval=4', 'train_dataloader.batch_size=2']
    words = ['bash', str(shipped('tools/dist_train.sh')), str(shipped(MINI_SEGMENTOR)), '1']
    words += ['--work-dir', str(plan.out / 'launch'), '--data-root', str(plan.out / 'mini/ade')]
    make = _tool('tools/dataset_converters/make_mini_data.py', str(plan.out / 'mini'))
    make += ['--train', '8', '--val', '2']
    return {'data': make, 'launch': [*words, '--cfg-options', *options]}


STEPS = (
    Step('ceilings', 'versions, bandwidth and matrix products', 20, lambda p: _part('ceilings', p)),
    Step('doctor', 'can training run here?', 30, _doctor),
    Step('kernels', 'the fused kernels, compiled', 75, _kernels),
    Step('micro', 'operators of a block', 45, lambda plan: _part('micro', plan)),
    Step('profile', 'where the time goes', 25, lambda plan: _part('profile', plan)),
    Step('classifiers', 'Table 3: classifiers', 130, _classifiers),
    Step('resume', 'a detector killed and resumed', 45, lambda plan: _part('resume', plan)),
    Step('downstream', 'training steps of whole models', 75, _downstream),
    Step('launch', 'the launcher with one process', 35, _launch),
)
