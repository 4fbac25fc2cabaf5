import torch

import vminet_mm  # noqa: F401


def test_ssd_predicts():
    from mmdet.models.dense_heads import SSDHead
    from mmengine.config import ConfigDict
    from mmengine.registry import DefaultScope

    with DefaultScope.overwrite_default_scope('mmdet'):
        head = SSDHead(
            num_classes=3,
            in_channels=(4, 6),
            anchor_generator=dict(
                type='SSDAnchorGenerator',
                scale_major=False,
                input_size=64,
                min_sizes=[8, 20],
                max_sizes=[20, 40],
                strides=[8, 16],
                ratios=[[2], [2, 3]],
            ),
            test_cfg=ConfigDict(
                nms_pre=50, nms=dict(type='nms', iou_threshold=0.5), score_thr=0.0, max_per_img=7
            ),
        )
    maps = (torch.randn(1, 4, 5, 7), torch.randn(1, 6, 3, 4))
    sizes = dict(img_shape=(37, 53), ori_shape=(37, 53), scale_factor=(1.0, 1.0))
    (found,) = head.predict_by_feat(*head(maps), batch_img_metas=[sizes])
    assert head.loss_cls is None
    assert len(found) == 7
    assert found.bboxes.shape == (7, 4)
    assert 0 <= found.labels.min() <= found.labels.max() < 3
