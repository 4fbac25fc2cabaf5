"""Small random batches for every kind of model in mmdet and mmseg, as data loaders give them."""

import numpy as np
import torch
from mmengine.structures import InstanceData, LabelData, PixelData

SIZES = ((139, 187), (121, 163))  # height, width of the images: odd, and not square
# where SSD's last maps would have no cell left, or DINO fewer cells than queries
LARGE_SIZES = ((291, 309), (285, 301))
HUGE_SIZES = ((405, 421), (397, 409))  # LRASPP averages over 49 x 49 cells
Size = tuple[int, int]


def detection_batch(
    sizes: tuple[Size, ...],
    num_classes: int,
    with_mask: bool = False,
    num_semantic: int = 0,
    proposals: bool = False,
) -> dict:
    """Images with boxes and labels.

    Args:
        sizes: Height and width of each image in pixels; one or two.
        num_classes: Of the boxes.
        with_mask: Add a mask to each box.
        num_semantic: Classes of a map of all pixels, 0 for none.
        proposals: Add 20 boxes for a head that has no RPN before it.
    """
    from mmdet.testing import demo_mm_inputs

    shapes, counts = [[3, *size] for size in sizes], [3, 1][: len(sizes)]
    batch = demo_mm_inputs(len(sizes), shapes, num_items=counts, with_mask=with_mask)
    for sample, size in zip(batch['data_samples'], sizes, strict=True):
        sample.gt_instances.labels %= num_classes
        if num_semantic:
            classes = torch.randint(num_semantic, (1, *size), dtype=torch.uint8)
            sample.gt_sem_seg = PixelData(sem_seg=classes)
        if proposals:
            boxes = _random_boxes(20, size)
            sample.proposals = InstanceData(bboxes=boxes, scores=torch.rand(20))
    return batch


def _random_boxes(count: int, size: Size) -> torch.Tensor:
    """Boxes (N, 4) as x1, y1, x2, y2 in pixels."""
    corners = torch.rand(count, 2, 2) * torch.tensor([size[1], size[0]])
    return torch.cat([corners.amin(1), corners.amax(1)], dim=1)


def video_batch(size: Size, videos: int, num_frames: int, with_reference: bool = False) -> dict:
    """Videos of a few frames, with boxes, masks and the numbers of the objects.

    Args:
        size: Height and width in pixels.
        videos: How many.
        num_frames: Of each.
        with_reference: Let the first frame be the key frame and the others refer to it.
    """
    from mmdet.testing import demo_track_inputs

    return demo_track_inputs(
        videos,
        num_frames,
        key_frames_inds=[0] if with_reference else None,
        image_shapes=[(3, *size)] * videos,
        num_items=[3] * videos,
        with_mask=True,
    )


def semi_supervised_batch(sizes: tuple[Size, ...], num_classes: int) -> dict:
    """A labeled batch, and one without labels that teacher and student see."""
    branches = {}
    for branch in ('sup', 'unsup_teacher', 'unsup_student'):
        branches[branch] = detection_batch(sizes, num_classes)
        for sample in branches[branch]['data_samples']:
            sample.set_metainfo(dict(homography_matrix=np.eye(3, dtype=np.float32)))
    return {
        key: {branch: batch[key] for branch, batch in branches.items()}
        for key in ('inputs', 'data_samples')
    }


def person_batch(num_classes: int) -> dict:
    """Two pictures of each of two persons, for re-identification."""
    from mmdet.structures import ReIDDataSample

    samples = []
    for label in (0, 0, num_classes - 1, num_classes - 1):
        sample = ReIDDataSample()
        sample.gt_label = LabelData(label=torch.tensor([label]))
        samples.append(sample)
    inputs = [torch.randint(256, (3, 253, 125), dtype=torch.uint8) for _ in samples]
    return dict(inputs=inputs, data_samples=samples)


def segmentation_batch(sizes: tuple[Size, ...], num_classes: int, channels: int = 3) -> dict:
    """Images with a class for each pixel.

    Args:
        sizes: Height and width of each image in pixels.
        num_classes: Number of classes.
        channels: Of the images.
    """
    from mmseg.structures import SegDataSample

    inputs, samples = [], []
    for size in sizes:
        inputs.append(torch.randint(256, (channels, *size), dtype=torch.uint8))
        sample = SegDataSample(metainfo=dict(img_shape=size, ori_shape=size))
        sample.gt_sem_seg = PixelData(data=torch.randint(num_classes, (1, *size)))
        samples.append(sample)
    return dict(inputs=inputs, data_samples=samples)
