"""What a run's best classifier said of the pictures of a split, and what they are: kept with the run."""

import io
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from noonchi import files
from noonchi.errors import RunError
from noonchi.results import Head, Split


@dataclass(frozen=True, eq=False)
class Answers:
    """Of n pictures, in the order of the index."""

    heads: tuple[Head, ...]
    ids: np.ndarray
    """(n,) text: a picture's path within the data, or its number."""
    hashes: np.ndarray
    """(n,) text: of a picture's content."""
    labels: Mapping[str, np.ndarray]
    """By head, as `metrics.head_scores` takes them."""
    probabilities: Mapping[str, np.ndarray]
    """By head (n, outputs) float32."""

    def __len__(self) -> int:
        """Pictures."""
        return len(self.ids)


def write(run: Path, split: Split, answers: Answers) -> None:
    """`answers/<split>.npz` in a run's folder: plain arrays, nothing pickled."""
    arrays = {"ids": answers.ids.astype(np.str_), "hashes": answers.hashes.astype(np.str_)}
    arrays["heads"] = np.array([head.name for head in answers.heads])
    for head in answers.heads:
        arrays[f"{head.name}/kind"] = np.array(head.kind)
        arrays[f"{head.name}/classes"] = np.array(head.classes)
        arrays[f"{head.name}/labels"] = answers.labels[head.name]
        arrays[f"{head.name}/probabilities"] = answers.probabilities[head.name].astype(np.float32)
    content = io.BytesIO()
    np.savez_compressed(content, **arrays)  # type: ignore[arg-type]  # numpy types an option among the arrays
    (run / "answers").mkdir(exist_ok=True)
    files.write(_path(run, split), content.getvalue())


def read(run: Path, split: Split = "test") -> Answers:
    """The answers that a run keeps for a split. Raises RunError where there are none, or where they were damaged."""
    path = _path(run, split)
    if not path.is_file():
        other: Split = "val" if split == "test" else "test"
        remedy = f"it has for split '{other}'" if _path(run, other).is_file() else "train again with this noonchi"
        raise RunError(f"'{run}' keeps no answers for its {split} pictures; {remedy}.")
    try:
        with np.load(io.BytesIO(path.read_bytes()), allow_pickle=False) as arrays:
            heads = tuple(
                Head(name, str(arrays[f"{name}/kind"]), tuple(arrays[f"{name}/classes"].tolist()))  # type: ignore[arg-type]
                for name in arrays["heads"].tolist()
            )
            labels = {head.name: arrays[f"{head.name}/labels"] for head in heads}
            probabilities = {head.name: arrays[f"{head.name}/probabilities"] for head in heads}
            return Answers(heads, arrays["ids"], arrays["hashes"], labels, probabilities)
    except (OSError, EOFError, ValueError, KeyError, zipfile.BadZipFile):
        raise RunError(f"'{path}' is damaged. Restore it from a copy, or train again.") from None


def _path(run: Path, split: Split) -> Path:
    return run / "answers" / f"{split}.npz"
