"""The folder that documented commands and Python run in."""

from pathlib import Path

import pytest
from documents import find_commands
from workshop import Workshop, fill, run, shorten

# documented commands that others need the files of: a run, an exported model, timings
FIRST = (
    'python tools/train.py CONFIG',
    'python tools/deployment/export_onnx.py CONFIG CHECKPOINT --verify',
    'python tools/analysis_tools/benchmark.py vminet-xs:deploy vminet-xs:form=recurrent,deploy '
    '--json times.json',
)


@pytest.fixture(scope='session')
def workshop(mini_root: Path, tmp_path_factory: pytest.TempPathFactory) -> Workshop:
    """The folder, in which a few commands were run."""
    named = {word for words in find_commands() for word in words if word.startswith('configs/')}
    with pytest.MonkeyPatch.context() as monkeypatch:
        made = Workshop(tmp_path_factory.mktemp('workshop') / 'here', mini_root, named)
        monkeypatch.chdir(made.root)
        for words in map(str.split, FIRST):
            run([words[1], *shorten(words[1], fill(words)[2:])])
            made.done.append(words)
    return made
