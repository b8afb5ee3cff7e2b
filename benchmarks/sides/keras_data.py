"""Keras's two ways from a folder to augmented batches, as its documentation has them."""

import keras
import tensorflow as tf

BATCH = 32
_EVERY_CORE = tf.data.AUTOTUNE


def generator(folder: str, side: int) -> keras.utils.PyDataset:
    """The course's own: decodes and warps each picture with SciPy, in every epoch. NHWC float32 in 0..1."""
    varied = tf.keras.preprocessing.image.ImageDataGenerator(
        rescale=1 / 255,
        rotation_range=40,
        width_shift_range=0.2,
        height_shift_range=0.2,
        shear_range=11.5,
        zoom_range=0.2,
        horizontal_flip=True,
        fill_mode="nearest",
    )
    return varied.flow_from_directory(folder, target_size=(side, side), batch_size=BATCH, class_mode="binary", seed=0)


def dataset(folder: str, side: int) -> tf.data.Dataset:
    """Decoded once and kept in memory; preprocessing layers on whole batches, on every core, ahead of the consumer."""
    decoded = keras.utils.image_dataset_from_directory(
        folder, image_size=(side, side), batch_size=None, label_mode="binary", shuffle=False, verbose=False
    )
    layers = keras.Sequential(
        [
            keras.layers.RandomFlip("horizontal"),
            keras.layers.RandomRotation(40 / 360, fill_mode="nearest"),
            keras.layers.RandomTranslation(0.2, 0.2, fill_mode="nearest"),
            keras.layers.RandomShear(x_factor=0.2, fill_mode="nearest"),
            keras.layers.RandomZoom((-0.2, 0.2), (-0.2, 0.2), fill_mode="nearest"),
            keras.layers.Rescaling(1 / 255),
        ]
    )

    def varied(images: tf.Tensor, labels: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        return layers(images, training=True), labels

    batches = decoded.cache().shuffle(len(decoded)).batch(BATCH)
    return batches.map(varied, num_parallel_calls=_EVERY_CORE).prefetch(_EVERY_CORE)
