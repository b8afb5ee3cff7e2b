"""Makes keras-augment.npz: pictures as Keras's ImageDataGenerator varies them. Run once, where Keras is:

pip install tensorflow-cpu==2.21.0 keras==3.15.1 scipy pillow; python tests/golden/keras_augment.py
"""

import json
from pathlib import Path

import numpy as np

SIDE = 48
# Keras's names: tx and zx act along x, although `height_shift_range` draws tx
PARAMETERS = {
    "rotation": {"theta": 33.0},
    "shift_x": {"ty": 13.5},
    "shift_y": {"tx": -9.25},
    "shear": {"shear": 11.5},
    "zoom": {"zx": 0.82, "zy": 1.17},
    "flip_x": {"flip_horizontal": True},
    "flip_y": {"flip_vertical": True},
    "channel_shift": {"channel_shift_intensity": 21.0},
    "brightness": {"brightness": 1.3},
    "all": {
        "theta": -27.0,
        "tx": 11.0,
        "ty": -14.0,
        "shear": 8.0,
        "zx": 1.15,
        "zy": 0.9,
        "flip_horizontal": True,
        "channel_shift_intensity": -12.0,
        "brightness": 0.8,
    },
}


def main() -> None:
    from keras.src.legacy.preprocessing.image import ImageDataGenerator
    from scipy.ndimage import gaussian_filter

    generator = np.random.default_rng(0)
    noise = gaussian_filter(generator.normal(size=(SIDE, SIDE, 3)), (1.5, 1.5, 0))
    picture = np.clip(127 + 60 * noise / noise.std(), 0, 255).astype(np.uint8)
    made = {"picture": picture, "parameters": np.array(json.dumps(PARAMETERS))}
    for fill in ("nearest", "constant", "reflect", "wrap"):
        keras_one = ImageDataGenerator(fill_mode=fill, cval=40.0)
        for name, parameters in PARAMETERS.items():
            varied = keras_one.apply_transform(picture.astype(np.float32), parameters)
            made[f"{fill}/{name}"] = np.clip(np.rint(varied), 0, 255).astype(np.uint8)
    np.savez_compressed(Path(__file__).with_name("keras-augment.npz"), **made)


if __name__ == "__main__":
    main()
