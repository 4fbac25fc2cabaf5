"""Group norms in place of batch norms, for batches too small for statistics."""

import pytest
import torch

from vminet_mm.models import VMINet

ARCH = dict(base_channels=16, expansion=2, depths=(1, 1, 2, 1))


def grouped(**options: object) -> VMINet:
    torch.manual_seed(0)
    norm_cfg = dict(type='GN', num_groups=8)
    return VMINet(ARCH, img_size=64, out_indices=(0, 3), norm_cfg=norm_cfg, **options)


@pytest.mark.parametrize('size', [(64, 64), (37, 90), (1, 1)])
@pytest.mark.parametrize('form', ['matrix', 'recurrent'])
def test_images_of_a_batch_do_not_mix(size: tuple[int, int], form: str) -> None:
    """In training, too, an image is given what it is given alone, however unlike the others."""
    model = grouped(form=form).train()
    images = torch.randn(3, 3, *size) * torch.tensor([0.1, 1.0, 10.0]).view(3, 1, 1, 1)
    together = model(images)
    for i in range(3):
        for part, whole in zip(model(images[i : i + 1]), together, strict=True):
            torch.testing.assert_close(part[0], whole[i], rtol=1e-3, atol=1e-4)


def test_training_and_evaluation_are_the_same() -> None:
    model, images = grouped(), torch.randn(2, 3, 50, 70)
    for a, b in zip(model.train()(images), model.eval()(images), strict=True):
        torch.testing.assert_close(a, b)


def test_recomputed_blocks_have_the_same_gradients() -> None:
    images, gradients = torch.randn(2, 3, 48, 40), []
    for with_cp in (False, True):
        model = grouped(with_cp=with_cp)
        sum(y.square().mean() for y in model(images)).backward()
        gradients.append([p.grad for p in model.parameters()])
    for a, b in zip(*gradients, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-6)


@torch.no_grad()
def test_folding_leaves_the_norms() -> None:
    model, images = grouped().eval(), torch.randn(1, 3, 50, 70)
    before = model(images)
    model.switch_to_deploy()
    for a, b in zip(before, model(images), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-4)
    assert sum(isinstance(m, torch.nn.GroupNorm) for m in model.modules()) == 1 + 4 + 5 + 2
