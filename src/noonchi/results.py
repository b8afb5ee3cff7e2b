"""The nouns that stages pass to one another, and how each is written as JSON. Imports no torch."""

import shlex
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

HeadKind = Literal["classes", "binary", "labels"]
Split = Literal["train", "val", "test"]


@dataclass(frozen=True)
class Head:
    """One question a classifier answers about a picture.

    `classes`: exactly one of the classes holds, answered by a softmax. `binary`: the second of two classes holds or
    not, answered by one sigmoid. `labels`: any number of the classes hold, answered by a sigmoid each.

    >>> Head("odd", "binary", ("even", "odd")).outputs
    1
    """

    name: str
    kind: HeadKind
    classes: tuple[str, ...]

    @property
    def outputs(self) -> int:
        """Numbers a network gives for this head: one for `binary`, else one a class."""
        return 1 if self.kind == "binary" else len(self.classes)

    def text(self, label: Any) -> str:
        """A label in words: the class of a number, or for `labels` the classes that zeros and ones name, joined by `|`.

        >>> Head("pets", "labels", ("cat", "dog", "owl")).text([1, 0, 1])
        'cat|owl'
        """
        if self.kind != "labels":
            return self.classes[int(label)]
        return "|".join(name for name, holds in zip(self.classes, label, strict=True) if holds)


@dataclass(frozen=True)
class Note:
    """Something a person should know while work goes on."""

    text: str


@dataclass(frozen=True)
class Reading:
    """How far a preparation is, in pictures."""

    done: int
    total: int


@dataclass(frozen=True)
class Work:
    """How far work in steps of any kind is, and what there is to say of the last one."""

    what: str
    done: int
    total: int
    text: str


@dataclass(frozen=True)
class Step:
    """One training step done: its number within the epoch, counted from 1, and the epoch's mean loss so far."""

    epoch: int
    step: int
    steps: int
    loss: float


@dataclass(frozen=True)
class Epoch:
    """What one pass over the training pictures came to.

    `metrics` are named as Keras names them: `loss`, `accuracy`, `val_loss`, `val_accuracy`; with several heads also
    `digit_loss`, `digit_accuracy`, `val_digit_accuracy` and so on, `loss` being the weighted sum.
    """

    number: int
    """Counted from 1."""
    metrics: Mapping[str, float]
    lr: float
    """Learning rate of the epoch's last step."""
    seconds: float
    best: bool = False
    """Whether the monitored metric is the best so far."""
    stop: str | None = None
    """Why training ends with this epoch, if it does so before its last."""

    def to_json(self) -> dict[str, Any]:
        """One flat object; the keys of `history.csv`."""
        return {"epoch": self.number, **self.metrics, "lr": self.lr, "seconds": self.seconds}


@dataclass(frozen=True)
class Sure:
    """How one head did on those pictures whose answer is at least so probable, where it abstains from the others."""

    least: float
    coverage: float
    """Share of pictures answered."""
    accuracy: float
    """Of those; 1 where there are none."""
    accuracy_interval: tuple[float, float]

    def to_json(self) -> dict[str, Any]:
        """Plain numbers."""
        return asdict(self) | {"accuracy_interval": list(self.accuracy_interval)}


@dataclass(frozen=True)
class Measured:
    """A number worked out from a sample of pictures, and where it may lie for all pictures of that kind."""

    value: float | None
    """None where there is nothing to work it out from, such as the precision of a class that was never answered."""
    interval: tuple[float, float]
    """95 %."""

    def to_json(self) -> dict[str, Any]:
        """Plain numbers."""
        return {"value": self.value, "interval": list(self.interval)}


@dataclass(frozen=True)
class ClassScores:
    """How one class of a head was told from the others."""

    name: str
    pictures: int
    """That it holds of."""
    answered: int
    """Pictures that it was the answer for, or among the answers."""
    right: int
    """Of both."""
    precision: Measured
    """Of its answers, the share that is right."""
    recall: Measured
    """Of its pictures, the share that was found."""
    f1: Measured
    """The harmonic mean of precision and recall."""

    def to_json(self) -> dict[str, Any]:
        """Plain numbers."""
        counts = {"name": self.name, "pictures": self.pictures, "answered": self.answered, "right": self.right}
        return counts | {key: getattr(self, key).to_json() for key in ("precision", "recall", "f1")}


@dataclass(frozen=True)
class Bin:
    """Answers of about the same probability, and how many of them are right."""

    low: float
    high: float
    answers: int
    said: float
    """Their mean probability."""
    right: Measured
    """Share that is right."""

    def to_json(self) -> dict[str, Any]:
        """Plain numbers."""
        return asdict(self) | {"right": self.right.to_json()}


@dataclass(frozen=True)
class HeadScores:
    """How one head did on a set of pictures."""

    loss: float
    accuracy: float
    """Share of pictures answered right; for `labels`, the share of picture-and-class answers that are right."""
    accuracy_interval: tuple[float, float]
    """95 % interval of `accuracy` (Wilson); for `labels` it counts pictures, not answers, as independent."""
    sure: Sure | None = None

    def to_json(self) -> dict[str, Any]:
        """Plain numbers."""
        out = {"loss": self.loss, "accuracy": self.accuracy, "accuracy_interval": list(self.accuracy_interval)}
        return out | ({"sure": self.sure.to_json()} if self.sure else {})


@dataclass(frozen=True)
class Scores:
    """How a classifier did on one split.

    >>> one = HeadScores(loss=0.1, accuracy=0.9, accuracy_interval=(0.8, 0.95))
    >>> Scores("test", 50, 0.1, {"label": one}).to_json()["accuracy"]
    0.9
    >>> sorted(Scores("test", 50, 0.1, {"digit": one, "odd": one}).to_json())[:2]
    ['digit_accuracy', 'digit_accuracy_interval']
    """

    split: Split
    num_pictures: int
    loss: float
    """The weighted sum of the heads' losses."""
    heads: Mapping[str, HeadScores]

    @property
    def accuracy(self) -> float:
        """The first head's."""
        return next(iter(self.heads.values())).accuracy

    @property
    def accuracy_interval(self) -> tuple[float, float]:
        """The first head's."""
        return next(iter(self.heads.values())).accuracy_interval

    def to_json(self) -> dict[str, Any]:
        """One flat object; with several heads each key carries its head's name, as Keras does."""
        out: dict[str, Any] = {"loss": self.loss}
        for name, scores in self.heads.items():
            if len(self.heads) == 1:
                out |= scores.to_json()
            else:
                out |= {f"{name}_{key}": value for key, value in scores.to_json().items()}
        return out | {"num_pictures": self.num_pictures}

    def metrics(self, prefix: str = "") -> dict[str, float]:
        """The numbers an `Epoch` carries, without intervals."""
        return {prefix + key: value for key, value in self.to_json().items() if isinstance(value, float)}


@dataclass(frozen=True)
class Prediction:
    """What a classifier says of one picture: for each head, every class with its probability, in class order."""

    picture: str
    heads: Mapping[str, Mapping[str, float]]
    kinds: Mapping[str, HeadKind] = field(repr=False)

    def answer(self, head: str) -> str:
        """The head's answer: the likeliest class, or for `labels` all classes at one half and above.

        At exactly one half a `binary` head answers its second class, as its scores count it.

        >>> Prediction("a.png", {"label": {"cat": 0.9, "dog": 0.1}}, {"label": "classes"}).answer("label")
        'cat'
        """
        probabilities = self.heads[head]
        if self.kinds[head] == "labels":
            return " ".join(self.held(head))
        names = list(probabilities)
        if self.kinds[head] == "binary":
            names.reverse()
        return max(names, key=lambda name: probabilities[name])

    def held(self, head: str) -> list[str]:
        """All classes at one half and above, in class order."""
        return [name for name, p in self.heads[head].items() if p >= 0.5]

    def top(self, head: str, count: int) -> list[tuple[str, float]]:
        """The `count` likeliest classes, likeliest first; ties stay in class order."""
        return sorted(self.heads[head].items(), key=lambda pair: -pair[1])[:count]

    def is_sure(self, head: str, least: float) -> bool:
        """Whether the head's answer is at least so probable; for `labels` that of every class, either way.

        >>> Prediction("a.png", {"label": {"cat": 0.9, "dog": 0.1}}, {"label": "classes"}).is_sure("label", 0.95)
        False
        """
        values = self.heads[head].values()
        return (min(max(p, 1 - p) for p in values) if self.kinds[head] == "labels" else max(values)) >= least

    def to_json(self, top: int | None = None, abstain: float | None = None) -> dict[str, Any]:
        """`{"picture", "<head>": {"answer", "probabilities": {class: p}}}`, the likeliest `top` classes first.

        With `abstain` each head also says whether it is `sure`: its answer is at least so probable.
        """
        out: dict[str, Any] = {"picture": self.picture}
        for head, probabilities in self.heads.items():
            ordered = dict(self.top(head, top)) if top else dict(probabilities)
            out[head] = {"answer": self.answer(head), "probabilities": ordered}
            if abstain is not None:
                out[head]["sure"] = self.is_sure(head, abstain)
        return out


@dataclass(frozen=True)
class Thumbnail:
    """A small picture within a page's own text."""

    uri: str
    """The `src` of an `img`."""
    width: int
    height: int

    @property
    def small(self) -> bool:
        """So small that it is shown larger than it is, with square pixels."""
        return max(self.width, self.height) < 72


def printable(text: str) -> str:
    """One line without control codes, which the name of a file or of a class may hold: they become escapes.

    >>> printable("눈치" + chr(27) + ".png") == "눈치" + chr(92) + "x1b.png"
    True
    """
    return "".join(letter if letter.isprintable() else repr(letter)[1:-1] for letter in text)


def shell_word(text: str | Path) -> str:
    """A path or a name as one word of a command that is shown, which a shell takes as it is.

    >>> shell_word("my photos"), shell_word("photos")
    ("'my photos'", 'photos')
    """
    return printable(shlex.quote(str(text)))


def inert(text: str) -> str:
    """A text as CSV holds it, so that no spreadsheet runs it as a formula: `'` before one that begins like one.

    A text that begins with `'` gets one more, so that taking one off gives every text back.

    >>> inert("=cmd()"), inert("cat"), inert("'tis")
    ("'=cmd()", 'cat', "''tis")
    """
    return "'" + text if text.startswith(("=", "+", "-", "@", "\t", "\r", "'")) else text
