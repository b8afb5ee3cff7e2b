"""DATA SIDE FOLDER [check]: Keras's predict, on its own data set of a folder."""

import sys
from pathlib import Path

import backbone_weights
import keras
import keras_data
import keras_efficientnet_lite0
import numpy as np
import predicting
import serving
import tensorflow as tf

BATCH = 32


def classifier(side: int, folder: str) -> keras.Model:
    weights, output = backbone_weights.read(str(Path(folder) / predicting.WEIGHTS)), predicting.read(folder)
    backbone = keras_efficientnet_lite0.backbone(side, weights)
    layer = keras.layers.Dense(2, activation="softmax")
    network = keras.Sequential([backbone, layer])
    layer.set_weights([output.kernel, output.bias])
    return network


def main(data: str, side: str, folder: str) -> None:
    def make() -> predicting.Predict:
        network = classifier(int(side), folder)

        def predict(paths: list[Path]) -> np.ndarray:
            if len(paths) == 1:
                picture = keras.utils.load_img(paths[0], target_size=(int(side), int(side)))
                return network.predict(keras.utils.img_to_array(picture)[np.newaxis], verbose=0)
            found = keras_data.decoded(data, int(side), BATCH)
            answers = network.predict(found.map(lambda images, _: images).prefetch(tf.data.AUTOTUNE), verbose=0)
            order = [found.file_paths.index(str(path)) for path in paths]
            return answers[order]

        return predict

    serving.serve(predicting.turns(data, folder, make))


if __name__ == "__main__":
    if sys.argv[4:] == ["check"]:
        weights_file = str(Path(sys.argv[3]) / predicting.WEIGHTS)
        keras_efficientnet_lite0.check(int(sys.argv[2]), backbone_weights.read(weights_file))
    else:
        main(*sys.argv[1:])
