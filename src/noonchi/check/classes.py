"""Splits without pictures; classes that are missing, rare, or far more numerous than others."""

from noonchi.check.findings import Finding, Severity, listed, number
from noonchi.results import Split
from noonchi.sources.index import Index

MOST_TIMES = 10
"""How many times as many training pictures as the rarest class the commonest may have."""
_FOLLOWS: dict[Split, tuple[Severity, str]] = {
    "train": ("error", "nothing can be learnt"),
    "val": ("warning", "there is none to choose the best epoch by"),
    "test": ("warning", "how good a classifier is stays unknown"),
}
"""What follows from a split without pictures."""


def split_findings(index: Index) -> list[Finding]:
    """Splits without any usable picture."""
    there = index.sizes()
    return [
        Finding("split-missing", severity, 1, f"no {split} pictures: {what}")
        for split, (severity, what) in _FOLLOWS.items()
        if split not in there
    ]


def class_findings(index: Index, head: str) -> list[Finding]:
    """What is wrong with the numbers of pictures in the classes of a head."""
    counts = index.counts(head)
    of = f"{head}: " if len(index.heads) > 1 else ""
    total = {name: sum(by_class[name] for by_class in counts.values()) for name in next(iter(counts.values()), {})}
    findings = []
    for split, by_class in counts.items():
        missing = [name for name, count in by_class.items() if not count and (split == "train" or total[name])]
        if missing and split == "train":
            about = f"{of}no training picture of {listed(missing)}: it cannot be learnt"
            findings.append(Finding("class-missing", "error", len(missing), about))
        elif missing:
            about = f"{of}no {split} picture of {listed(missing)}: how well it is told apart stays unknown"
            findings.append(Finding("class-missing", "warning", len(missing), about))
    if single := [name for name, count in total.items() if count == 1]:
        about = f"{of}{number(len(single), 'class')} of a single picture: {listed(single)}"
        findings.append(Finding("class-of-one", "warning", len(single), about))
    return findings + _imbalance(head, of, counts.get("train", {}))


def _imbalance(head: str, of: str, in_train: dict[str, int]) -> list[Finding]:
    present = {name: count for name, count in in_train.items() if count}
    most, least = (pick(present, key=lambda name: present[name], default="") for pick in (max, min))
    if not present or present[most] < MOST_TIMES * present[least]:
        return []
    rare = sum(count * MOST_TIMES <= present[most] for count in present.values())
    about = (
        f"{of}{present[most] / present[least]:.0f} times as many training pictures of '{most}' as of '{least}'; "
        f'heads.{head}.class_weights = "balanced" makes up for it'
    )
    return [Finding("imbalance", "warning", rare, about)]
