"""Workers of a data loader, however they are started, end with the process that they work for."""

import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = """
import os
from functools import partial
from torch.utils.data import DataLoader
from vminet_mm.engine.reliability.stopping import ignore_signals_in_worker

if __name__ == '__main__':
    for start in ('fork', 'forkserver', 'spawn'):
        loader = DataLoader(
            list(range(6)),
            batch_size=2,
            num_workers=1,
            persistent_workers=True,
            multiprocessing_context=start,
            worker_init_fn=partial(ignore_signals_in_worker, None, os.getpid()),
        )
        batches = [batch.tolist() for batch in loader]
        (worker,) = loader._iterator._workers
        worker.terminate()  # SIGTERM of the main process
        worker.join(20)
        print(start, batches, worker.exitcode, flush=True)
    os._exit(0)
"""


@pytest.mark.slow
def test_workers_end_by_the_sigterm_of_their_main_process(tmp_path: Path) -> None:
    script = tmp_path / 'script.py'
    script.write_text(SCRIPT)
    done = subprocess.run(
        [sys.executable, str(script)], capture_output=True, text=True, timeout=300, check=True
    )
    assert done.stdout.splitlines() == [
        f'{start} [[0, 1], [2, 3], [4, 5]] 0' for start in ('fork', 'forkserver', 'spawn')
    ], done.stderr
