"""Each image of a padded batch as if it were alone."""

import copy
from collections.abc import Sequence

import pytest
import torch
from mmdet.models import DetDataPreprocessor
from mmdet.structures import DetDataSample
from mmdet.structures.mask import BitmapMasks
from mmengine.registry import MODELS, DefaultScope
from mmengine.structures import InstanceData
from tiny_configs import random_model, tiny_config
from tiny_models import TINY, randomised
from torch import Tensor, nn

from vminet_mm.errors import ConfigError
from vminet_mm.export import make_outputs
from vminet_mm.models import VMINet, set_image_sizes
from vminet_mm.models.padding import image_sizes, maps_by_size, resize

ON_GRID = [(64, 96), (96, 32), (64, 96)]
OFF_GRID = [(63, 90), (1, 41), (70, 33)]
FORMS = [
    dict(),
    dict(impl='reference'),
    dict(context_resize='interpolate'),
    dict(mask='hybrid'),
    dict(attention='none'),
    dict(stem_stride=1, strides=(2, 2, 1, 2)),
    dict(proj_bn=True, mask='none', with_cp=True),
    dict(form='recurrent'),
    dict(form='recurrent', impl='reference', recurrent_mask='inside'),
    dict(form='recurrent', recurrent_mask='inside', channels_last=True),
]


def backbone(**options: object) -> VMINet:
    options = dict(arch=TINY, img_size=64, out_indices=(0, 1, 2, 3), mask_padding=True) | options
    return randomised(VMINet(**options)).eval()


def batch_of(images: list[Tensor], size: tuple[int, int], value: float = 0.0) -> Tensor:
    """A batch padded to a size with a value, that carries the sizes of its images."""
    batch = torch.full((len(images), 3, *size), value)
    for padded, image in zip(batch, images, strict=True):
        padded[:, : image.shape[1], : image.shape[2]] = image
    return set_image_sizes(batch, [image.shape[1:] for image in images])


def images_of(sizes: list[tuple[int, int]]) -> list[Tensor]:
    return [torch.randn(3, *size) for size in sizes]


def own_cells(
    maps: tuple[Tensor, ...], index: int, size: tuple[int, int], strides: Sequence[int]
) -> list[Tensor]:
    """The part of each map that is an image's."""
    return [
        y[index, :, : -(-size[0] // stride), : -(-size[1] // stride)]
        for y, stride in zip(maps, strides, strict=True)
    ]


def largest_change(maps: tuple[Tensor, ...], images: list[Tensor], model: VMINet) -> float:
    """Of any image's cells against those of the image alone, relative to their largest."""
    plain = copy.deepcopy(model)
    plain.mask_padding = False
    changes = []
    for i, image in enumerate(images):
        own = own_cells(maps, i, image.shape[1:], model.out_strides)
        for y, e in zip(own, plain(image[None]), strict=True):
            assert y.shape == e[0].shape
            changes.append(float((y - e[0]).abs().max() / e.abs().max()))
    return max(changes)


@pytest.mark.parametrize('options', FORMS, ids=str)
@pytest.mark.parametrize('sizes', [ON_GRID, OFF_GRID], ids=['on_grid', 'off_grid'])
def test_as_if_alone(options: dict, sizes: list[tuple[int, int]]) -> None:
    model = backbone(**options)
    images = images_of(sizes)
    with torch.no_grad():
        for size, value in [((96, 96), 0.0), ((128, 192), 5.0)]:
            batch = batch_of(images, size, value)
            maps = model(batch)
            assert [tuple(y.shape[2:]) for y in maps] == [
                (size[0] // s, size[1] // s) for s in model.out_strides
            ]
            assert largest_change(maps, images, model) < 1e-5
            model.mask_padding = False
            assert largest_change(model(batch), images, model) > 0.01
            model.mask_padding = True


def test_zero_in_the_padding() -> None:
    model, images = backbone(), images_of(OFF_GRID)
    with torch.no_grad():
        maps = model(batch_of(images, (96, 128), 2.0))
    for i, size in enumerate(OFF_GRID):
        for y, own in zip(maps, own_cells(maps, i, size, model.out_strides), strict=True):
            assert y[i].count_nonzero() == own.count_nonzero() > 0


def test_images_of_one_size_are_computed_together() -> None:
    seen = []

    def halve(images: Tensor) -> list[Tensor]:
        seen.append(images)
        return [images[:, :1, ::2, ::2]]

    images = images_of([(4, 6), (3, 5), (4, 6)])
    (maps,) = maps_by_size(halve, batch_of(images, (8, 8), 9.0), [(4, 6), (3, 5), (4, 6)], [2])
    assert len(seen) == 2
    assert torch.equal(seen[0], torch.stack([images[0], images[2]]))
    assert torch.equal(seen[1], images[1][None])
    expected = torch.zeros(3, 1, 4, 4)
    expected[0, 0, :2, :3] = images[0][0, ::2, ::2]
    expected[1, 0, :2, :3] = images[1][0, ::2, ::2]
    expected[2, 0, :2, :3] = images[2][0, ::2, ::2]
    assert torch.equal(maps, expected)


def test_no_padding_changes_no_bit() -> None:
    model, plain = backbone(), backbone(mask_padding=False)
    plain.load_state_dict(model.state_dict())
    images = torch.randn(2, 3, 70, 50)
    expected = plain(images)
    for y, e in zip(model(set_image_sizes(images, [(70, 50)] * 2)), expected, strict=True):
        assert torch.equal(y, e)
    empty = set_image_sizes(torch.zeros(0, 3, 64, 64), [])
    assert [y.shape[0] for y in model(empty)] == [0] * 4


@pytest.mark.parametrize('options', [dict(), dict(form='recurrent'), dict(with_cp=True)], ids=str)
def test_gradients_as_if_alone(options: dict) -> None:
    model = backbone(**options).double()
    images = [image.double() for image in images_of([(40, 64), (64, 33)])]
    plain = copy.deepcopy(model)
    plain.mask_padding = False
    batch = resize(torch.stack([resize(x[None], (64, 64))[0] for x in images]), (96, 96))
    set_image_sizes(batch, [x.shape[1:] for x in images])
    sum(y.square().sum() for y in model(batch)).backward()
    for image in images:
        sum(y.square().sum() for y in plain(image[None])).backward()
    for (name, p), q in zip(model.named_parameters(), plain.parameters(), strict=True):
        torch.testing.assert_close(p.grad, q.grad, msg=lambda m, n=name: f'{n}: {m}')


def test_training() -> None:
    model = backbone(norm_eval=True, drop_path_rate=0.2).train()
    images = images_of([(40, 64), (64, 33)])
    count = model.norm0.num_batches_tracked.clone()
    maps = model(batch_of(images, (64, 64)))
    # the norms of the first three outputs take statistics, once for all images
    assert model.norm0.num_batches_tracked == count + 1
    assert maps[0][1, :, :, 9:].eq(0).all() and maps[0][1, :, :, 8].ne(0).any()
    maps[3].sum().backward()
    assert model.stem[0].conv.weight.grad.count_nonzero()
    with pytest.raises(ValueError, match='norm_eval=True'):
        backbone().train()(batch_of(images, (64, 64)))


@pytest.mark.parametrize('channels_last', [True, False, 'auto'])
@pytest.mark.parametrize('given', [torch.contiguous_format, torch.channels_last], ids=str)
def test_memory_format(channels_last: bool | str, given: torch.memory_format) -> None:
    model = backbone(channels_last=channels_last)
    batch = batch_of(images_of(ON_GRID), (128, 128))
    batch = set_image_sizes(batch.contiguous(memory_format=given), ON_GRID)
    wanted = torch.channels_last if channels_last is True else given
    assert all(y.is_contiguous(memory_format=wanted) for y in model(batch))


def test_a_norm_over_the_map() -> None:
    model = backbone(norm_cfg=dict(type='GN', num_groups=2)).train()
    images = images_of(OFF_GRID)
    with torch.no_grad():
        assert largest_change(model(batch_of(images, (96, 96))), images, model) < 1e-5


def test_folded() -> None:
    model, images = backbone(), images_of(OFF_GRID)
    folded = copy.deepcopy(model)
    folded.switch_to_deploy()
    with torch.no_grad():
        assert largest_change(folded(batch_of(images, (96, 96))), images, model) < 1e-4


def test_autocast() -> None:
    model, images = backbone(), images_of(ON_GRID)
    with torch.no_grad(), torch.autocast('cpu', dtype=torch.bfloat16):
        maps = model(batch_of(images, (128, 128)))
        assert maps[0].dtype == torch.bfloat16
        assert largest_change(maps, images, model) < 0.02  # bfloat16 has 8 bits


@pytest.mark.parametrize(
    'sizes', [[(4, 4)], [(4, 4), (5, 4)], [(4, 4), (4, 0)], [(4, 4)] * 3], ids=str
)
def test_sizes_of_another_batch(sizes: list[tuple[int, int]]) -> None:
    with pytest.raises(ValueError, match=r'are not those of a batch \(2, 3, 4, 4\)'):
        set_image_sizes(torch.zeros(2, 3, 4, 4), sizes)


def test_sizes_belong_to_one_tensor() -> None:
    batch = set_image_sizes(torch.zeros(1, 3, 32, 32), [(32, 20)])
    assert image_sizes(batch) == ((32, 20),)
    for other in (batch.clone(), batch + 1, batch[:, :, :16], torch.zeros_like(batch)):
        with pytest.raises(ValueError, match='SizedDataPre'):
            backbone()(other)


def test_export_is_refused() -> None:
    with pytest.raises(ConfigError, match='mask_padding=True cannot.*=False exports'):
        make_outputs('detection', nn.Sequential(backbone()))


def sized(base: str, scope: str, **options: object) -> nn.Module:
    with DefaultScope.overwrite_default_scope(scope):
        return MODELS.build(dict(type='SizedDataPreprocessor', base=base, **options))


def samples_of(sizes: list[tuple[int, int]]) -> list[DetDataSample]:
    boxes = InstanceData(bboxes=torch.zeros(0, 4))
    return [
        DetDataSample(metainfo=dict(img_shape=size), gt_instances=boxes.clone()) for size in sizes
    ]


def test_detection() -> None:
    preprocessor = sized('DetDataPreprocessor', 'mmdet', mean=[1] * 3, std=[2] * 3,
                         pad_size_divisor=32)  # fmt: skip
    assert isinstance(preprocessor, DetDataPreprocessor)
    sizes = [(30, 50), (70, 20)]
    data = dict(inputs=images_of(sizes), data_samples=samples_of(sizes))
    for given in ((data, True), (data,)):
        batch = preprocessor(*given)
        assert batch['inputs'].shape == (2, 3, 96, 64)
        assert image_sizes(batch['inputs']) == tuple(sizes)
    assert image_sizes(preprocessor(data=data, training=True)['inputs']) == tuple(sizes)
    stacked = preprocessor(dict(inputs=torch.zeros(1, 3, 40, 50)))
    assert image_sizes(stacked['inputs']) == ((40, 50),)


def test_detection_with_images_resized_as_a_batch() -> None:
    augments = [dict(type='BatchResize', scale=(64, 64), pad_size_divisor=32)]
    preprocessor = sized('DetDataPreprocessor', 'mmdet', batch_augments=augments)
    sizes = [(32, 32), (16, 24)]
    samples = samples_of(sizes)
    for sample in samples:
        sample.ignored_instances = sample.gt_instances.clone()
    batch = preprocessor(dict(inputs=images_of(sizes), data_samples=samples), True)
    assert image_sizes(batch['inputs']) == ((64, 64), (32, 48))


def tiny_detector(**options: object) -> nn.Module:
    cfg = tiny_config('detection')
    cfg.model.data_preprocessor.update(type='SizedDataPreprocessor', base='DetDataPreprocessor')
    cfg.model.backbone.update(mask_padding=True, **options)
    return random_model(cfg)


@pytest.mark.parametrize('amp', [False, True])
def test_detector(amp: bool) -> None:
    model, sizes, seen = tiny_detector(), [(64, 70), (90, 33)], []
    model.backbone.register_forward_hook(lambda _, __, maps: seen.append(maps))
    images = [torch.randint(256, (3, *size), dtype=torch.uint8) for size in sizes]
    meta = [dict(img_shape=s, ori_shape=s, scale_factor=(1.0, 1.0)) for s in sizes]
    samples = [DetDataSample(metainfo=m) for m in meta]
    with DefaultScope.overwrite_default_scope('mmdet'), torch.autocast('cpu', enabled=amp):
        model.test_step(dict(inputs=images, data_samples=samples))
        for image, sample in zip(images, samples, strict=True):
            model.test_step(dict(inputs=[image], data_samples=[sample]))
    batch, *alone = seen
    for i, size in enumerate(sizes):
        for y, e in zip(own_cells(batch, i, size, (4, 8, 16, 32)), alone[i], strict=True):
            assert (y - e[0]).abs().max() <= (0.05 if amp else 1e-5) * e.abs().max()


def test_loss_of_a_detector() -> None:
    model, sizes = tiny_detector(norm_eval=True).train(), [(64, 70), (90, 33)]
    samples = samples_of(sizes)
    for sample, size in zip(samples, sizes, strict=True):
        sample.gt_instances = InstanceData(
            bboxes=torch.tensor([[2.0, 3.0, 20.0, 30.0]]),
            labels=torch.tensor([1]),
            masks=BitmapMasks(torch.ones(1, *size, dtype=torch.uint8).numpy(), *size),
        )
    with DefaultScope.overwrite_default_scope('mmdet'):
        data = dict(inputs=images_of(sizes), data_samples=samples)
        losses = model._run_forward(model.data_preprocessor(data, True), mode='loss')
    model.parse_losses(losses)[0].backward()
    assert all(p.grad is not None for p in model.backbone.parameters())


def test_segmentation() -> None:
    preprocessor = sized('SegDataPreProcessor', 'mmseg', test_cfg=dict(size_divisor=32))
    batch = preprocessor(dict(inputs=images_of([(40, 50)] * 2), data_samples=samples_of([()] * 2)))
    assert batch['inputs'].shape == (2, 3, 64, 64)
    assert image_sizes(batch['inputs']) == ((40, 50),) * 2


def test_in_a_distributed_model(tmp_path) -> None:
    torch.distributed.init_process_group(
        'gloo', init_method=f'file://{tmp_path}/init', rank=0, world_size=1
    )
    try:
        model, images = backbone(), images_of(ON_GRID)
        wrapped = nn.parallel.DistributedDataParallel(model)
        with torch.no_grad():
            maps = wrapped(batch_of(images, (128, 128)))
            assert largest_change(maps, images, model) < 1e-5
    finally:
        torch.distributed.destroy_process_group()
