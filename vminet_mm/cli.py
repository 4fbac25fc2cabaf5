"""The console command ``vminet_mm``: the tools, wherever the package is installed.

It starts the same scripts as ``python tools/train.py``, so that each switch is defined once.
"""

import os
import runpy
import sys
from pathlib import Path

from .files import shipped

# name of a command: its script
COMMANDS = {
    'train': 'tools/train.py',
    'test': 'tools/test.py',
    'dist-train': 'tools/dist_train.sh',
    'dist-test': 'tools/dist_test.sh',
    'slurm-train': 'tools/slurm_train.sh',
    'slurm-test': 'tools/slurm_test.sh',
    'check-data': 'tools/check_data.py',
    'make-mini-data': 'tools/dataset_converters/make_mini_data.py',
    'convert-data': 'tools/dataset_converters/convert.py',
    'demo': 'demo/mini_demo.py',
    'predict': 'demo/image_demo.py',
    'report': 'tools/report.py',
    'doctor': 'tools/doctor.py',
    'gpu-check': 'tools/gpu_check.py',
    'offline-packages': 'tools/offline_packages.py',
    'export': 'tools/deployment/export_onnx.py',
    'test-onnx': 'tools/deployment/test_onnx.py',
    'predict-onnx': 'tools/deployment/onnx_inference.py',
    'convert': 'tools/model_converters/vminet_to_mm.py',
    'convert-peer': 'tools/model_converters/peer_to_mm.py',
    'flops': 'tools/analysis_tools/get_flops.py',
    'benchmark': 'tools/analysis_tools/benchmark.py',
    'benchmark-downstream': 'tools/analysis_tools/benchmark_downstream.py',
    'benchmark-hooks': 'tools/analysis_tools/benchmark_hooks.py',
    'benchmark-scan': 'tools/analysis_tools/benchmark_scan.py',
    'traffic': 'tools/analysis_tools/traffic.py',
    'paper-tables': 'tools/analysis_tools/paper_tables.py',
    'study': 'tools/analysis_tools/study.py',
    'batch-invariance': 'tools/analysis_tools/batch_invariance.py',
    'cam': 'tools/visualization/cam.py',
    'context': 'tools/visualization/context.py',
    'curves': 'tools/visualization/curves.py',
}
USAGE = f"""usage: vminet_mm COMMAND [switches]      vminet_mm COMMAND --help
       vminet_mm run SCRIPT [arguments]  any script of the OpenMMLab packages, on this stack

commands: {', '.join(COMMANDS)}, run"""


def main() -> None:
    """Run a command with the arguments that follow it."""
    name, *arguments = sys.argv[1:] or ['--help']
    if name in ('-h', '--help'):
        print(USAGE)
    elif name == 'run' and arguments:
        run_script(Path(arguments[0]), arguments[1:])
    elif name in COMMANDS:
        run_script(shipped(COMMANDS[name]), arguments)
    else:
        what = 'run needs a script' if name == 'run' else f'there is no command {name!r}'
        raise SystemExit(f'error: {what}\n{USAGE}')


def run_script(script: Path, arguments: list[str]) -> None:
    """Run a script as ``python SCRIPT`` or ``bash SCRIPT`` would.

    The package is imported before, which makes the installed OpenMMLab packages usable.
    """
    if not script.is_file():
        raise SystemExit(f'error: there is no script {script}')
    if script.suffix == '.sh':
        # its `python` is this one
        os.environ['PATH'] = f'{Path(sys.executable).parent}{os.pathsep}{os.environ["PATH"]}'
        os.execvp('bash', ['bash', str(script), *arguments])
    sys.argv = [str(script), *arguments]
    sys.path.insert(0, str(script.resolve().parent))
    runpy.run_path(str(script), run_name='__main__')
