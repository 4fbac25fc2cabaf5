"""What `make` would do, and the files that call it."""

import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
TORCH = (ROOT / 'requirements/torch.txt').read_text().split()[2:]


def dry_run(*words: str) -> str:
    """The commands of a target for a new environment."""
    call = ['make', '-n', *words, 'VENV=/nowhere', '-C', str(ROOT)]
    return subprocess.run(call, capture_output=True, text=True, check=True).stdout


@pytest.mark.parametrize(
    ('words', 'suffix', 'index'),
    [
        ((), '', ''),
        (('TORCH=cpu',), '+cpu', ''),
        (('TORCH=cpu', 'TORCH_INDEX=a/b'), '+cpu', '--extra-index-url a/b'),
    ],
)
def test_which_torch_is_installed(words: tuple, suffix: str, index: str) -> None:
    text = ' '.join(dry_run('install', *words).replace('\\\n', ' ').split())
    pins = ' '.join(f'{pin}{suffix}' for pin in TORCH)
    expected = f'pip install {index} -c requirements/lock.txt {pins} '.replace('  ', ' ')
    assert len(TORCH) == 2 and expected in text


def test_the_container_is_installed_by_make() -> None:
    lines = (ROOT / 'docker/Dockerfile').read_text().splitlines()
    assert any(line.startswith('FROM nvidia/cuda:') and 'runtime' in line for line in lines)
    installs = [line for line in lines if 'install' in line and 'apt-get' not in line]
    assert installs == ['RUN make install VENV=/opt/vminet_mm']
