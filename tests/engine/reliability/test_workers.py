"""Workers of a data loader, however they are started, end with the process that they work for."""

import subprocess
import sys

import pytest

SCRIPT = """
import os
from functools import partial
from torch.utils.data import DataLoader
from vminet_mm.engine.reliability.stopping import ignore_signals_in_worker

if __name__ == '__main__':
    loader = DataLoader(
        list(range(6)),
        batch_size=2,
        num_workers=1,
        persistent_workers=True,
        multiprocessing_context={start!r},
        worker_init_fn=partial(ignore_signals_in_worker, None, os.getpid()),
    )
    print([batch.tolist() for batch in loader], len(loader._iterator._workers))
    loader._iterator._workers[0].terminate()  # SIGTERM of the main process
    loader._iterator._workers[0].join(20)
    print(loader._iterator._workers[0].exitcode)
    os._exit(0)
"""


@pytest.mark.slow
@pytest.mark.parametrize('start', ['fork', 'forkserver', 'spawn'])
def test_worker_ends_by_the_sigterm_of_its_main_process(start: str, tmp_path) -> None:
    script = tmp_path / 'script.py'
    script.write_text(SCRIPT.replace('{start!r}', repr(start)))
    done = subprocess.run(
        [sys.executable, str(script)], capture_output=True, text=True, timeout=120, check=True
    )
    batches, exit_code = done.stdout.splitlines()
    assert batches.startswith('[[0, 1], [2, 3], [4, 5]]')
    assert exit_code == '0', done.stderr
