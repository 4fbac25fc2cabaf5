"""The random batches hold what they say, within the images and the classes."""

import numpy as np
import pytest
import torch

from drop_in import batches

SIZES = ((41, 57), (35, 63))


@pytest.mark.parametrize('num_classes', [1, 2, 80])
def test_detection(num_classes: int) -> None:
    batch = batches.detection_batch(SIZES, num_classes, with_mask=True, num_semantic=7)
    assert [tuple(image.shape) for image in batch['inputs']] == [(3, *size) for size in SIZES]
    for sample, (height, width) in zip(batch['data_samples'], SIZES, strict=True):
        ground_truth = sample.gt_instances
        assert ground_truth.labels.max() < num_classes
        assert ground_truth.masks.masks.shape == (len(ground_truth), height, width)
        assert ground_truth.bboxes.min() >= 0
        assert (ground_truth.bboxes <= torch.tensor([width, height, width, height])).all()
        assert sample.gt_sem_seg.sem_seg.shape == (1, height, width)
        assert sample.gt_sem_seg.sem_seg.max() < 7
        assert 'proposals' not in sample


def test_detection_with_proposals_and_no_more() -> None:
    batch = batches.detection_batch(SIZES[:1], 3, proposals=True)
    for sample, (height, width) in zip(batch['data_samples'], SIZES[:1], strict=True):
        x1, y1, x2, y2 = sample.proposals.bboxes.unbind(1)
        assert len(x1) == len(sample.proposals.scores) == 20
        assert (x1 >= 0).all() and (x1 <= x2).all() and (x2 <= width).all()
        assert (y1 >= 0).all() and (y1 <= y2).all() and (y2 <= height).all()
        assert 'masks' not in sample.gt_instances
        assert 'gt_sem_seg' not in sample


def test_videos() -> None:
    batch = batches.video_batch((41, 57), videos=2, num_frames=3, with_reference=True)
    assert [tuple(frames.shape) for frames in batch['inputs']] == [(3, 3, 41, 57)] * 2
    for video in batch['data_samples']:
        assert (video.key_frames_inds, video.ref_frames_inds) == ([0], [1, 2])
        assert all(len(frame.gt_instances.instances_ids) == 3 for frame in video)


def test_semi_supervised() -> None:
    batch = batches.semi_supervised_batch(SIZES, 3)
    assert set(batch['inputs']) == {'sup', 'unsup_teacher', 'unsup_student'}
    for samples in batch['data_samples'].values():
        assert all(np.array_equal(sample.homography_matrix, np.eye(3)) for sample in samples)


def test_persons_come_in_pairs() -> None:
    batch = batches.person_batch(9)
    assert [sample.gt_label.label.item() for sample in batch['data_samples']] == [0, 0, 8, 8]
    assert len(batch['inputs']) == 4


def test_segmentation() -> None:
    batch = batches.segmentation_batch(SIZES, 4, channels=6)
    for image, sample, size in zip(batch['inputs'], batch['data_samples'], SIZES, strict=True):
        assert image.shape == (6, *size)
        assert sample.gt_sem_seg.data.shape == (1, *size)
        assert 0 <= sample.gt_sem_seg.data.min() <= sample.gt_sem_seg.data.max() < 4
        assert sample.img_shape == sample.ori_shape == size
