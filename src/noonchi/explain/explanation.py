"""All that is found out about how a classifier sees one picture."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from noonchi.classifier import Classifier
from noonchi.explain.activations import Activation, activations
from noonchi.explain.filters import Sought, Weights, default_layers, first_weights, sought
from noonchi.explain.maps import HeatMap, checked, class_of, head_named, views
from noonchi.pixels import Images
from noonchi.predictor import Invert, Picture
from noonchi.results import Head, Prediction


@dataclass(frozen=True, eq=False)
class Explanation:
    """A look inside a classifier, at one picture."""

    prediction: Prediction
    head: Head
    """The one that was looked at."""
    class_name: str
    """For which the heat maps are."""
    frame: Images
    """The picture as the network sees it, before normalisation: (height, width, channels)."""
    maps: tuple[HeatMap, ...]
    activations: tuple[Activation, ...]
    weights: Weights | None
    """None where the first layer does not see the picture itself."""
    sought: tuple[Sought, ...]

    def to_json(self) -> dict[str, Any]:
        """Numbers and names, without pictures."""
        return {
            "picture": self.prediction.picture,
            "head": self.head.name,
            "class": self.class_name,
            "answer": self.prediction.answer(self.head.name),
            "probabilities": dict(self.prediction.heads[self.head.name]),
            "target_layer": self.maps[0].layer,
            "maps": [one.to_json() for one in self.maps],
            "activations": [one.to_json() for one in self.activations],
            "weights": self.weights.to_json() if self.weights else None,
            "filters": [one.to_json() for one in self.sought],
        }


def explain(
    classifier: Classifier,
    picture: Picture,
    head: str | None = None,
    class_name: str | None = None,
    *,
    filters: int,
    layers: Sequence[str] = (),
    invert: Invert = "no",
) -> Explanation:
    """Look at how a classifier sees a picture: the likeliest class of its first head where none is named.

    `filters` of each of `layers` are shown what they look for; of some layers throughout the network where none is
    named. Raises SettingsError for names that are not there, DataError for a picture that cannot be read.
    """
    asked = head_named(classifier, head)
    frame = classifier.frame(picture, invert)
    name = class_of(classifier, frame, asked, class_name)
    wanted = (layers or default_layers(classifier.network)) if filters else ()
    [prediction] = classifier.predict([picture], invert)
    return Explanation(
        prediction=prediction,
        head=asked,
        class_name=name,
        frame=frame,
        # first, as it is quick to find a wrong name
        sought=tuple(sought(classifier, frame, wanted, filters)),
        maps=tuple(checked(classifier, frame, asked, name, views(classifier, asked))),
        activations=tuple(activations(classifier, frame)),
        weights=first_weights(classifier),
    )
