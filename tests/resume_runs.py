"""Small training runs in forked processes, and what they leave in comparable form, for the tests
of killing and resuming.

Only for a process of its own: forks do not go together with CUDA or threads.
"""

import argparse
import gc
import importlib
import json
import os
import re
import signal
import socket
import sys
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

os.environ['CUDA_VISIBLE_DEVICES'] = ''

import numpy as np
import torch
from mmengine.config import config
from mmengine.logging import HistoryBuffer

from vminet_mm.compat.safe_load import safe_load
from vminet_mm.engine import run_tool, train

CONFIGS = Path(__file__).resolve().parents[1] / 'configs'
TINY = {
    'model.backbone.arch': dict(_delete_=True, base_channels=4, expansion=2, depths=[1, 1, 1, 1]),
    'model.backbone.drop_path_rate': 0.3,
    'custom_hooks': [dict(type='NormStatisticsHook'), dict(type='EMAHook', momentum=0.1)],
    'default_hooks.checkpoint.max_keep_ckpts': 2,
    'default_hooks.logger.interval': 1,
}
CLASSIFIER = TINY | {
    'model.head.in_channels': 32,
    'model.train_cfg': dict(_delete_=True, augments=[dict(type='Mixup', alpha=0.8)]),
    'train_dataloader.batch_size': 8,
    'train_cfg.max_epochs': 4,
    'train_cfg.val_interval': 1,
}
SEGMENTOR = TINY | {
    'model.decode_head': dict(channels=4, in_channels=[4, 8, 16, 32]),
    'model.auxiliary_head': dict(channels=4, in_channels=16),
    'train_dataloader.batch_size': 2,
    'train_cfg.max_iters': 12,
    'train_cfg.val_interval': 6,
    'default_hooks.checkpoint.interval': 3,
    'default_hooks.checkpoint.save_best': 'mIoU',
}
DETECTOR = TINY | {
    'model.neck.in_channels': [4, 8, 16, 32],
    'train_cfg.max_epochs': 3,
    'train_cfg.val_interval': 1,
    'default_hooks.checkpoint.save_best': 'coco/bbox_mAP',
}
WORKERS = {'train_dataloader.num_workers': 2, 'train_dataloader.persistent_workers': True}
# config, folder of the built-in data, options, processes; two of them in mixed precision
CASES = {
    'epochs-1': ('cls/vminet-ti_mini', 'imagenet', CLASSIFIER | WORKERS, 1),
    'epochs-2': ('cls/vminet-ti_mini', 'imagenet', CLASSIFIER, 2),
    'iterations-1': ('upernet/upernet_vminet-ti_mini', 'ade', SEGMENTOR | WORKERS, 1),
    'iterations-2': ('upernet/upernet_vminet-ti_mini', 'ade', SEGMENTOR, 2),
    'detector-1': ('mask_rcnn/mask-rcnn_vminet-ti_fpn_mini', 'coco', DETECTOR, 1),
    'detector-2': ('mask_rcnn/mask-rcnn_vminet-ti_fpn_mini', 'coco', DETECTOR, 2),
}


def prepare() -> None:
    """Make the forks quick: import all that they would, and leave configs as they are printed."""
    for package in ('mmdet', 'mmseg', 'mmpretrain'):
        for part in ('models', 'datasets', 'engine', 'evaluation', 'visualization'):
            importlib.import_module(f'{package}.{part}')
    config.FormatCode = lambda text, *args, **kwargs: (text, True)
    gc.freeze()


class Run:
    """A training run, started and resumed through what tools/train.py calls.

    Args:
        case: A key of CASES.
        data: The built-in data.
        work_dir: A new folder.
    """

    def __init__(self, case: str, data: Path, work_dir: Path) -> None:
        config_name, folder, options, self.processes = CASES[case]
        self.work_dir, self.output = work_dir, work_dir / 'output_0.txt'
        self.damaged = ''  # the name of a checkpoint that the test itself damaged
        work_dir.mkdir(parents=True)
        self.args = argparse.Namespace(
            config=str(CONFIGS / f'{config_name}.py'),
            cfg_options=dict(options),
            data_root=str(data / folder),
            work_dir=str(work_dir),
            launcher='pytorch' if self.processes > 1 else 'none',
            local_rank=0,
            amp=case in ('epochs-2', 'detector-1'),
            auto_scale_lr=False,
            show_groups=False,
            pretrained=None,
        )

    def start(self, fault: Callable[[], None] | None = None) -> None:
        """Start or resume; rank 0 calls ``fault`` first."""
        has_state = (self.work_dir / 'last_checkpoint').exists()
        self.args.resume = 'auto' if self.output.exists() else None
        # a config without a seed has to do once there is a checkpoint, which stores it
        self.args.cfg_options['randomness.seed'] = None if has_state else 7
        with socket.socket() as free:
            free.bind(('127.0.0.1', 0))
            port = free.getsockname()[1]
        self.pids: dict[int, int] = {}  # of the ranks that still run
        self.codes: dict[int, int] = {}
        for rank in range(self.processes):
            pid = os.fork()
            if pid == 0:
                self._run(rank, port, fault)
            os.setpgid(pid, pid)  # with its data workers
            self.pids[rank] = pid

    def _run(self, rank: int, port: int, fault: Callable[[], None] | None) -> None:
        """What a forked process does, and no more."""
        code = 1
        try:
            path = self.work_dir / f'output_{rank}.txt'
            output = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
            os.dup2(output, 1)
            os.dup2(output, 2)
            environment = dict(RANK=rank, LOCAL_RANK=rank, WORLD_SIZE=self.processes)
            environment |= dict(LOCAL_WORLD_SIZE=self.processes, MASTER_PORT=port)
            os.environ |= {key: str(value) for key, value in environment.items()}
            os.environ['MASTER_ADDR'] = '127.0.0.1'
            torch.set_num_threads(1)
            if fault and rank == 0:
                fault()
            run_tool(train, self.args)
            code = 0
        except SystemExit as ended:
            print(ended)
            code = ended.code if isinstance(ended.code, int) else 1
        except BaseException:
            traceback.print_exc()
        finally:
            sys.stdout.flush()
            os._exit(code)

    def wait(self, seconds: float = 120) -> bool:
        """Wait until all processes ended or one was killed; whether that happened in time."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            for rank, pid in [*self.pids.items()]:
                if (ended := os.waitpid(pid, os.WNOHANG))[0]:
                    self.codes[rank] = os.waitstatus_to_exitcode(ended[1])
                    del self.pids[rank]
            if not self.pids or -signal.SIGKILL in self.codes.values():
                return True
            time.sleep(0.005)
        return False

    def kill(self) -> None:
        """Kill what still runs."""
        for pid in self.pids.values():
            os.kill(pid, signal.SIGKILL)
        for rank, pid in self.pids.items():
            self.codes[rank] = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
        self.pids.clear()

    def finish(self) -> float:
        """Start or resume, and run to the end; returns the seconds."""
        began = time.monotonic()
        self.start()
        self.wait()
        self.kill()
        if any(self.codes.values()):
            raise SystemExit(
                f'{self.work_dir}: exit codes {self.codes}\n{self.output.read_text()[-4000:]}'
            )
        return time.monotonic() - began

    def times_said(self, pattern: str) -> int:
        """How often rank 0 printed something, in all of the processes it was."""
        return len(re.findall(pattern, self.output.read_text())) if self.output.exists() else 0


def final_state(work_dir: Path) -> dict[str, Any]:
    """All that a run leaves, but times and paths, as plain values: equal if no bit differs."""
    state: dict[str, Any] = {
        'files': sorted(path.name for path in work_dir.glob('*.pth')),
        'partial files': [path.name for path in work_dir.glob('.*')],
        'latest': Path((work_dir / 'last_checkpoint').read_text()).name,
        'validations': validations(work_dir),
    }
    for name in state['files']:
        content = safe_load(work_dir / name)
        known = ('epoch', 'iter', 'batches_done', 'seed')
        content['meta'] = {key: content['meta'].get(key) for key in known}
        hub = content['message_hub']
        hub['log_scalars'] = {
            key: (value._log_history, value._count_history)
            for key, value in hub['log_scalars'].items()
            if isinstance(value, HistoryBuffer) and 'time' not in key
        }
        hub['runtime_info'] = {
            key: Path(value).name if isinstance(value, str) else value
            for key, value in hub['runtime_info'].items()
            if key not in ('cfg', 'eta', 'experiment_name', 'epoch', 'iter')  # see meta
        }
        state[name] = plain(content)
    return state


def plain(value: Any) -> Any:
    """Tensors and arrays as their bytes."""
    if isinstance(value, dict):
        return {key: plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(item) for item in value]
    if isinstance(value, torch.Tensor):
        value = value.numpy()
    if isinstance(value, (np.ndarray, np.generic)):
        return str(value.dtype), value.shape, value.tobytes()
    return repr(value)


def validations(work_dir: Path) -> dict[int, dict[str, float]]:
    """The metrics by step, from the logs of all the processes that the run was made of."""
    found: dict[int, dict[str, float]] = {}
    for log in sorted(work_dir.glob('*/vis_data/scalars.json')):
        for line in log.read_text().splitlines():
            values = json.loads(line) if line.endswith('}') else {}  # the kill may have cut it
            if 'step' in values and 'loss' not in values:
                metrics = {key: value for key, value in values.items() if 'time' not in key}
                if found.setdefault(values['step'], metrics) != metrics:
                    raise SystemExit(f'{log}: two validations of one state differ')
    return found


def differences(one: Any, other: Any, path: str = '') -> list[str]:
    """Where two states differ."""
    if isinstance(one, dict) and isinstance(other, dict):
        return [
            line
            for key in dict.fromkeys([*one, *other])
            for line in differences(one.get(key), other.get(key), f'{path}/{key}')
        ]
    return [] if one == other else [f'{path}: {str(one)[:80]} != {str(other)[:80]}']
