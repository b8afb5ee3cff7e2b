"""What a run writes for people: its history as a table, as curves and for TensorBoard, and its results."""

import csv
import io
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from noonchi import files
from noonchi.results import Epoch

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def write_history(folder: Path, epochs: Iterable[Epoch]) -> None:
    """`history.csv`: a row an epoch, the columns named as Keras names them."""
    rows = [epoch.to_json() for epoch in epochs]
    text = io.StringIO()
    writer = csv.DictWriter(text, fieldnames=list(rows[0]) if rows else ["epoch"], lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    files.write(folder / "history.csv", text.getvalue())


def write_plots(folder: Path, epochs: Iterable[Epoch]) -> list[Path]:
    """`plots/<metric>.png` for each metric, training and validation in one plot; returns the files."""
    history = list(epochs)
    names = [name for name in history[0].metrics if not name.startswith("val_")] if history else []
    (folder / "plots").mkdir(exist_ok=True)
    paths = []
    for name in names:
        image = io.BytesIO()
        _curves(history, name).savefig(image, format="png", dpi=150)
        paths.append(folder / "plots" / f"{name}.png")
        files.write(paths[-1], image.getvalue())
    return paths


def write_tensorboard(folder: Path, epoch: Epoch, weights: Mapping[str, np.ndarray] | None = None) -> None:
    """Append an epoch's metrics, and a histogram of each of `weights`, to `tensorboard/`.

    Each call opens and closes a file of its own: what is written is on the disk, and a run that was killed and
    resumed leaves at most one epoch twice, with the same values.
    """
    from tensorboard.compat.proto.event_pb2 import Event
    from tensorboard.compat.proto.summary_pb2 import Summary
    from tensorboard.summary.writer.event_file_writer import EventFileWriter

    values = [Summary.Value(tag=_tag(name), simple_value=value) for name, value in _scalars(epoch).items()]
    for name, array in (weights or {}).items():
        values.append(Summary.Value(tag=f"weights/{name}", histo=_histogram(array)))
    event = Event(step=epoch.number, summary=Summary(value=values))
    writer = EventFileWriter(str(folder / "tensorboard"), filename_suffix=f".{epoch.number:05d}")
    writer.add_event(event)
    writer.close()


def _scalars(epoch: Epoch) -> dict[str, float]:
    return {name: value for name, value in epoch.to_json().items() if name != "epoch"}


def _tag(name: str) -> str:
    """TensorBoard draws tags with the same last part in one section: training and validation side by side."""
    return f"{name.removeprefix('val_')}/{'validation' if name.startswith('val_') else 'training'}"


def _histogram(array: np.ndarray) -> Any:
    from tensorboard.compat.proto.summary_pb2 import HistogramProto

    flat = array.astype(np.float64).ravel()
    counts, edges = np.histogram(flat, bins=30)
    return HistogramProto(
        min=flat.min(),
        max=flat.max(),
        num=flat.size,
        sum=flat.sum(),
        sum_squares=np.square(flat).sum(),
        bucket_limit=edges[1:].tolist(),
        bucket=counts.tolist(),
    )


def _curves(history: list[Epoch], name: str) -> "Figure":
    from matplotlib.figure import Figure
    from matplotlib.ticker import MaxNLocator

    figure = Figure(figsize=(6.4, 4.0), layout="constrained")
    axes = figure.subplots()
    numbers = [epoch.number for epoch in history]
    for key, label, color in ((name, "training", "#3b6fb6"), (f"val_{name}", "validation", "#d1603d")):
        if key in history[0].metrics:
            axes.plot(numbers, [epoch.metrics[key] for epoch in history], label=label, color=color, marker=".")
    best = [epoch.number for epoch in history if epoch.best]
    if best:
        axes.axvline(best[-1], color="#999999", linewidth=1, linestyle=":", label=f"kept: epoch {best[-1]}")
    axes.set(xlabel="epoch", ylabel=name.replace("_", " "), title=name.replace("_", " "))
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.grid(alpha=0.25)
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False)
    return figure
