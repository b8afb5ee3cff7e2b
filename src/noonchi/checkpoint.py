"""What survives a kill: `best/` and `last/`, each replaced whole, and a state restored bit for bit."""

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from noonchi import files
from noonchi.classifier import Classifier, load_weights, read_tensors, weights_bytes
from noonchi.errors import RunError
from noonchi.fitting import State
from noonchi.results import Epoch

_TENSORS, _RECORD = "training.safetensors", "training.json"
_COUNTERS = ("epoch", "step", "sums", "seconds", "best", "best_epoch", "rate_factor", "lowered_epoch")


def save(folder: Path, state: State) -> None:
    """Replace a folder by the classifier and all that is needed to train on."""
    with files.replaced_folder(folder) as new:
        state.kept.save(new)
        files.write(new / _TENSORS, weights_bytes(_tensors(state)))
        record = {name: getattr(state, name) for name in _COUNTERS}
        digest = files.sha256(new / _TENSORS)
        history = [asdict(epoch) for epoch in state.history]
        files.write_json(new / _RECORD, record | {"tensors_sha256": digest, "history": history})


def save_classifier(folder: Path, classifier: Classifier) -> None:
    """Replace a folder by a classifier that is not trained further."""
    with files.replaced_folder(folder) as new:
        classifier.save(new)


def restore(folder: Path, state: State) -> bool:
    """Bring a fresh state to where `save` was called; False where nothing was saved yet.

    Raises RunError for files that are damaged or of another network.
    """
    files.recover(folder)
    if not folder.exists():
        return False
    record = _read_record(folder / _RECORD)
    if files.sha256(folder / _TENSORS) != record["tensors_sha256"]:
        raise RunError(f"'{folder / _TENSORS}' is damaged: its checksum is not the recorded one. Train again.")
    for name in _COUNTERS:
        setattr(state, name, record[name])
    state.history = [Epoch(**epoch) for epoch in record["history"]]
    _put_tensors(folder, state)
    return True


def _read_record(path: Path) -> dict[str, Any]:
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
        missing = {*_COUNTERS, "history", "tensors_sha256"} - record.keys()
    except (OSError, ValueError, AttributeError):
        raise RunError(f"'{path}' cannot be read as JSON. Restore it from a copy, or train again.") from None
    if missing:
        raise RunError(f"'{path}' is no saved training: it lacks {', '.join(sorted(missing))}. Train again.")
    return dict(record)


def _tensors(state: State) -> dict[str, Tensor]:
    """The optimiser's by weight and role; the weights in training too, where those saved are their running mean."""
    tensors = {}
    for name, weight in state.classifier.network.named_parameters():
        for role, value in state.optimizer.state.get(weight, {}).items():
            if value is not None:
                tensors[f"optimizer/{name}/{role}"] = torch.as_tensor(value)
    if state.averaged is not None:
        tensors["averaged"] = state.averaged.n_averaged
        tensors |= {f"network/{name}": value for name, value in state.classifier.network.state_dict().items()}
    return tensors


def _put_tensors(folder: Path, state: State) -> None:
    tensors = read_tensors(folder / _TENSORS)
    kept = read_tensors(folder / "weights.safetensors")
    network = state.classifier.network
    if state.averaged is None:
        load_weights(network, kept, folder)
    else:
        load_weights(state.averaged.module, kept, folder)
        state.averaged.n_averaged = tensors.pop("averaged")
        raw = {name.removeprefix("network/"): value for name, value in tensors.items() if name.startswith("network/")}
        load_weights(network, raw, folder / _TENSORS)
    weights = dict(network.named_parameters())
    for key, value in tensors.items():
        if key.startswith("optimizer/"):
            name, role = key.removeprefix("optimizer/").rsplit("/", 1)
            # as the weights lie in memory, or sums over them could be taken in another order
            state.optimizer.state[weights[name]][role] = _like(value, weights[name])


def _like(value: Tensor, weight: Tensor) -> Tensor:
    if value.shape != weight.shape:
        return value
    return torch.empty_like(weight, requires_grad=False).copy_(value)
