"""What all columnar backbones keep: parameters, sizes, options, gradients and checkpoints."""

from pathlib import Path

import pytest
import torch
from columnar_cases import ARCH, ARCHS, CLASSIFIES, spread
from mmengine.registry import MODELS
from tiny_peers import number_kept

from vminet_mm import peers
from vminet_mm.errors import CheckpointMismatchError
from vminet_mm.peers.columnar import resize_positions

names = pytest.mark.parametrize('name', ARCHS)
# with their linear classifiers of 1000 classes; the authors print Vim-Ti's to the digit
PARAMS = {
    ('Vim', 'ti'): 7_148_008,
    ('Vim', 's'): 25_796_584,
    ('LocalVim', 't'): 7_994_152,
    ('LocalVim', 's'): 27_783_784,
    ('PlainMamba', 'l1'): 7_551_656,
    ('PlainMamba', 'l2'): 26_145_832,
}


def by_hand(name: str, channels: int, layers: int, convs: int = 0, conv_layers: int = 0) -> int:
    """Parameters of a classifier for images of 224 x 224, added up from the authors' code."""
    inner, rank, states, tokens, classes = 2 * channels, channels // 16, 16, 14 * 14, 1000
    # decays, skip, steps with B and C, and the steps' own projection with a bias
    scan = inner * states + inner + inner * (rank + 2 * states) + rank * inner + inner
    projections = channels * 2 * inner + inner * channels
    positions, head = tokens * channels, channels * classes + classes
    if name == 'PlainMamba':
        field, directions = 49 * inner + inner, 5 * states
        biases, norm = 2 * inner + channels, 2 * channels
        layer = scan + projections + biases + field + directions + norm
        depthwise = 9 * channels + 2 * channels  # in some layers, with a batch norm
        stem = 49 * 3 * 64 + 2 * 64 + convs * (9 * 64 * 64 + 2 * 64) + 64 * 64 * channels + channels
        return layers * layer + conv_layers * depthwise + stem + positions + norm + head
    convolution, norm, patches = 4 * inner + inner, channels, 3 * 16 * 16 * channels + channels
    if name == 'Vim':  # two directions; the class token has a position, too
        layer = 2 * (scan + convolution) + projections + norm
        return layers * layer + patches + positions + 2 * channels + norm + head
    squeezed = inner // 8  # of the attention that joins four directions
    attention = 2 * inner + inner * squeezed + squeezed + squeezed * inner + inner
    layer = 4 * (scan + convolution) + projections + attention + norm
    return layers * layer + patches + positions + norm + head


def test_parameters_by_hand() -> None:
    assert by_hand('Vim', 192, 24) == PARAMS['Vim', 'ti']
    assert by_hand('Vim', 384, 24) == PARAMS['Vim', 's']
    assert by_hand('LocalVim', 192, 20) == PARAMS['LocalVim', 't']
    assert by_hand('LocalVim', 384, 20) == PARAMS['LocalVim', 's']
    assert by_hand('PlainMamba', 192, 24, convs=1, conv_layers=1) == PARAMS['PlainMamba', 'l1']
    assert by_hand('PlainMamba', 384, 24, convs=2) == PARAMS['PlainMamba', 'l2']


def build(name: str, classifies: bool = False, **options) -> torch.nn.Module:
    options = dict(arch=ARCHS[name], img_size=48) | options
    return MODELS.build(dict(type=name, **options, **(CLASSIFIES[name] if classifies else {})))


@pytest.mark.parametrize(('name', 'arch'), PARAMS)
def test_parameters(name: str, arch: str) -> None:
    with torch.device('meta'):
        model = build(name, True, arch=arch, img_size=224)
    head = 1000 * model.embed_dims + 1000
    assert sum(p.numel() for p in model.parameters()) + head == PARAMS[name, arch]


@pytest.mark.parametrize('size', [(48, 48), (16, 80), (37, 50), (1, 1)], ids=str)
@names
def test_any_size(name: str, size: tuple[int, int]) -> None:
    model = build(name, out_indices=(0, -1)).eval()
    found = model(torch.randn(2, 3, *size))
    assert [tuple(y.shape) for y in found] == [(2, 32, -(-size[0] // 16), -(-size[1] // 16))] * 2
    if name != 'PlainMamba':
        model = build(name, True).eval()
        assert [tuple(y.shape) for y in model(torch.randn(2, 3, *size))] == [(2, 32)]


@names
def test_every_parameter_learns(name: str) -> None:
    for classifies in (False, True):
        model = build(name, classifies)
        model(torch.randn(2, 3, 48, 64))[-1].square().sum().backward()
        assert [k for k, p in model.named_parameters() if p.grad is None] == []


@names
def test_recomputing_changes_nothing(name: str) -> None:
    found = []
    for with_cp in (False, True):
        model = spread(build(name, with_cp=with_cp)).train()  # norms count the batch once
        image = torch.linspace(-1, 1, 2 * 3 * 48 * 48).view(2, 3, 48, 48).requires_grad_()
        model(image)[0].square().sum().backward()
        found.append([image.grad, *(p.grad for p in model.parameters()), *model.buffers()])
    torch.testing.assert_close(*found)


@pytest.mark.parametrize('name', ['Vim', 'LocalVim'])
def test_the_first_layer_behind_frozen_ones_is_recomputed(name: str) -> None:
    """Its input has no gradient, and it has much to keep all the same."""
    kept = []
    for with_cp in (False, True):
        layer = build(name, frozen_stages=1, with_cp=with_cp).train().layers[1]
        kept.append(number_kept(layer, *torch.randn(2, 1, 6, 32), (2, 3)))
    assert kept[0] > 20 and kept[1] <= 1


@names
def test_the_definition_of_the_scan_gives_the_same(name: str) -> None:
    model, exact = spread(build(name)), spread(build(name, impl='reference'))
    image = torch.randn(1, 3, 33, 48)
    torch.testing.assert_close(model(image), exact(image), rtol=1e-4, atol=1e-4)


@names
def test_autocast(name: str) -> None:
    model = spread(build(name, True))
    image = torch.randn(2, 3, 48, 48)
    expected = model(image)[0]
    with torch.autocast('cpu', dtype=torch.bfloat16):
        found = model(image)[0]
    assert (found - expected).norm() < 0.05 * expected.norm()


@names
def test_frozen_stages(name: str) -> None:
    model = build(name, frozen_stages=1).train()
    free = {k for k, p in model.named_parameters() if p.requires_grad}
    assert not any(k.startswith(('patch_embed', 'pos_embed', 'layers.0')) for k in free)
    assert all(k in free for k, _ in model.named_parameters() if k.startswith('layers.1'))
    assert not model.layers[0].training and model.layers[1].training
    with pytest.raises(ValueError, match=r'frozen_stages must be in -1\.\.3, not 4'):
        build(name, frozen_stages=4)


@names
def test_layer_depth(name: str) -> None:
    model = build(name)
    assert model.get_layer_depth('backbone.pos_embed', 'backbone.') == (0, 5)
    assert model.get_layer_depth('patch_embed.x.weight') == (0, 5)
    assert model.get_layer_depth('layers.2.norm.weight') == (3, 5)
    assert model.get_layer_depth('norm_f.weight') == (4, 5)
    assert model.get_layer_depth('head.fc.weight', 'backbone.') == (4, 5)


@names
def test_drop_path_grows(name: str) -> None:
    model = build(name, drop_path_rate=0.2)
    rates = [layer.drop_path.drop_prob for layer in model.layers]
    # of Vim and LocalVim a layer drops what the one before it has mixed
    assert rates == pytest.approx([0, 0.1, 0.2] if name == 'PlainMamba' else [0, 0, 0.1])


@pytest.mark.parametrize('size', [48, 64])
@names
def test_a_classifiers_checkpoint_fits_a_dense_model(
    name: str, size: int, tmp_path: Path, log: list[str]
) -> None:
    classifier = spread(build(name, True))
    state = classifier.state_dict() | {
        'head.weight': torch.zeros(5, 32),
        'head.bias': torch.ones(5),
    }
    torch.save({'model': state, 'epoch': 3}, tmp_path / 'c.pth')
    dense = build(
        name,
        img_size=size,
        out_indices=(0, 2),
        init_cfg=dict(type='Pretrained', checkpoint=str(tmp_path / 'c.pth')),
    )
    dense.init_weights()
    new = {f'{i}.norm.bias': torch.zeros(32) for i in range(3) if name == 'LocalVim'}
    for key, value in dense.layers.state_dict().items():
        assert torch.equal(value, new[key] if key in new else state[f'layers.{key}']), key
    assert any(f'{name} from ' in line and 'tensors loaded' in line for line in log)
    again = build(name, True)
    again.load_pretrained(str(tmp_path / 'c.pth'))
    assert all(torch.equal(value, state[key]) for key, value in again.state_dict().items())
    del state['layers.1.norm.weight']
    torch.save({'model': state}, tmp_path / 'c.pth')
    with pytest.raises(CheckpointMismatchError, match=r'layers.1.norm.weight \(32,?\) is missing'):
        again.load_pretrained(str(tmp_path / 'c.pth'))


@names
def test_bad_options(name: str) -> None:
    with pytest.raises(ValueError, match="unknown arch 'huge'; choose one of"):
        build(name, arch='huge')
    with pytest.raises(ValueError, match='an arch dict must have the keys'):
        build(name, arch=dict(ARCH, wide=True))
    with pytest.raises(ValueError, match='num_layers'):
        build(name, arch=dict(ARCH, num_layers=None))
    with pytest.raises(ValueError, match="unknown impl 'cuda'"):
        build(name, impl='cuda')
    with pytest.raises(ValueError, match='out_indices must name'):
        build(name, out_indices=(3,))
    if name != 'PlainMamba':
        with pytest.raises(ValueError, match='out_type must be'):
            build(name, out_type='raw')


def test_positions_are_resized_as_a_map() -> None:
    ramp = torch.arange(4.0)[:, None].expand(4, 6).reshape(1, 24, 1)
    assert resize_positions(ramp, (4, 6), (4, 6)) is ramp
    found = resize_positions(ramp, (4, 6), (8, 3)).view(8, 3)
    assert torch.equal(found, found[:, :1].expand(-1, 3))  # still one value a row
    rows = found[:, 0]
    torch.testing.assert_close(rows + rows.flip(0), torch.full((8,), 3.0))
    torch.testing.assert_close(rows[2:6], torch.tensor([0.75, 1.25, 1.75, 2.25]), rtol=0, atol=0.1)


def test_names() -> None:
    assert set(ARCHS) <= set(peers.HOMES) == set(peers.__all__)
    with pytest.raises(AttributeError, match='VisionMamba'):
        _ = peers.VisionMamba
    for name in peers.HOMES:
        assert MODELS.get(name).__name__ == name and isinstance(getattr(peers, name), type)
