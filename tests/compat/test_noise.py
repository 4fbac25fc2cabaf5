import logging
import warnings

import pytest

import vminet_mm  # noqa: F401
from vminet_mm.compat import noise


@pytest.fixture
def heard():
    """What is heard once the filters are in place: (message, category, module) -> list."""

    def warn(message, category, module):
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter('always')
            noise.silence()
            warnings.warn_explicit(message, category, 'file.py', 1, module=module)
        return [str(warning.message) for warning in caught]

    return warn


@pytest.mark.parametrize(
    ('message', 'category', 'module'),
    [
        ('torch.meshgrid: in an upcoming release, it will be', UserWarning, 'torch.functional'),
        ('`broadcast_buffers` is deprecated. Use', FutureWarning, 'mmengine.model.wrappers.x'),
        ("'pin_memory' argument is set as true but no accelerator is found", UserWarning,
         'torch.utils.data.dataloader'),
        ("__array__ implementation doesn't accept a copy keyword, so", DeprecationWarning,
         'pycocotools.mask'),
        ('`torch.cuda.amp.GradScaler(args...)` is deprecated. Please', FutureWarning,
         'mmengine.optim.optimizer.amp_optimizer_wrapper'),
    ],
)  # fmt: skip
def test_noise_of_upstream_is_silenced_and_nothing_else(heard, message, category, module):
    assert heard(message, category, module) == []
    assert heard(message, category, 'users.own.module') == [message]
    assert heard('something else', category, module) == ['something else']


def test_real_warnings_of_torch_are_silenced():
    import torch

    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter('always')
        noise.silence()
        torch.meshgrid(torch.arange(2), torch.arange(2))
        list(torch.utils.data.DataLoader([1, 2], pin_memory=not torch.cuda.is_available()))
    assert caught == []


def test_the_file_client_line_is_not_logged(tmp_path, caplog):
    from mmengine.fileio import FileClient
    from mmengine.logging import MMLogger, print_log

    logger = MMLogger.get_instance('noise', logger_name='noise')
    logger.addHandler(caplog.handler)
    client = FileClient.infer_client(uri=str(tmp_path))
    print_log('another line', logger=logger, level=logging.WARNING)
    assert client is not None
    assert [record.message for record in caplog.records] == ['another line']
