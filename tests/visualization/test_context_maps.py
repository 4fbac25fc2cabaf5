"""What VMI-SA looks at, against loops over tokens and channels; and the pictures of it."""

import runpy
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from torch import Tensor, nn

from vminet_mm.models import VMISA, VMINet, set_image_sizes
from vminet_mm.visualization.context_maps import (
    Magnitudes,
    area_of,
    find_attentions,
    find_backbone,
    measure_context,
    receptive_field,
    token_fields,
)
from vminet_mm.visualization.context_plots import (
    save_fields,
    save_fraction_maps,
    save_fractions,
    save_receptive_field,
)
from vminet_mm.visualization.loading import Sample

ROOT = Path(__file__).parents[2]
TOOL = str(ROOT / 'tools/visualization/context.py')
BLUE = (31, 119, 180)  # of the first curve
CONFIG = str(ROOT / 'configs/cls/vminet-ti_mini.py')


def backbone(depths: tuple[int, ...] = (1, 0, 0, 0), **options) -> VMINet:
    """Four channels and grids from 4 x 4 tokens, with values that matter."""
    arch = dict(base_channels=4, expansion=2, depths=depths)
    model = VMINet(arch, img_size=16, **options).eval()
    for _, block in find_attentions(model).items() if model.attn_cfg['attention'] != 'none' else ():
        for name in ('alpha', 'beta', 'scale'):
            if hasattr(block, name):
                nn.init.uniform_(getattr(block, name), -1.5, 2)
        nn.init.normal_(block.query.weight)  # or Q has one sign everywhere
    return model


def embedding_of(model: VMINet, images: Tensor) -> np.ndarray:
    """E (B, D, H, W) of the first block, by its layers one by one."""
    block = model.stages[0][1]
    attn = block.attn
    with torch.no_grad():
        x = block.dwconv(model.stages[0][0](model.stem(images)))
        return (attn.query(x).clamp(0, 6) * attn.key(x)).double().numpy()


def context_by_hand(attn: VMISA, embedding: np.ndarray) -> np.ndarray:
    """c (B, D): the sum over tokens, or over cells of 2 x 2 tokens where there are 8 x 8."""
    alpha, mask = attn.alpha.detach().double().numpy(), attn.mask.numpy()
    cell = embedding.shape[2] // 4
    total = np.zeros(embedding.shape[:2])
    for i in range(16):
        row, column = divmod(i, 4)
        rows, columns = (
            np.s_[row * cell : (row + 1) * cell],
            np.s_[column * cell : (column + 1) * cell],
        )
        for n in range(8):
            value = embedding[:, n, rows, columns].mean((1, 2))
            total[:, n] += alpha[row, column] * mask[i, n] * value
    return total


@pytest.mark.parametrize('edge', [16, 32], ids=['native', 'pooled'])
def test_magnitudes_of_the_matrix_form_by_hand(edge: int) -> None:
    model, images = backbone(), torch.randn(2, 3, edge, edge)
    attn = model.stages[0][1].attn
    embedding = embedding_of(model, images)
    found = measure_context(model, images)['1.1']
    summary = np.abs(attn.scale.item() * context_by_hand(attn, embedding)).mean(1)
    own = np.abs(attn.beta.item() * embedding).mean(1)
    assert found.token.shape == found.context.shape == (2, edge // 4, edge // 4)
    assert np.allclose(found.context, summary[:, None, None], rtol=1e-4)
    assert np.allclose(found.token, own, rtol=1e-4)
    # the fraction: of the means over channels, and over channels and tokens
    maps = summary[:, None, None] / (summary[:, None, None] + own)
    assert np.allclose(found.maps, maps, rtol=1e-4)
    assert np.allclose(found.fractions, summary / (summary + own.mean((1, 2))), rtol=1e-4)


@pytest.mark.parametrize('recurrent_mask', ['readout', 'inside'])
def test_magnitudes_of_the_recurrent_form_by_hand(recurrent_mask: str) -> None:
    model = backbone(form='recurrent', recurrent_mask=recurrent_mask)
    images = torch.randn(2, 3, 16, 16)
    attn = model.stages[0][1].attn
    tokens = embedding_of(model, images).reshape(2, 8, 16)
    alpha, beta = (p.detach().double().numpy().ravel() for p in (attn.alpha, attn.beta))
    state, seen = np.zeros((2, 8)), np.zeros((2, 8, 16))
    for i in range(16):
        visible = attn.mask[i].numpy()
        if recurrent_mask == 'readout':
            state = state + alpha[i] * tokens[..., i]
            seen[..., i] = visible * state
        else:
            state = state + visible * alpha[i] * tokens[..., i]
            seen[..., i] = state
    found = measure_context(model, images)['1.1']
    assert np.allclose(found.context.flatten(1), np.abs(seen).mean(1), rtol=1e-4, atol=1e-6)
    assert np.allclose(found.token.flatten(1), np.abs(beta * tokens).mean(1), rtol=1e-4)


def test_measuring_changes_nothing() -> None:
    model, images = backbone((1, 1, 2, 1)), torch.randn(1, 3, 40, 24)
    before = model(images)[-1]
    assert list(measure_context(model, images)) == ['1.1', '2.1', '3.1', '3.2', '4.1']
    assert not any(attention._forward_pre_hooks for attention in find_attentions(model).values())
    assert torch.equal(model(images)[-1], before)


def test_a_fraction_without_anything_is_zero() -> None:
    nothing = torch.zeros(1, 2, 2)
    fraction = Magnitudes(nothing, nothing)
    assert not fraction.maps.any() and not fraction.fractions.any()
    assert Magnitudes(torch.ones(1, 2, 2), nothing).fractions.tolist() == [1]


def test_fields_by_hand() -> None:
    attn = VMISA(1, 2, (2, 2))
    attn.alpha.data.copy_(torch.tensor([[1.0, 2.0], [-3.0, 4.0]]))
    fields = token_fields(attn, channels=[1])
    # of tril, the first token reaches the first of both channels
    assert {name: field.tolist() for name, field in fields.items()} == {
        'alpha': [[1, 2], [-3, 4]],
        'alpha M, mean': [[0.5, 2], [-3, 4]],
        'alpha M, n=1': [[0, 2], [-3, 4]],
    }
    with pytest.raises(ValueError, match='channel 2 .*0 to 1'):
        token_fields(attn, channels=[2])


def test_fields_of_the_recurrent_form() -> None:
    readout = VMISA(1, 2, (2, 2), form='recurrent')
    inside = VMISA(1, 2, (2, 2), form='recurrent', recurrent_mask='inside')
    assert token_fields(readout)['M, mean'].tolist() == [[0.5, 1], [1, 1]]
    assert list(token_fields(readout)) == ['alpha', 'beta', 'M, mean']
    assert list(token_fields(inside)) == ['alpha', 'beta', 'alpha M, mean']


def test_blocks_are_found_by_name() -> None:
    model = nn.Sequential(nn.Conv2d(3, 3, 1), backbone((1, 0, 2, 0)))
    found = find_backbone(model)
    assert found is model[1]
    assert list(find_attentions(found, ['3.2', '1.1'])) == ['3.2', '1.1']
    assert find_attentions(found)['3.2'] is found.stages[2][2].attn
    with pytest.raises(ValueError, match='2.1; choose among 1.1, 3.1, 3.2'):
        find_attentions(found, ['2.1'])
    with pytest.raises(ValueError, match="attention='none'"):
        find_attentions(backbone(attention='none'))
    with pytest.raises(ValueError, match='the model has no VMINet'):
        find_backbone(nn.Conv2d(3, 3, 1))


def test_receptive_field_of_a_convolution_is_its_kernel() -> None:
    conv = nn.Conv2d(3, 2, 3, padding=1)
    images = [torch.randn(1, 3, 7, 9), torch.randn(1, 3, 7, 9)]
    field = receptive_field(lambda x: (x, conv(x)), images)
    expected = torch.zeros(7, 9)
    expected[2:5, 3:6] = conv.weight.sum(0).abs().sum(0)  # the same for every image
    assert torch.allclose(field, expected, atol=1e-6)
    square = receptive_field(lambda x: (x.square(),), images)[3, 4]  # its gradient is 2 x
    means = [2 * image[0, :, 3, 4].abs().sum() for image in images]
    assert float(square) == pytest.approx(float(sum(means)) / 2, rel=1e-5)


def test_receptive_field_of_images_that_carry_their_sizes() -> None:
    model, image = backbone(mask_padding=True), torch.randn(1, 3, 24, 40)
    with pytest.raises(ValueError, match='mask_padding=True'):
        receptive_field(model, [image])
    field = receptive_field(model, [set_image_sizes(image, [(24, 40)])])
    model.mask_padding = False
    assert torch.equal(field, receptive_field(model, [image]))
    model.mask_padding = True
    # nothing reaches the output from the padding
    assert not receptive_field(model, [set_image_sizes(image, [(24, 33)])])[:, 33:].any()


def test_context_makes_the_receptive_field_global() -> None:
    image = torch.randn(1, 3, 256, 256)
    # channels enough for some to lie between the flat ends of ReLU6
    arch = dict(base_channels=16, expansion=2, depths=(1, 0, 0, 0))
    local, whole = (
        receptive_field(VMINet(arch, img_size=16, **options).eval(), [image])
        for options in (dict(attention='none'), dict(mask='none'))
    )
    assert local[128, 128] > 0 and local[:32, :32].sum() == 0
    assert whole[:32, :32].sum() > 0
    assert area_of(local, 1.0) < 0.8 and area_of(whole, 1.0) > 0.9


def test_area_of_a_field() -> None:
    field = torch.tensor([[1.0, 5.0], [0.0, 2.0], [0.0, 0.0]])
    areas = [area_of(field, fraction) for fraction in (0.5, 5 / 8, 0.8, 0.9, 1.0)]
    assert areas == pytest.approx([1 / 6, 1 / 6, 2 / 6, 3 / 6, 3 / 6])
    assert area_of(torch.ones(5, 9), 1 / 3) == pytest.approx(15 / 45)


def pixels(path: Path, color: tuple, tolerance: int = 6) -> np.ndarray:
    """(N, 2) rows and columns of a picture's pixels of an RGB color."""
    image = cv2.imread(str(path))[..., ::-1].astype(int)
    return np.argwhere(np.abs(image - color).max(axis=2) < tolerance)


def test_fields_are_red_above_and_blue_below_zero(tmp_path: Path) -> None:
    field = torch.tensor([[2.0, 0.0], [0.0, -2.0]])
    path = save_fields(tmp_path / 'new/fields.png', {'1.1': {'alpha': field}})
    red, blue = pixels(path, (103, 0, 31)), pixels(path, (5, 48, 97))  # the ends of RdBu
    assert len(red) == pytest.approx(len(blue), rel=0.05) and len(red) > 1000
    assert (red.max(0) <= blue.min(0) + 1).all()
    nothing = save_fields(tmp_path / 'nothing.png', {'1.1': {'alpha': torch.zeros(2, 2)}})
    assert len(pixels(nothing, (103, 0, 31))) == len(pixels(nothing, (5, 48, 97))) == 0


def measured(fraction: float) -> dict[str, Magnitudes]:
    own = torch.full((1, 2, 2), 1 - fraction)
    return {
        '1.1': Magnitudes(torch.full((1, 2, 2), fraction), own),
        '2.1': Magnitudes(torch.ones(1, 2, 2), torch.zeros(1, 2, 2)),
    }


def test_fractions_are_drawn_at_their_height(tmp_path: Path) -> None:
    rows = [
        np.median(
            pixels(save_fractions(tmp_path / 'fraction.png', [measured(fraction)]), BLUE)[:, 0]
        )
        for fraction in (0.9, 0.5, 0.1)
    ]
    assert rows[0] < rows[1] - 30 < rows[2] - 60  # rows count down


def test_fraction_maps_have_the_colors_of_their_scale(tmp_path: Path) -> None:
    gray = np.full((4, 4, 3), 77, dtype=np.uint8)
    path = save_fraction_maps(
        tmp_path / 'maps.png', [Sample('x.jpg', gray, None, None)], [measured(0.0)], ['1.1', '2.1']
    )
    lowest, highest, image = (
        pixels(path, c, 2) for c in ((68, 1, 84), (253, 231, 37), (77, 77, 77))
    )
    columns = [np.median(points[:, 1]) for points in (image, lowest, highest)]
    assert columns == sorted(columns) and min(map(len, (image, lowest, highest))) > 10_000


def test_receptive_field_is_bright_where_it_is(tmp_path: Path) -> None:
    field = torch.full((20, 30), 1e-9)
    field[:10, :15] = 1.0
    path = save_receptive_field(tmp_path / 'field.png', field, 'title')
    bright, dark = pixels(path, (252, 255, 164)), pixels(path, (0, 0, 4))
    assert len(bright) == pytest.approx(len(dark) / 3, rel=0.1)
    assert np.median(bright[:, 0]) < np.median(dark[:, 0])


def test_tool(
    mini_root: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture,
) -> None:
    images = [str(path) for path in sorted(mini_root.glob('imagenet/val/*/*.jpg'))[:2]]
    command = [TOOL, CONFIG, '--device', 'cpu', '--out-dir', str(tmp_path)]
    monkeypatch.setattr('sys.argv', [*command, '--channels', '0', '--blocks', '3.18'])
    runpy.run_path(TOOL, run_name='__main__')
    assert [path.name for path in tmp_path.iterdir()] == ['fields.png']
    monkeypatch.setattr('sys.argv', [*command, '--rank', '--images', *images])
    runpy.run_path(TOOL, run_name='__main__')
    names = ['fields.png', 'fraction.png', 'fraction_maps.png', 'receptive_field.png']
    assert sorted(path.name for path in tmp_path.iterdir()) == names
    printed = capsys.readouterr().out
    assert all(str(tmp_path / name) in printed for name in names)
    assert 'block  3.18: context fraction 0.' in printed
    assert '| block | full | E | none M E |' in printed
    for switches, message in [
        (['--blocks', '5.1'], 'error: no block 5.1; choose among 1.1, '),
        (['--channels', '9999'], 'error: no hidden channel 9999'),
        (['--rank'], 'error: --rank .* give --images'),
        (['--images', 'none.jpg'], 'error: there is no image none.jpg'),
    ]:
        monkeypatch.setattr('sys.argv', [*command, *switches])
        with pytest.raises(SystemExit, match=message):
            runpy.run_path(TOOL, run_name='__main__')
