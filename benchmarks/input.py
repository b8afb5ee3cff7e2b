"""B4: from a folder of photos to augmented batches, without a network.

    python benchmarks/input.py DATA

S10's augmentation on 150x150 pictures, in batches of 32 float32 pictures in 0..1: rotation 40 degrees, shifts and zoom
0.2, shear 0.2 (11.5 degrees), horizontal flip, edges drawn out. The first epoch begins with nothing but files, in a
fresh process with an empty cache; no side is timed with the files off the disk, for they were read before.
"""

import folder_epochs
from side_by_side import Side

SIDES = {
    "noonchi": Side("noonchi_input.py"),
    "Keras ImageDataGenerator": Side("keras_input.py", ("generator",), "keras"),
    "Keras ImageDataGenerator, a thread a core": Side("keras_input.py", ("threads",), "keras"),
    "Keras layers in tf.data, cached": Side("keras_input.py", ("dataset",), "keras"),
    "torchvision v2, a worker a core": Side("torchvision_input.py", ("files",), "torchvision"),
    "torchvision v2, decoded once by hand": Side("torchvision_input.py", ("kept",), "torchvision"),
}

if __name__ == "__main__":
    folder_epochs.compare(__doc__, SIDES, pixels=150, starts=3, turns=3)
