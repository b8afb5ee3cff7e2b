"""A look inside a classifier: what speaks for a class in a picture, what layers give and what filters look for."""

from noonchi.explain.checks import Checks
from noonchi.explain.drawing import overlay
from noonchi.explain.explanation import Explanation, explain
from noonchi.explain.maps import HeatMap, heat_map, heat_maps

__all__ = ["Checks", "Explanation", "HeatMap", "explain", "heat_map", "heat_maps", "overlay"]
