"""Networks with batch norm as training might have left it."""

import torch
from torch import nn


def moved(network: nn.Module) -> nn.Module:
    """With batch norm as training might have left it."""
    torch.manual_seed(1)
    for layer in network.modules():
        if isinstance(layer, nn.BatchNorm2d):
            for values in (layer.weight, layer.running_var):
                nn.init.uniform_(values, 0.5, 1.5)
            for values in (layer.bias, layer.running_mean):
                nn.init.uniform_(values, -0.5, 0.5)
    return network.eval()
