"""A network whose own memory does not hide that of the pictures."""

from torch import nn


def small() -> nn.Module:
    """One coarse convolution and the mean of each of its maps."""
    return nn.Sequential(
        nn.Conv2d(3, 8, 8, stride=8), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.LazyLinear(1)
    )
