"""What one test changes for the whole process is restored before the next."""

import os
import signal
from pathlib import Path

import torch
from global_state import unchanged_globals
from mmengine.registry import DefaultScope, init_default_scope


def test_each_is_restored(tmp_path: Path) -> None:
    folder, handler = os.getcwd(), signal.getsignal(signal.SIGTERM)
    scope, threads = DefaultScope.get_current_instance(), torch.get_num_threads()
    with unchanged_globals():
        init_default_scope('mmengine')
        os.environ['MASTER_PORT_OF_THIS_TEST'] = '1'
        os.chdir(tmp_path)
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        torch.set_num_threads(threads + 1)
        torch.set_default_dtype(torch.float64)
        torch.set_grad_enabled(False)
        torch.use_deterministic_algorithms(True)
        torch.backends.cudnn.benchmark = True
        assert DefaultScope.get_current_instance().scope_name == 'mmengine'
    assert DefaultScope.get_current_instance() is scope
    assert 'MASTER_PORT_OF_THIS_TEST' not in os.environ and os.getcwd() == folder
    assert signal.getsignal(signal.SIGTERM) is handler
    assert torch.get_num_threads() == threads and torch.get_default_dtype() == torch.float32
    assert torch.is_grad_enabled() and not torch.are_deterministic_algorithms_enabled()
    assert not torch.backends.cudnn.benchmark


def test_restored_after_a_failure_too() -> None:
    try:
        with unchanged_globals():
            torch.set_grad_enabled(False)
            raise KeyError
    except KeyError:
        pass
    assert torch.is_grad_enabled()
