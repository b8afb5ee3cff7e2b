"""The engine as a scikit-learn estimator: arrays and labels in, a fitted classifier out."""

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any, Self

import numpy as np
import numpy.typing as npt

from noonchi.errors import StoppedError
from noonchi.results import Epoch

try:
    from sklearn.base import BaseEstimator, ClassifierMixin
    from sklearn.utils import check_random_state
    from sklearn.utils.multiclass import check_classification_targets
    from sklearn.utils.validation import check_is_fitted, validate_data
except ModuleNotFoundError:
    raise ImportError('noonchi.ImageClassifier needs scikit-learn; run: pip install "noonchi[sklearn]"') from None

if TYPE_CHECKING:
    from noonchi.classifier import Classifier
    from noonchi.terminal import Event

_SMALLEST_SIDE = 18
"""Of pictures that the networks `train` picks can take."""
_SMALLEST_ENLARGED, _LARGEST_ENLARGED, _ENLARGED_TO = 8, 32, 28
"""Sides in pixels. Of scikit-learn's 8x8 digits, enlarging gets 0.987 right (spread 0.003 over 5 seeds), a network
without convolutions 0.973 (0.002), one convolution 0.960 (0.007)."""


class ImageClassifier(ClassifierMixin, BaseEstimator):  # type: ignore[misc]  # scikit-learn has no types
    """`noonchi.train` for arrays, as scikit-learn's `fit`, `predict`, `predict_proba` and `score`.

    `X` holds pictures (n, height, width) or (n, height, width, 1 or 3), or rows (n, features), each one picture laid
    flat: `picture_shape` says (height, width) or (height, width, channels). Without it a row is a square grey picture
    where its length is a square number, else a grey picture one pixel high. `y` holds one class a picture.

    A network sees 256 levels. uint8 is taken as it is. Other numbers are scaled linearly, clipped and rounded, so
    that `pixel_range` = (black, white) becomes 0 and 255. Without it, that is (0, 1) for values within 0..1, else the
    lowest and highest value in `fit`. Give (0, 255) for photos held as floats.

    `recipe`, `epochs`, `batch_size`, `lr` and `overrides` are those of `noonchi.train`, and so is the recipe where
    none is named; but pictures under 18 pixels a side are enlarged, or get a network without convolutions where a
    side has under 8. The recipe's heads are left out: one softmax answers `y`. A tenth of the pictures validates and
    picks the best epoch; none is kept for a test. The run's folder is `out`, which must be new or empty; without
    `out` it is temporary. `verbose` shows the epochs.

    `fit` sets `classes_`, `classifier_` (a noonchi `Classifier`, whose classes are the texts of `classes_`),
    `history_` (an `Epoch` each), `picture_shape_`, `pixel_range_`, and `n_features_in_` where `X` holds rows.

    It passes scikit-learn's `check_estimator` and takes no sample weights, NaN or sparse `X`. Pickling a fitted one is
    not promised; keep `classifier_.save(folder)`, or the run's folder through `out`.

    >>> from sklearn.datasets import load_digits
    >>> digits = load_digits()
    >>> model = ImageClassifier(epochs=1, random_state=0).fit(digits.images[:500], digits.target[:500])
    >>> model.predict_proba(digits.images[500:]).shape
    (1297, 10)
    """

    def __init__(
        self,
        recipe: str | Path | None = None,
        *,
        epochs: int | None = None,
        batch_size: int | None = None,
        lr: float | None = None,
        random_state: int | np.random.RandomState | None = None,
        picture_shape: Sequence[int] | None = None,
        pixel_range: tuple[float, float] | None = None,
        overrides: Sequence[str] = (),
        out: str | Path | None = None,
        verbose: bool = False,
    ) -> None:
        self.recipe = recipe
        self.epochs = epochs
        self.batch_size = batch_size
        self.lr = lr
        self.random_state = random_state
        self.picture_shape = picture_shape
        self.pixel_range = pixel_range
        self.overrides = overrides
        self.out = out
        self.verbose = verbose

    def fit(self, X: Any, y: Any) -> Self:  # noqa: N803  # scikit-learn's name
        """Train. Raises ValueError for arrays that cannot be meant, and what `noonchi.train` raises.

        With a temporary folder, a signal that asks to stop raises KeyboardInterrupt and nothing is kept.
        """
        X, y = validate_data(self, X, y, allow_nd=True)  # noqa: N806
        check_classification_targets(y)
        self.classes_ = np.unique(y)
        if len(self.classes_) < 2:
            raise ValueError(f"y holds 1 class ({self.classes_[0]}); a classifier needs 2.")
        self.picture_shape_ = _picture_shape(X, self.picture_shape)
        self.pixel_range_ = _pixel_range(X, self.pixel_range)
        if X.ndim > 2:
            del self.n_features_in_  # scikit-learn counts the height
        self.classifier_, self.history_ = self._trained(self._frames(X), [str(label) for label in y])
        return self

    def predict_proba(self, X: Any) -> npt.NDArray[np.float64]:  # noqa: N803
        """Probabilities (n, classes), in the order of `classes_`. Raises ValueError for pictures of another shape."""
        check_is_fitted(self)
        X = validate_data(self, X, reset=False, allow_nd=True)  # noqa: N806
        head = self.classifier_.heads[0].name
        answers = [prediction.heads[head] for prediction in self.classifier_.predict(self._frames(X))]
        return np.array([[answer[str(label)] for label in self.classes_] for answer in answers])

    def predict(self, X: Any) -> npt.NDArray[Any]:  # noqa: N803
        """The likeliest class of each picture. Raises as `predict_proba` does."""
        probabilities = self.predict_proba(X)
        return np.asarray(self.classes_[probabilities.argmax(axis=1)])

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.three_d_array = True
        return tags

    def _frames(self, arrays: npt.NDArray[Any]) -> npt.NDArray[np.uint8]:
        """uint8 (n, height, width, channels)."""
        height, width, channels = shape = self.picture_shape_
        accepted = [shape, (math.prod(shape),)] + [(height, width)] * (channels == 1)
        if arrays.shape[1:] not in accepted:
            raise ValueError(f"X holds pictures of shape {arrays.shape[1:]}; expected {shape}, as in fit.")
        frames = arrays.reshape(-1, *shape)
        low, high = self.pixel_range_
        if frames.dtype == np.uint8 and (low, high) == (0, 255):
            return frames
        levels = (frames - low) / ((high - low) or 1.0) * 255
        return np.rint(np.clip(levels, 0, 255)).astype(np.uint8)

    def _trained(self, frames: npt.NDArray[np.uint8], labels: list[str]) -> "tuple[Classifier, list[Epoch]]":
        from noonchi.terminal import Terminal
        from noonchi.training import train

        history = []
        recipe, extra = (self.recipe, []) if self.recipe else _recipe_for(self.picture_shape_)
        if self.out is None:
            extra += ["record.tensorboard=false", "record.plots=false", "record.report=false"]
        with _folder(self.out) as folder, Terminal() if self.verbose else nullcontext(_say_nothing) as tell:

            def show(event: "Event") -> None:
                tell(event)
                if isinstance(event, Epoch):
                    history.append(event)

            run = train(
                (frames, labels),
                recipe,
                out=folder,
                overrides=["heads={}", "data.test_share=0", *extra, *self.overrides],
                epochs=self.epochs,
                batch_size=self.batch_size,
                lr=self.lr,
                seed=check_random_state(self.random_state).randint(2**31 - 1),
                show=show,
            )
            return run.classifier, history


def _picture_shape(arrays: npt.NDArray[Any], of_rows: Sequence[int] | None) -> tuple[int, int, int]:
    """Height, width and channels."""
    came = tuple(arrays.shape[1:])
    if arrays.ndim > 2:
        shape = came
    elif of_rows is not None:
        shape = tuple(of_rows)
    else:
        side = math.isqrt(came[0])
        shape = (side, side) if side * side == came[0] else (1, came[0])
    if len(shape) == 2:
        shape = (*shape, 1)
    if len(shape) != 3 or shape[2] not in (1, 3):
        raise ValueError(f"a picture has shape {shape}; expected (height, width) or (height, width, 1 or 3).")
    if math.prod(shape) != math.prod(came):
        raise ValueError(f"picture_shape = {of_rows} needs rows of {math.prod(shape)} numbers; these have {came[0]}.")
    return shape


def _pixel_range(arrays: npt.NDArray[Any], given: tuple[float, float] | None) -> tuple[float, float]:
    """What is black and what is white; floats, since uint8 minus a whole number would wrap around."""
    if given is not None:
        return float(given[0]), float(given[1])
    if arrays.dtype == np.uint8:
        return 0.0, 255.0
    low, high = float(arrays.min()), float(arrays.max())
    return (0.0, 1.0) if low >= 0 and high <= 1 else (low, high)


def _recipe_for(shape: tuple[int, int, int]) -> tuple[str | None, list[str]]:
    """A recipe with overrides for pictures too small for the networks that `train` picks."""
    height, width, _ = shape
    if min(height, width) >= _SMALLEST_SIDE:
        return None, []
    if min(height, width) < _SMALLEST_ENLARGED or max(height, width) > _LARGEST_ENLARGED:
        return "small-pictures", ["model.network=mnist-mlp"]
    factor = math.ceil(_ENLARGED_TO / min(height, width))
    return "small-pictures", [f"pixels.size=[{height * factor}, {width * factor}]"]


def _say_nothing(_: "Event") -> None:
    pass


@contextmanager
def _folder(out: str | Path | None) -> Iterator[Path]:
    if out is not None:
        yield Path(out)
        return
    with TemporaryDirectory(prefix="noonchi-") as folder:
        try:
            yield Path(folder)
        except StoppedError:  # cross-validation would take it for one failed fit and go on to the next
            raise KeyboardInterrupt("stopped; nothing is kept, since `out` names no folder") from None
