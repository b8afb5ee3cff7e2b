"""Networks of the course in Keras, compiled as the course does."""

import keras
from described import Layer, Network
from keras import layers


def compiled(network: Network, side: int | None = None) -> keras.Model:
    """Takes squares of `side` pixels, where that is another than the network's own; channels where Keras has them."""
    height, width, channels = (side, side, network.shape[2]) if side else network.shape
    first = keras.config.image_data_format() == "channels_first"
    shape = (channels, height, width) if first else (height, width, channels)
    model = keras.Sequential([keras.Input(shape), *map(_layer, network.layers)])
    rate, binary = network.learning_rate, network.classes == 2
    optimizer = keras.optimizers.Adam(rate) if network.optimizer == "adam" else keras.optimizers.RMSprop(rate)
    loss = "binary_crossentropy" if binary else "sparse_categorical_crossentropy"
    model.compile(optimizer, loss=loss, metrics=["accuracy"])
    return model


def _layer(layer: Layer) -> layers.Layer:
    match layer.kind:
        case "convolution":
            return layers.Conv2D(layer.number, 3, activation="relu")
        case "pooling":
            return layers.MaxPooling2D(layer.number)
        case "flatten":
            return layers.Flatten()
        case "dropout":
            return layers.Dropout(layer.number)
        case "dense":
            return layers.Dense(layer.number, activation="relu")
        case "output":
            activation = "sigmoid" if layer.number == 1 else "softmax"
            # in float32, as Keras's guide to mixed precision asks
            return layers.Dense(layer.number, activation=activation, dtype="float32")
