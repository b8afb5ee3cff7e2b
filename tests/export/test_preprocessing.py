import numpy as np
import onnxruntime
import pytest

from noonchi import pixels
from noonchi.export.preprocessing import preprocessing
from noonchi.settings import PixelSettings

SIDES = [(1, 1), (1, 300), (300, 1), (28, 28), (27, 29), (20, 10), (10, 20), (100, 60), (91, 60), (211, 5), (150, 100)]


@pytest.mark.parametrize("fit", ["squash", "crop", "pad"])
@pytest.mark.parametrize("shape", [(28, 28, 1), (20, 50, 3), (50, 20, 1), (96, 96, 3)])
def test_the_graph_brings_any_picture_to_size_bit_for_bit_as_training_does(fit, shape):
    *size, channels = shape
    settings = PixelSettings(size=tuple(size), channels=channels, fit=fit, mean=(0.3,) * channels, std=(0.2,))
    session = onnxruntime.InferenceSession(preprocessing(settings).SerializeToString())
    drawn = np.random.default_rng(0)
    for sides in [*SIDES, *map(tuple, drawn.integers(1, 240, (12, 2)))]:
        picture = drawn.integers(0, 256, (*sides, channels), np.uint8)
        [images] = session.run(None, {"pictures": picture[np.newaxis]})
        expected = np.empty((1, *shape), np.float32)
        pixels.normalise_array(pixels.read(picture, settings)[np.newaxis], settings, expected)
        np.testing.assert_array_equal(images, expected.transpose(0, 3, 1, 2), err_msg=str(sides))


def test_a_batch_is_as_its_pictures():
    settings = PixelSettings(size=(8, 8), channels=3)
    session = onnxruntime.InferenceSession(preprocessing(settings).SerializeToString())
    pictures = np.random.default_rng(0).integers(0, 256, (5, 30, 17, 3), np.uint8)
    [together] = session.run(None, {"pictures": pictures})
    alone = [session.run(None, {"pictures": picture[np.newaxis]})[0] for picture in pictures]
    np.testing.assert_array_equal(together, np.concatenate(alone))


@pytest.mark.parametrize("fit", ["squash", "crop", "pad"])
def test_nothing_is_in_the_graph_that_it_does_not_need(fit):
    graph = preprocessing(PixelSettings(size=(28, 28), channels=1, fit=fit)).graph
    [branch] = [attribute.g for node in graph.node for attribute in node.attribute if attribute.name == "else_branch"]
    used = {name for node in branch.node for name in node.input} | {output.name for output in branch.output}
    inner = [attribute.g for node in branch.node for attribute in node.attribute if attribute.HasField("g")]
    used |= {name for graph in inner for node in graph.node for name in node.input}
    assert {name for node in branch.node for name in node.output} <= used
