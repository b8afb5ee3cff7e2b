"""What benchmarks with sides share: their options, who takes part and by what command, and ratios."""

import argparse
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import processes
from processes import Measured, Turn
from reporting import spread

HERE = Path(__file__).parent
Pythons = Mapping[str | None, Path]
"""The interpreter of each environment."""


@dataclass(frozen=True)
class Side:
    """One way to do the work: a script of sides/, its last arguments, and its environment, None for noonchi's own."""

    script: str
    arguments: tuple[str, ...] = ()
    environment: str | None = None


def options(about: str, *, starts: int, turns: int) -> argparse.ArgumentParser:
    """The options that every benchmark with sides takes."""
    parser = argparse.ArgumentParser(description=about, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--peers", type=Path, default=HERE / ".peers", help="where the peers' environments are made")
    parser.add_argument("--starts", type=int, default=starts, help="processes of each side, one after the other")
    parser.add_argument("--turns", type=int, default=turns, help="turns of each; its first is told apart")
    parser.add_argument("--only", nargs="+", default=[""], help="noonchi and the sides whose names hold one of these")
    parser.add_argument("--toy", action="store_true", help="a small size; only peers whose environment is there")
    return parser


def at_hand(sides: Mapping[str, Side], given: argparse.Namespace) -> tuple[dict[str, Side], Pythons]:
    """The sides that are asked for and whose environment is there, and the interpreters of those; made unless a toy."""
    chosen = {name: side for name, side in sides.items() if any(text in name for text in ["noonchi", *given.only])}
    names = dict.fromkeys(side.environment for side in chosen.values())
    found = {name: processes.python_of(name, given.peers, make=not given.toy) for name in names}
    pythons = {name: python for name, python in found.items() if python}
    return {name: side for name, side in chosen.items() if side.environment in pythons}, pythons


def commands(sides: Mapping[str, Side], pythons: Pythons, *work: object) -> dict[str, list[str]]:
    """What starts each side; `work` is what all are given."""
    return {
        name: [str(pythons[side.environment]), str(HERE / "sides" / side.script), *map(str, work), *side.arguments]
        for name, side in sides.items()
    }


def named(name: str, measured: Measured) -> str:
    """A side, and why it failed."""
    return f"{name} ({measured.failure})" if measured.failure else name


def ratio(turns: Mapping[Turn, float], base: Mapping[Turn, float]) -> str:
    """Turn by turn, so that the comparison holds where the machine's speed drifts."""
    return spread(value / base[turn] for turn, value in turns.items() if turn in base)
