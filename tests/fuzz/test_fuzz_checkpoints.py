"""Reading and converting checkpoints: no tensor is lost in silence, whatever the file."""

import re
from pathlib import Path
from unittest import mock

import pytest
import torch
from checkpoint_files import TINY, State
from fuzz_checkpoints import EDGES, HEAD, KINDS, damaged, models, wrapped
from hypothesis import given
from hypothesis import strategies as st
from mmengine.config import Config

from vminet_mm import VMINet
from vminet_mm.checkpoints import load_backbone, read_checkpoint
from vminet_mm.checkpoints.formats import read_options
from vminet_mm.compat.safe_load import safe_load
from vminet_mm.engine.conversion import convert
from vminet_mm.errors import CheckpointError, CheckpointMismatchError
from vminet_mm.ops import resize_field

Model = tuple[str, dict, State]


@pytest.fixture(scope='module')
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file to write, again and again."""
    return tmp_path_factory.mktemp('fuzz') / 'checkpoint.pth'


def equal(one: State, other: State) -> bool:
    return one.keys() == other.keys() and all(torch.equal(one[k], other[k]) for k in one)


def fate(name: str, source: State, target: State) -> str:
    """What becomes of a tensor of the file or of the backbone."""
    if name not in target:
        return 'unused' if re.match(r'norm\d?\.', name) else 'wrong'
    if name not in source:
        optional = re.match(r'norm\d\.', name) or name.endswith('num_batches_tracked')
        return 'left' if optional else 'wrong'
    if source[name].shape == target[name].shape:
        return 'loaded'
    of_tokens = name.endswith(('.alpha', '.beta')) and source[name].numel()
    return 'resized' if of_tokens and source[name].ndim == target[name].ndim == 2 else 'wrong'


@given(st.data(), models(), KINDS, EDGES)
def test_every_tensor_is_loaded_resized_left_or_refused(
    file: Path, data: st.DataObject, model: Model, kind: str, edge: int
) -> None:
    release, options, state = model
    source = data.draw(damaged(state, release))
    torch.save(wrapped(source, release, kind)[0], file)
    outputs = data.draw(st.sampled_from([(3,), (1, 3), (0, 1, 2, 3)]))
    backbone = VMINet(TINY, **options | dict(img_size=edge, out_indices=outputs))
    before = {name: value.clone() for name, value in backbone.state_dict().items()}
    fates = {name: fate(name, source, before) for name in [*before, *source]}
    lines: list[str] = []
    wrong = [name for name, found in fates.items() if found == 'wrong']
    with mock.patch('vminet_mm.checkpoints.states.print_log', lambda line, **_: lines.append(line)):
        if wrong:
            with pytest.raises(CheckpointMismatchError) as error:
                load_backbone(backbone, file)
            assert any(name.rpartition('.')[0] in str(error.value) for name in wrong)
            assert equal(backbone.state_dict(), before) and not lines
            return
        load_backbone(backbone, file)
    counts = {found: [*fates.values()].count(found) for found in (*fates.values(), 'resized')}
    loaded = counts.get('loaded', 0) + counts['resized']
    head = len(HEAD)
    assert f'{loaded} of {len(before)} tensors loaded, {counts["resized"]} of them' in lines[-1]
    assert f'; {counts.get("left", 0)} left as initialized' in lines[-1]
    assert f'; {counts.get("unused", 0) + head} of the file not used' in lines[-1]
    for name, value in backbone.state_dict().items():
        expected = before[name] if fates[name] == 'left' else source[name].to(value.dtype)
        if fates[name] == 'resized':
            expected = resize_field(expected, value.shape, keep_sum=name.endswith('.alpha'))
        assert torch.equal(value, expected), name


@given(models(), KINDS)
def test_format_is_recognized(file: Path, model: Model, kind: str) -> None:
    release, options, state = model
    content, key = wrapped(state, release, kind)
    torch.save(content, file)
    found = read_checkpoint(file)
    assert (found.release, found.state_key, found.source) == (release, key, str(file))
    assert equal(found.backbone, state) and equal(found.head, HEAD) and not found.others
    assert found.arch == TINY
    told = found.options(VMINet.arch_settings)
    assert told['proj_bn'] == options.get('proj_bn', False)
    assert told['attention'] == options.get('attention', 'vmi_sa')
    if told['attention'] == 'vmi_sa':
        size = options['img_size']
        assert found.img_size == (size if isinstance(size, tuple) else (size, size))
        assert told.get('form', 'matrix') == options.get('form', 'matrix')
        assert told.get('mask') == ('none' if release == 'first' else None)


@given(models(), KINDS)
def test_conversion_and_back(file: Path, model: Model, kind: str) -> None:
    release, _, state = model
    torch.save(wrapped(state, release, kind)[0], file)
    converted = file.with_name('converted.pth')
    done = convert(file, converted, force=True)
    kept = {k: v for k, v in state.items() if not re.match(r'norm\d', k)}
    assert set(done.left_out) == state.keys() - kept.keys()
    assert done.checkpoint.release == release and done.num_tensors == len(kept) + len(HEAD)
    again = read_checkpoint(converted)
    assert again.release == 'mm' and equal(again.backbone, kept) and equal(again.head, HEAD)
    twice = convert(converted, file, force=True)
    assert twice.options == done.options and not twice.left_out
    assert equal(safe_load(file)['state_dict'], safe_load(converted)['state_dict'])


WORDS = st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=9))
CONTENT = st.recursive(WORDS, lambda x: st.one_of(st.lists(x), st.dictionaries(WORDS, x)))
CODE = st.lists(
    st.sampled_from([
        'model', '=', 'dict(', 'type', "'VMINet'", "'mmdet.VMINet'", 'mask', "'band'", ')', '{',
        '}', ':', ',', '[', ']', '\n', '\0', '1', '**', 'band_halfwidth', '(' * 300, 'lambda',
    ])
).map(' '.join)  # fmt: skip


@given(CONTENT, st.one_of(st.text(), CODE))
def test_nothing_that_meta_tells_is_too_strange(content: object, text: str) -> None:
    for meta in (content, dict(vminet=content), dict(cfg=text), dict(cfg=content)):
        assert read_options(dict(meta=meta)).keys() <= {'mask', 'band_halfwidth', 'recurrent_mask'}


@given(
    st.sampled_from(['tril', 'band', 'block', 'none', 'hybrid']),
    st.floats(0, 1),
    st.sampled_from(['matrix', 'recurrent']),
    st.sampled_from(['readout', 'inside']),
)
def test_options_are_read_from_a_config(
    mask: str, halfwidth: float, form: str, recurrent_mask: str
) -> None:
    backbone = dict(
        type='VMINet', mask=mask, band_halfwidth=halfwidth, form=form, recurrent_mask=recurrent_mask
    )
    text = Config(dict(model=dict(backbone=backbone))).pretty_text
    expected: dict = dict(mask=mask)
    if mask in ('band', 'hybrid'):
        expected['band_halfwidth'] = halfwidth
    if form == 'recurrent':
        expected['recurrent_mask'] = recurrent_mask
    assert read_options(dict(meta=dict(cfg=text))) == expected


@given(st.data(), models(), st.booleans())
def test_damaged_files_are_refused(
    file: Path, data: st.DataObject, model: Model, truncated: bool
) -> None:
    release, _, state = model
    torch.save(wrapped(state, release, 'trainer')[0], file)
    content = bytearray(file.read_bytes())
    position = data.draw(st.integers(0, len(content) - 1))
    if truncated:
        del content[position:]
    else:
        content[position] ^= data.draw(st.integers(1, 255))
    file.write_bytes(content)
    try:
        found = read_checkpoint(file)
    except CheckpointError:
        return
    assert not truncated and found.arch == TINY
