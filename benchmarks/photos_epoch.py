"""B5: an epoch of S10, the augmented photos network, from a folder of photos.

    python benchmarks/photos_epoch.py DATA

The network of 3.5 million weights, RMSprop, batches of 32 at 150x150 with S10's augmentation; every picture of
DATA/train is trained on, and none is validated on, on any side. The first epoch holds decoding and compiling.
"""

import folder_epochs
from side_by_side import Side

SIDES = {
    "noonchi": Side("noonchi_photos.py", ("auto",)),
    "noonchi, float32": Side("noonchi_photos.py", ("float32",)),
    "Keras ImageDataGenerator, float32": Side("keras_photos.py", ("generator", "float32"), "keras"),
    "Keras ImageDataGenerator, bfloat16": Side("keras_photos.py", ("generator", "mixed_bfloat16"), "keras"),
    "Keras tf.data, float32": Side("keras_photos.py", ("dataset", "float32"), "keras"),
    "Keras tf.data, bfloat16": Side("keras_photos.py", ("dataset", "mixed_bfloat16"), "keras"),
}

if __name__ == "__main__":
    folder_epochs.compare(__doc__, SIDES, pixels=150, starts=1, turns=4)
