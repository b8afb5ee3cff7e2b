"""Arithmetic of one convolution or pooling, and its kernel walked over numbers. Imports no torch."""

from noonchi.conv.kernels import KERNELS, Matrix, numbers, weights_of
from noonchi.conv.layer import Axis, Kind, Layer, Padding, Pair, layer
from noonchi.conv.walk import Walk, Window, read_picture, walk

__all__ = [
    "KERNELS",
    "Axis",
    "Kind",
    "Layer",
    "Matrix",
    "Padding",
    "Pair",
    "Walk",
    "Window",
    "layer",
    "numbers",
    "read_picture",
    "walk",
    "weights_of",
]
