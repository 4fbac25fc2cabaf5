import pytest
import torch

import vminet_mm  # noqa: F401

HEIGHT, WIDTH = 9, 13
OUTSIDE = [(20, 1, 30, 5), (-30, 1, -20, 5), (1, 20, 5, 30), (1, -30, 5, -20)]


def paste(boxes):
    """What mmdet does with boxes (N, 4) on the CPU: one after the other."""
    from mmdet.models.roi_heads.mask_heads import fcn_mask_head

    image = torch.zeros(len(boxes), HEIGHT, WIDTH)
    for n, box in enumerate(boxes):
        found, where = fcn_mask_head._do_paste_mask(
            torch.ones(1, 1, 4, 4), box[None], HEIGHT, WIDTH, skip_empty=True
        )
        image[(slice(n, n + 1), *where)] = found
    return image


@pytest.mark.parametrize('box', OUTSIDE, ids=['right', 'left', 'below', 'above'])
def test_a_box_outside_of_the_image_leaves_it_empty(box):
    assert not paste(torch.tensor([box], dtype=torch.float)).any()


def test_other_boxes_are_pasted_as_ever():
    pasted = paste(torch.tensor([(2.0, 3, 8, 7), (20, 1, 30, 5), (-4, -4, 4, 4)]))
    full = pasted > 0.99
    # half a cell of the mask, 0.75 and 1 pixels here, fades on either side of its edge
    assert full[0, 4:6, 3:7].all() and full[0].sum() <= 4 * 6
    assert full[2, :3, :3].all() and full[2].sum() <= 4 * 4
    assert not pasted[0, :2].any() and not pasted[0, :, 10:].any()
    assert not pasted[1].any()
