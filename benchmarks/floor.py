"""The floor under a training step: its arithmetic at the rate at which this machine multiplies large matrices."""

from sides.described import Network


def step_flops(network: Network) -> int:
    """Multiplications and additions for one picture: thrice those of the way forward, less a gradient nobody needs.

    Each product has gradients of both its factors, but the first layer's input is the picture.
    """
    forward = _forward_flops(network)
    return 3 * sum(forward) - forward[0]


def _forward_flops(network: Network) -> list[int]:
    """Of each convolution and each dense layer."""
    height, width, depth = network.shape
    flops = []
    for kind, number in network.layers:
        units = int(number)
        match kind:
            case "convolution":
                height, width = height - 2, width - 2
                flops.append(2 * height * width * units * 9 * depth)
                depth = units
            case "pooling":
                height, width = height // units, width // units
            case "flatten":
                height, width, depth = 1, 1, height * width * depth
            case "dense" | "output":
                flops.append(2 * depth * units)
                depth = units
    return flops
