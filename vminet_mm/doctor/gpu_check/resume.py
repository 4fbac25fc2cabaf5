"""Train the mini detector with --amp, kill it after its first checkpoint, and resume it."""

import json
import subprocess
import sys
import time
from pathlib import Path

from ...files import shipped
from .part import parse_args
from .steps import MINI_DETECTOR

WAIT = 600  # seconds; the check itself ends a step sooner


def main() -> None:
    """Exit with an error unless the resumed run ends well."""
    args = parse_args(__doc__)
    out = Path(args.json).parent
    data, work_dir = out / 'mini', out / 'resume'
    make = ['tools/dataset_converters/make_mini_data.py', str(data), '--train', '8']
    subprocess.run(_python(*make, '--val', '2'), check=True)
    train = _python('tools/train.py', str(shipped(MINI_DETECTOR)), '--work-dir', str(work_dir))
    train += ['--data-root', str(data / 'coco'), '--amp']
    train += ['--cfg-options', 'train_cfg.max_epochs=3', 'train_dataloader.batch_size=4']
    process = subprocess.Popen(train)
    end = time.monotonic() + WAIT
    while not (work_dir / 'last_checkpoint').exists():
        if process.poll() is not None or time.monotonic() > end:
            raise SystemExit(f'no checkpoint was written; exit code {process.poll()}')
        time.sleep(0.05)
    process.kill()
    process.wait()
    code = subprocess.run([*train, '--resume']).returncode
    latest = (work_dir / 'last_checkpoint').read_text()
    Path(args.json).write_text(json.dumps(dict(code=code, latest=latest)))
    print(f'killed and resumed: exit code {code}, latest checkpoint {Path(latest).name}')
    raise SystemExit(code)


def _python(script: str, *arguments: str) -> list[str]:
    return [sys.executable, str(shipped(script)), *arguments]


if __name__ == '__main__':
    main()
