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
    """S10's augmentation as layers. NHWC float32 in 0..1."""
    layers = [
        keras.layers.RandomFlip("horizontal"),
        keras.layers.RandomRotation(40 / 360, fill_mode="nearest"),
        keras.layers.RandomTranslation(0.2, 0.2, fill_mode="nearest"),
        keras.layers.RandomShear(x_factor=0.2, fill_mode="nearest"),
        keras.layers.RandomZoom((-0.2, 0.2), (-0.2, 0.2), fill_mode="nearest"),
        keras.layers.Rescaling(1 / 255),
    ]
    return varied(decoded(folder, side), layers, BATCH)


def decoded(folder: str, side: int, batch: int | None = None) -> tf.data.Dataset:
    """Pictures in the order of the files, decoded each time anew. NHWC float32 in 0..255, labels 0 and 1."""
    return keras.utils.image_dataset_from_directory(
        folder, image_size=(side, side), batch_size=batch, label_mode="binary", shuffle=False, verbose=False
    )


def varied(pictures: tf.data.Dataset, layers: list[keras.layers.Layer], batch: int) -> tf.data.Dataset:
    """Decoded once and kept in memory; preprocessing layers on whole batches, on every core, ahead of the consumer."""
    together = keras.Sequential(layers)

    def one(images: tf.Tensor, labels: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        return together(images, training=True), labels

    batches = pictures.cache().shuffle(len(pictures)).batch(batch)
    return batches.map(one, num_parallel_calls=_EVERY_CORE).prefetch(_EVERY_CORE)
