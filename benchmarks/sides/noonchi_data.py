"""noonchi's way from a folder to augmented batches, as `noonchi train` goes it."""

from typing import Any

from noonchi import batches, device, pixels, settings, sources
from noonchi.batches import Batches
from noonchi.settings import RunSettings


def training(folder: str, side: int, precision: str = "auto") -> tuple[Batches, RunSettings]:
    """All pictures of the folder, to be trained on as S10 does."""
    every_picture = ["data.validation_share=0.0", "data.test_share=0.0"]
    run = settings.load(
        "photos-augmented", [f"pixels.size=[{side}, {side}]", f"device.precision={precision}", *every_picture]
    )
    index = sources.load(folder, run.data, run.heads)
    run = run.but(device=device.prepare(run.device), pixels=pixels.resolve(run.pixels, index.array, index.files))
    frames, index = batches.frames_of(index, run, _ignore)
    return batches.of_split(frames, index, "train", run), run


def _ignore(_: Any) -> None:
    pass
