"""EfficientNet-Lite0 without its top, in Keras, as timm's tf_efficientnet_lite0 computes it."""

import keras
import numpy as np
from backbone_weights import Weights
from keras import layers

STAGES = (
    (1, 16, 3, 1, 1),
    (6, 24, 3, 2, 2),
    (6, 40, 5, 2, 2),
    (6, 80, 3, 2, 3),
    (6, 112, 5, 1, 3),
    (6, 192, 5, 2, 4),
    (6, 320, 3, 1, 1),
)
"""Factor by which a block widens first, filters, kernel, stride of the first block, blocks."""


def backbone(side: int, weights: Weights) -> keras.Model:
    """Pictures (n, side, side, 3) with levels in 0..255 become features (n, 1280)."""
    pictures = keras.Input((side, side, 3))
    maps = layers.Rescaling(1 / 127.5, offset=-1)(pictures)
    maps = _normed(layers.Conv2D(32, 3, strides=2, padding="same", use_bias=False)(maps))
    for widen, filters, kernel, stride, blocks in STAGES:
        for number in range(blocks):
            maps = _block(maps, widen, filters, kernel, stride if number == 0 else 1)
    maps = _normed(layers.Conv2D(1280, 1, use_bias=False)(maps))
    network = keras.Model(pictures, layers.GlobalAveragePooling2D()(maps))
    _load(network, weights)
    return network


def _block(maps: keras.KerasTensor, widen: int, filters: int, kernel: int, stride: int) -> keras.KerasTensor:
    before, width = maps, maps.shape[-1]
    if widen > 1:
        maps = _normed(layers.Conv2D(widen * width, 1, use_bias=False)(maps))
    maps = _normed(layers.DepthwiseConv2D(kernel, strides=stride, padding="same", use_bias=False)(maps))
    maps = _normed(layers.Conv2D(filters, 1, use_bias=False)(maps), relu=False)
    return layers.add([before, maps]) if stride == 1 and filters == width else maps


def _normed(maps: keras.KerasTensor, *, relu: bool = True) -> keras.KerasTensor:
    maps = layers.BatchNormalization(epsilon=1e-3)(maps)
    return layers.ReLU(6)(maps) if relu else maps


def _load(network: keras.Model, weights: Weights) -> None:
    """Arrays in timm's order: a kernel (out, in, height, width), then batch norm's four."""
    arrays = iter(weights.arrays)
    for layer in network.layers:
        if isinstance(layer, layers.DepthwiseConv2D):
            layer.set_weights([next(arrays).transpose(2, 3, 0, 1)])
        elif layer.weights:
            own = [next(arrays) for _ in layer.weights]
            layer.set_weights([one.transpose(2, 3, 1, 0) if one.ndim == 4 else one for one in own])
    assert next(arrays, None) is None


def check(side: int, weights: Weights) -> None:
    """Whether features of the same pictures are those that noonchi's backbone gives."""
    weights.compare(np.asarray(backbone(side, weights).predict(weights.images_nhwc, verbose=0)))
