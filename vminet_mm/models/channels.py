"""How many channels the images of a model have."""

from torch import nn

COLORS = 3


def input_channels(model: nn.Module) -> int:
    """The channels of the images that a model takes: those of its first convolution.

    A model's own ``in_channels`` will not do: several backbones change it while they are built.

    Returns:
        int: The number, or 3 of a model without a convolution.
    """
    backbone = getattr(model, 'backbone', model)
    convolutions = (m for m in backbone.modules() if isinstance(m, (nn.Conv2d, nn.Conv3d)))
    return next((one.in_channels for one in convolutions), COLORS)
