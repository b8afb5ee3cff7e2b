"""How far pictures are moved, and the one affine matrix a picture that comes of it."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.floating]
Images = npt.NDArray[np.uint8]


@dataclass(frozen=True, eq=False)
class Moves:
    """How far each of n pictures is moved: the parameters that Keras calls theta, tx, ty, shear, zx and zy.

    Rotation and shear in degrees, shifts in pixels, and the zoom's factors by which a picture's sides shrink.
    """

    rotation_degrees: Floats
    shift_x: Floats
    shift_y: Floats
    shear_degrees: Floats
    shrink_x: Floats
    shrink_y: Floats
    flip_x: npt.NDArray[np.bool_]
    flip_y: npt.NDArray[np.bool_]

    def matrices(self, height: int, width: int) -> Floats:
        """(n, 2, 3), about the picture's middle: rotation, then shift, shear, zoom; a flip of the result last."""
        n = len(self.shift_x)
        turn, slant = np.deg2rad(self.rotation_degrees), np.deg2rad(self.shear_degrees)
        one, zero = np.ones(n), np.zeros(n)
        rotation = _matrix(np.cos(turn), -np.sin(turn), zero, np.sin(turn), np.cos(turn), zero)
        shift = _matrix(one, zero, self.shift_x, zero, one, self.shift_y)
        shear = _matrix(one, -np.sin(slant), zero, zero, np.cos(slant), zero)
        zoom = _matrix(self.shrink_x, zero, zero, zero, self.shrink_y, zero)
        flip = _matrix(1.0 - 2 * self.flip_x, zero, zero, zero, 1.0 - 2 * self.flip_y, zero)
        middle = from_middle(height, width)
        return (middle @ rotation @ shift @ shear @ zoom @ flip @ np.linalg.inv(middle))[:, :2]


def from_middle(height: int, width: int) -> Floats:
    """(3, 3): from places counted from a picture's middle to those counted from its first pixel."""
    return np.array([[1, 0, (width - 1) / 2], [0, 1, (height - 1) / 2], [0, 0, 1]])


def _matrix(*entries: Floats) -> Floats:
    """(n, 3, 3) from the six entries of an affine map, each (n,)."""
    n = len(entries[0])
    top = np.stack(entries, axis=1).reshape(n, 2, 3)
    return np.concatenate([top, np.broadcast_to([[[0.0, 0.0, 1.0]]], (n, 1, 3))], axis=1)
