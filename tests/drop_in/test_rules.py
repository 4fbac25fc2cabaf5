"""The rules of the swap on configs made by hand, with a backbone whose maps the test chooses."""

from copy import deepcopy
from pathlib import Path

import pytest
import torch
from mmengine.registry import MODELS
from torch import Tensor, nn

from drop_in.errors import NotApplicableError, SwapError
from drop_in.preparation import prepare
from drop_in.rules import Maps, measure_maps, stages_for, swap_backbones

TI = [24, 48, 96, 192]  # channels of VMINet-Ti


@MODELS.register_module()
class MapsOfATest(nn.Module):
    """Maps of given channels and strides, and no weights."""

    def __init__(self, maps: list[tuple[int, int]], in_channels: int = 3, token: bool = False):
        super().__init__()
        self.maps, self.in_channels, self.token = maps, in_channels, token

    def forward(self, x: Tensor) -> tuple:
        assert x.shape[1] == self.in_channels
        maps = [
            x.new_zeros(1, c, x.shape[2] // stride, x.shape[3] // stride) for c, stride in self.maps
        ]
        return tuple([m, m.mean((2, 3))] if self.token else m for m in maps)


def backbone(*maps: tuple[int, int], **options: object) -> dict:
    return dict(type='MapsOfATest', maps=list(maps), **options)


RESNET = backbone((8, 4), (16, 8), (32, 16), (64, 32))
DILATED = backbone((8, 4), (16, 8), (32, 8), (64, 8))


def swapped(**model: object) -> dict:
    model = deepcopy(dict(type='Model', **model))
    swap_backbones(model)
    return model


@pytest.mark.parametrize(
    ('strides', 'stages'),
    [
        ((4, 8, 16, 32), [0, 1, 2, 3]),
        ((8, 16, 32), [1, 2, 3]),
        ((8, 16), [1, 2]),
        ((16,), [2]),
        ((64,), [3]),
        ((4, 8, 8, 8), [0, 1, 2, 3]),  # dilated
        ((8, 8, 8), [1, 2, 3]),
        ((16, 16, 16, 16), [0, 1, 2, 3]),  # a plain ViT
        ((16, 8, 4, 2, 1), [2, 1, 0, 0, 0]),  # a U-Net
        ((8, 4, 8, 16, 32), [1, 0, 1, 2, 3]),  # BiSeNetV2
        ((2, 4, 16), [0, 0, 2]),  # MobileNetV3
        ((8, 14, 32), [1, 2, 3]),  # ICNet, whose branches round
    ],
)
def test_stages(strides: tuple, stages: list) -> None:
    assert stages_for(strides) == stages


def test_maps_are_measured() -> None:
    assert measure_maps(RESNET) == Maps((8, 16, 32, 64), (4, 8, 16, 32))
    assert measure_maps(backbone((5, 2), in_channels=6)) == Maps((5,), (2,))


def test_neck_is_told_and_the_head_behind_it_is_left_alone() -> None:
    neck = dict(type='FPN', in_channels=[8, 16, 32, 64], out_channels=8)
    model = swapped(backbone=RESNET, neck=neck, bbox_head=dict(type='Head', in_channels=8))
    assert model['backbone'] == dict(type='VMINet', arch='ti', out_indices=(0, 1, 2, 3))
    assert model['neck']['in_channels'] == TI
    assert model['neck']['out_channels'] == model['bbox_head']['in_channels'] == 8


def test_only_the_first_of_several_necks_reads_the_maps() -> None:
    necks = [dict(type='FPN', in_channels=(16, 32, 64)), dict(type='DyHead', in_channels=8)]
    model = swapped(backbone=backbone((16, 8), (32, 16), (64, 32)), neck=necks)
    assert model['backbone']['out_indices'] == (1, 2, 3)
    assert [neck['in_channels'] for neck in model['neck']] == [(48, 96, 192), 8]


def test_neck_that_counts_from_the_coarsest_map() -> None:
    neck = dict(type='YOLOV3Neck', in_channels=[64, 32, 16], out_channels=[32, 16, 8])
    model = swapped(backbone=backbone((16, 8), (32, 16), (64, 32)), neck=neck)
    assert model['neck']['in_channels'] == [192, 96, 48]
    assert model['neck']['out_channels'] == [32, 16, 8]


def test_neck_of_one_map() -> None:
    model = swapped(backbone=backbone((64, 32)), neck=dict(type='Encoder', in_channels=64))
    assert model['neck']['in_channels'] == 192
    assert model['backbone']['out_indices'] == (3,)


def test_heads_without_a_neck_by_their_index() -> None:
    model = swapped(
        backbone=DILATED,
        decode_head=[
            dict(type='A', in_channels=[32, 64], in_index=[2, 3]),
            dict(type='B', in_channels=64),  # the last map, as is mmseg's default
            dict(type='C', in_channels=16, in_index=-3, c1_in_channels=8),
            dict(type='D', inner=dict(in_channels=64, in_index=3), other=dict(in_channels=64)),
        ],
        auxiliary_head=dict(type='E', in_channels=32, in_index=2, num_convs=0, channels=32),
        panoptic_head=dict(type='F', in_channels=(8, 16, 32, 64)),
    )
    first, last, deeplab, nested = model['decode_head']
    assert (first['in_channels'], first['in_index']) == ([96, 192], [2, 3])
    assert last['in_channels'] == 192
    assert (deeplab['in_channels'], deeplab['in_index'], deeplab['c1_in_channels']) == (48, 1, 24)
    assert (nested['inner']['in_channels'], nested['other']['in_channels']) == (192, 64)
    classifier = dict(type='E', in_channels=96, in_index=2, num_convs=0, channels=96)
    assert model['auxiliary_head'] == classifier
    assert model['panoptic_head']['in_channels'] == (24, 48, 96, 192)


def test_index_is_counted_anew_where_there_are_fewer_maps() -> None:
    unet = backbone((64, 16), (32, 8), (16, 4), (8, 2), (4, 1))
    heads = [dict(type='H', in_channels=4, in_index=4), dict(type='H', in_channels=64, in_index=0)]
    model = swapped(backbone=unet, decode_head=heads)
    assert model['backbone']['out_indices'] == (0, 1, 2)
    assert [(h['in_channels'], h['in_index']) for h in model['decode_head']] == [(24, 0), (96, 2)]


def test_necks_that_hand_maps_on() -> None:
    ssd = swapped(
        backbone=backbone((16, 8), (32, 16)),
        neck=dict(type='SSDNeck', in_channels=(16, 32), out_channels=(16, 32, 7, 5)),
        bbox_head=dict(type='SSDHead', in_channels=(16, 32, 7, 5)),
    )
    assert ssd['neck']['in_channels'] == (48, 96)
    assert ssd['neck']['out_channels'] == ssd['bbox_head']['in_channels'] == (48, 96, 7, 5)
    jpu = swapped(
        backbone=backbone((16, 8), (32, 16), (64, 32)),
        neck=dict(type='JPU', in_channels=(16, 32, 64)),
        decode_head=dict(type='EncHead', in_channels=[16, 32, 2048], in_index=(0, 1, 2)),
        auxiliary_head=dict(type='FCNHead', in_channels=32, in_index=1),
    )
    assert jpu['decode_head']['in_channels'] == [48, 96, 2048]
    assert jpu['auxiliary_head']['in_channels'] == 96


def test_pyramid_of_a_plain_vit_is_left_out() -> None:
    model = swapped(
        backbone=backbone(*[(64, 16)] * 4),
        neck=dict(type='Feature2Pyramid', embed_dim=64),
        decode_head=dict(type='UPerHead', in_channels=[64] * 4, in_index=[0, 1, 2, 3]),
    )
    assert model['neck'] is None
    assert model['decode_head']['in_channels'] == TI


def test_one_of_stacked_hourglasses() -> None:
    head = dict(type='CornerHead', in_channels=64)
    model = swapped(backbone=backbone((64, 4), (64, 4)), bbox_head=head)
    assert model['backbone']['out_indices'] == (0,)
    assert model['bbox_head'] == dict(type='CornerHead', in_channels=24, num_feat_levels=1)


def test_every_backbone_of_a_model_with_its_own_readers() -> None:
    neck = dict(type='FPN', in_channels=[8, 16, 32, 64])
    model = swapped(
        detector=dict(type='Inner', backbone=RESNET, neck=dict(neck)),
        backbone=RESNET,
        neck=neck,
        teacher_backbone=backbone((16, 8), (32, 16), in_channels=6),
        teacher_neck=dict(type='FPN', in_channels=[16, 32]),
    )
    assert model['detector']['neck']['in_channels'] == model['neck']['in_channels'] == TI
    assert model['teacher_neck']['in_channels'] == [48, 96]
    assert model['teacher_backbone']['in_channels'] == 6


def test_what_does_not_fit_is_noticed() -> None:
    for neck in (dict(type='FPN', in_channels=[8, 16]), dict(type='FPN', in_channels=7)):
        with pytest.raises(SwapError, match=r'FPN: in_channels .* \(8, 16, 32, 64\)'):
            swapped(backbone=RESNET, neck=neck)
    with pytest.raises(SwapError, match='H: in_channels 16 of maps'):
        swapped(backbone=RESNET, decode_head=dict(type='H', in_channels=16, in_index=2))
    with pytest.raises(SwapError, match=r'strides, .*\(24, 24, 24\)'):
        swapped(
            backbone=backbone((8, 1), (16, 2), (32, 4)),
            neck=dict(type='FPN', in_channels=[8, 16, 32]),
        )


@pytest.mark.parametrize(
    ('model', 'why'),
    [
        (dict(), 'no backbone'),
        (dict(backbone=dict(type='PIDNet')), 'one design'),
        (dict(type='Detectron2Wrapper'), 'detectron2'),
        (dict(backbone=backbone((8, 16), token=True)), 'class tokens'),
    ],
)
def test_not_applicable(model: dict, why: str) -> None:
    with pytest.raises(NotApplicableError, match=why):
        swap_backbones(dict(dict(type='Model'), **model))


def test_preparation() -> None:
    pretrained = dict(type='Pretrained', checkpoint='torchvision://resnet50')
    model = dict(
        pretrained='open-mmlab://resnet50',
        init_cfg=pretrained,
        teacher_ckpt='https://example.org/teacher.pth',
        teacher_config='configs/gfl/teacher.py',
        backbone=dict(pretrained=True, norm_cfg=dict(type='SyncBN', eps=1e-3)),
        data_preprocessor=dict(batch_augments=[dict(type='BatchFixedSizePad', size=(1024, 1024))]),
        neck=dict(init_cfg=[dict(type='Xavier'), pretrained]),
        head=dict(init_cfg=dict(type='Normal')),
        encoder=dict(num_cp=6, checkpoint='https://example.org/encoder.pth'),
        test_cfg=dict(
            rpn=dict(nms_pre=1000, nms=dict(type='nms')),
            rcnn=dict(score_thr=0.05, max_per_img=10, nms=dict(type='nms')),
            query=dict(max_per_img=100),
        ),
    )
    prepare(model, Path('/library'))
    assert model == dict(
        pretrained=None,
        init_cfg=None,
        teacher_ckpt=None,
        teacher_config='/library/configs/gfl/teacher.py',
        backbone=dict(pretrained=False, norm_cfg=dict(type='BN', eps=1e-3)),
        data_preprocessor=dict(batch_augments=None),
        neck=dict(init_cfg=None),
        head=dict(init_cfg=dict(type='Normal')),
        encoder=dict(num_cp=0, checkpoint=None),
        test_cfg=dict(
            rpn=dict(nms_pre=100, nms=dict(type='nms')),
            rcnn=dict(score_thr=0.0, max_per_img=10, nms=dict(type='nms')),
            query=dict(max_per_img=100),
        ),
    )


def test_the_swapped_config_builds_what_it_says() -> None:
    built = MODELS.build(swapped(backbone=RESNET)['backbone']).eval()
    with torch.no_grad():
        maps = built(torch.zeros(1, 3, 65, 97))
    assert [tuple(m.shape[1:]) for m in maps] == [
        (24, 17, 25),
        (48, 9, 13),
        (96, 5, 7),
        (192, 3, 4),
    ]
