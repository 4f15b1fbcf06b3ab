"""The two ends of a network: the stem that reads the image, and the head that names the class."""

from torch import nn

from ecoNAS.architecture import HeadSpec, StemSpec
from ecoNAS.models.constructor import Constructor, call, sequence
from ecoNAS.models.conv_blocks import conv_norm_act


def stem(spec: StemSpec, input_channels: int) -> Constructor:
    """Return a convolution, batch norm and SiLU from the image to `spec.width` channels."""
    return conv_norm_act(input_channels, spec.width, kernel_size=spec.kernel_size, stride=spec.stride)


def head(spec: HeadSpec, in_width: int, num_classes: int) -> Constructor:
    """Return an optional 1x1 convolution, the mean over all positions, and a linear classifier."""
    width = spec.width or in_width
    widen = [conv_norm_act(in_width, width, kernel_size=1)] if spec.width else []
    return sequence(*widen, call(nn.AdaptiveAvgPool2d, 1), call(nn.Flatten), call(nn.Linear, width, num_classes))
