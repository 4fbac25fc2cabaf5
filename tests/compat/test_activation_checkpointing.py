import torch
from torch import nn

import vminet_mm  # noqa: F401


def test_gradients_are_those_without_checkpointing():
    from mmengine.runner.activation_checkpointing import turn_on_activation_checkpointing

    torch.manual_seed(0)
    model = nn.Sequential(nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU()), nn.Conv2d(4, 2, 3))
    image = torch.randn(2, 3, 8, 8)  # needs no gradient, as a real one
    model(image).square().sum().backward()
    expected = [parameter.grad.clone() for parameter in model.parameters()]
    model.zero_grad()

    turn_on_activation_checkpointing(model, '0')
    model(image).square().sum().backward()
    for parameter, grad in zip(model.parameters(), expected, strict=True):
        assert parameter.grad is not None
        torch.testing.assert_close(parameter.grad, grad)


def test_torch_itself_is_untouched():
    from mmengine.runner import activation_checkpointing

    assert activation_checkpointing.checkpoint is not torch.utils.checkpoint.checkpoint
    assert not hasattr(torch.utils.checkpoint.checkpoint, '__vminet_mm_fix__')
