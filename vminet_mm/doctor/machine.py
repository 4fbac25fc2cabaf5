"""Devices, Triton, and room on the disk and in shared memory."""

import os
import shutil
from importlib.util import find_spec
from pathlib import Path

from .fixes import PIP, REINSTALL
from .report import Section

GIB = 1 << 30
ROOMY_DISK = 2 * GIB  # six checkpoints of the XS detector with the state of its optimizer
MIN_DISK = GIB // 4
# eight workers a process, two batches of 128 images of 224 x 224 each, three processes
MIN_SHARED = 1 * GIB
SHARED = Path('/dev/shm')
NVIDIA_DEVICE = Path('/dev/nvidia0')


def check_devices() -> Section:
    """The GPUs that torch can use, or why it uses none; needs torch."""
    import torch

    section = Section('devices')
    cuda = torch.version.cuda
    section.facts['CUDA of torch'] = cuda or 'none, torch was built for the CPU'
    if cuda:
        section.facts['cuDNN'] = str(torch.backends.cudnn.version())
    if torch.cuda.is_available():
        for index in range(torch.cuda.device_count()):
            gpu = torch.cuda.get_device_properties(index)
            section.facts[f'GPU {index}'] = f'{gpu.name}, {gpu.total_memory / GIB:.0f} GiB'
        return section
    section.facts['GPU'] = 'none'
    section.facts['CPU'] = f'{os.cpu_count()} cores; training runs on it'
    if NVIDIA_DEVICE.exists():
        _explain_unused_gpu(section, cuda)
    return section


def check_environment() -> Section:
    """What MMEngine logs of the machine at the start of a run; needs mmengine."""
    from mmengine.utils.dl_utils import collect_env

    found = collect_env()
    # several lines of flags, and what other sections say
    hidden = ('PyTorch compiling details', 'PyTorch', 'TorchVision', 'OpenCV', 'MMEngine')
    hidden += ('Python', 'numpy_random_seed')
    facts = {name: str(value) for name, value in found.items() if name not in hidden}
    return Section('environment', facts)


def _explain_unused_gpu(section: Section, cuda: str | None) -> None:
    visible = os.environ.get('CUDA_VISIBLE_DEVICES')
    if cuda is None:
        what, fix = 'torch was built for the CPU', f'{REINSTALL} torch torchvision'
    elif visible is not None:
        what, fix = f'CUDA_VISIBLE_DEVICES is {visible!r}', 'unset CUDA_VISIBLE_DEVICES'
    else:
        what = f'the driver does not serve CUDA {cuda}; update it. It says of itself'
        fix = 'nvidia-smi'
    section.problem(f'there is a GPU and torch does not use it: {what}', fix, fatal=False)


def check_triton() -> Section:
    """Whether the fused kernels are right, shown by running them; needs torch and vminet_mm."""
    import torch

    section = Section('Triton kernels')
    if not torch.cuda.is_available():
        section.facts['state'] = "not used without a GPU: impl='auto' takes plain torch"
    elif find_spec('triton') is None:
        section.facts['state'] = "not installed: impl='auto' takes plain torch"
        section.problem('Triton is not installed', f'{PIP} install triton', fatal=False)
    else:
        _try_kernels(section)
    return section


def _try_kernels(section: Section) -> None:
    """Compare output and gradients with the torch implementation, in all dtypes."""
    from ..ops import FORMS
    from ..ops.verdict import full_verdict

    for form in FORMS:
        verdict = full_verdict(form)
        section.facts[form] = verdict.reason
        if not verdict.right:
            is_compiler = 'C compiler' in verdict.reason
            fix = 'vminet_mm train CONFIG --cfg-options model.backbone.impl=torch'
            fix = 'sudo apt-get install -y gcc' if is_compiler else fix
            section.problem(verdict.reason, fix, fatal=False)


def check_space(work_dir: str = 'work_dirs') -> Section:
    """Room for checkpoints where a run will write, and for batches in shared memory."""
    section = Section('room')
    folder = Path(work_dir).absolute()
    while not folder.exists():
        folder = folder.parent
    free = shutil.disk_usage(folder).free
    section.facts['free on the disk'] = f'{free / GIB:.1f} GiB, for {work_dir}'
    if free < ROOMY_DISK:
        what = f'only {free / GIB:.1f} GiB are free for checkpoints in {work_dir}'
        fix = 'vminet_mm train CONFIG --work-dir A_FOLDER_ON_A_LARGER_DISK'
        section.problem(what, fix, fatal=free < MIN_DISK)
    if not os.access(folder, os.W_OK):
        section.problem(f'{folder} cannot be written', f'sudo chown -R "$USER" {folder}')
    if SHARED.is_dir():
        shared = shutil.disk_usage(SHARED).free
        section.facts['shared memory'] = f'{shared / GIB:.1f} GiB free in {SHARED}'
        if shared < MIN_SHARED:
            section.problem(
                f'only {shared / GIB:.2f} GiB of shared memory are free: workers that load data '
                'may crash with a bus error (docker run --shm-size=8g avoids it)',
                f'sudo mount -o remount,size=8G {SHARED}',
                fatal=False,
            )
    return section
