"""A network drawn as it is passed: layers with shapes and parameters, branches, several answers."""

from torch import nn

from noonchi.diagram.boxes import boxed
from noonchi.diagram.svg import render
from noonchi.diagram.tracing import trace
from noonchi.networks import PictureShape

__all__ = ["draw"]


def draw(network: nn.Module, shape: PictureShape, name: str) -> str:
    """The network as one `<svg>` element, a file or a part of a page, for light and dark grounds; it holds no script.

    Found by running one black picture through the network, which is left as it was. Layers that follow one another
    without changing the shape share a box; of large networks a box is a block or a whole stage.

    >>> drawing = draw(nn.Sequential(nn.Conv2d(3, 20, 3), nn.ReLU()), PictureShape(9, 9, 3), "mine")
    >>> drawing[:5], "560 parameters" in drawing
    ('<svg ', True)
    """
    boxes = boxed(trace(network, shape), network)
    parameters = sum(weight.numel() for weight in network.parameters())
    frozen = sum(weight.numel() for weight in network.parameters() if not weight.requires_grad)
    unused = parameters - sum(box.parameters for box in boxes)
    about = [f"{parameters:,} parameters{f', {frozen:,} of them frozen' if frozen else ''}"]
    if unused:
        about.append(f"{unused:,} of them in layers that no picture passes")
    return render(boxes, name, about)
