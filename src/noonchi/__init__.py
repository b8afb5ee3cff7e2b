"""noonchi: train, look into and use image classifiers.

Importing this takes a few milliseconds: torch and the stages are imported when first used.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from noonchi.classifier import Classifier, load
    from noonchi.comparison import Comparison, compare
    from noonchi.errors import DataError, NoonchiError, RunError, SettingsError, StoppedError
    from noonchi.estimator import ImageClassifier
    from noonchi.fitting import fit
    from noonchi.results import Epoch, Prediction, Scores
    from noonchi.runs import Run
    from noonchi.settings import FitSettings, RunSettings
    from noonchi.training import resume, train

__all__ = [
    "Classifier",
    "Comparison",
    "DataError",
    "Epoch",
    "FitSettings",
    "ImageClassifier",
    "NoonchiError",
    "Prediction",
    "Run",
    "RunError",
    "RunSettings",
    "Scores",
    "SettingsError",
    "StoppedError",
    "compare",
    "fit",
    "load",
    "resume",
    "train",
]

_HOMES = {
    "classifier": ("Classifier", "load"),
    "comparison": ("Comparison", "compare"),
    "errors": ("DataError", "NoonchiError", "RunError", "SettingsError", "StoppedError"),
    "estimator": ("ImageClassifier",),
    "fitting": ("fit",),
    "results": ("Epoch", "Prediction", "Scores"),
    "runs": ("Run",),
    "settings": ("FitSettings", "RunSettings"),
    "training": ("resume", "train"),
}


def __getattr__(name: str) -> Any:
    for home, names in _HOMES.items():
        if name in names:
            return getattr(import_module(f"noonchi.{home}"), name)
    raise AttributeError(f"module 'noonchi' has no attribute '{name}'")
