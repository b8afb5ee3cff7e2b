"""NETWORK BATCH SECONDS plain|tuned: training steps in eager PyTorch, in a loop as its tutorials have it.

Tuned as PyTorch's guide to performance says for processors: channels last in memory, autocast to bfloat16, a fused
optimiser where there is one.
"""

import sys
from collections.abc import Iterator

import described
import numpy as np
import serving
import torch
from described import Layer, Network
from torch import Tensor, nn


def steps(network: Network, batch: int, *, tuned: bool) -> Iterator[dict[str, float]]:
    torch.manual_seed(0)
    images_nhwc, labels_numpy = network.pictures(batch)
    batches = list(
        zip(_images(images_nhwc, tuned=tuned).split(batch), torch.from_numpy(labels_numpy).split(batch), strict=True)
    )
    model = nn.Sequential(*(module for layer in network.layers for module in _modules(layer)))
    model(batches[0][0])  # lazy layers learn their sizes
    network.compare(sum(weights.numel() for weights in model.parameters()))
    if tuned:
        model.to(memory_format=torch.channels_last)
    optimizer = _optimizer(network, model, fused=tuned)
    while True:
        for images, labels in batches:
            optimizer.zero_grad()
            with torch.autocast("cpu", torch.bfloat16, enabled=tuned):
                loss = _loss(network, model(images), labels)
            loss.backward()
            optimizer.step()
            yield {"loss": loss.item(), "bits": 16 if tuned else 32}


def _images(images_nhwc: np.ndarray, *, tuned: bool) -> Tensor:
    images = torch.from_numpy(images_nhwc).permute(0, 3, 1, 2).float().div_(255)
    return images.contiguous(memory_format=torch.channels_last if tuned else torch.contiguous_format)


def _modules(layer: Layer) -> list[nn.Module]:
    number = int(layer.number)
    match layer.kind:
        case "convolution":
            return [nn.LazyConv2d(number, 3), nn.ReLU()]
        case "pooling":
            return [nn.MaxPool2d(number)]
        case "flatten":
            return [nn.Flatten()]
        case "dropout":
            return [nn.Dropout(layer.number)]
        case "dense":
            return [nn.LazyLinear(number), nn.ReLU()]
        case "output":
            return [nn.LazyLinear(number)]


def _optimizer(network: Network, model: nn.Module, *, fused: bool) -> torch.optim.Optimizer:
    weights, rate = model.parameters(), network.learning_rate
    if network.optimizer == "adam":
        return torch.optim.Adam(weights, rate, fused=fused)
    return torch.optim.RMSprop(weights, rate, alpha=0.9)  # which has no fused form


def _loss(network: Network, logits: Tensor, labels: Tensor) -> Tensor:
    if network.classes == 2:
        return nn.functional.binary_cross_entropy_with_logits(logits.squeeze(1), labels.float())
    return nn.functional.cross_entropy(logits, labels)


if __name__ == "__main__":
    name, batch, seconds, way = sys.argv[1:]
    taken = steps(described.NETWORKS[name], int(batch), tuned=way == "tuned")
    serving.serve(serving.turns(taken, int(batch), float(seconds)))
