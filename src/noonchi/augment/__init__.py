"""Training pictures varied anew in every epoch: what is drawn, and one warp and one table of levels that apply it.

All that moves pixels (rotation, shifts, shear, zoom, flips) is composed into one affine matrix a picture, so that it is
resampled once; all that changes levels (brightness, contrast, channel shift) into one table of 256 levels a channel.
Composition and signs are those of Keras's `ImageDataGenerator`.
"""

from noonchi.augment.drawn import Draws, draw, level_tables
from noonchi.augment.mixing import Mixing, draw_mixing
from noonchi.augment.moves import Moves
from noonchi.augment.warp import apply, apply_on_device

__all__ = ["Draws", "Mixing", "Moves", "apply", "apply_on_device", "draw", "draw_mixing", "level_tables"]
