"""What the page says, in each language: `words.toml`."""

import tomllib
from collections.abc import Mapping
from functools import cache
from importlib.resources import files as package_files
from typing import Literal

from noonchi.explain.maps import HeatMap

Language = Literal["en", "ko"]
Words = Mapping[str, str]


@cache
def words_of(language: Language) -> Words:
    """The page's texts by their names, with braces for what differs.

    >>> words_of("ko")["class"]
    '클래스'
    """
    tables: dict[str, Words] = tomllib.loads(package_files(__package__).joinpath("words.toml").read_text("utf-8"))
    return tables[language]


def verdicts(heat_map: HeatMap, language: Language = "en") -> list[str]:
    """What a heat map's checks say: hiding its hot region, and, unless it is empty, random weights."""
    words, checks = words_of(language), heat_map.checks
    assert checks
    hiding = words[checks.effect].format(**shares(heat_map))
    if heat_map.empty:
        return [hiding]
    other = words["alike" if checks.like_untrained else "unlike"]
    return [hiding, other.format(similarity=f"{checks.similarity:.2f}")]


def shares(heat_map: HeatMap) -> dict[str, str]:
    """How probable the class is for the whole picture, with the hot region hidden, and with others hidden."""
    whole, checks = heat_map.probability, heat_map.checks
    assert checks
    return {
        "whole": percent(whole),
        "hidden": percent(whole - checks.hidden_drop),
        "elsewhere": percent(whole - checks.random_drop),
    }


def percent(probability: float) -> str:
    """A probability as a share of a hundred; never all or nothing, which a classifier never says.

    >>> percent(0.5), percent(0.0001), percent(0.99999)
    ('50.0 %', '<0.1 %', '>99.9 %')
    """
    if probability < 0.0005:
        return "<0.1 %"
    return ">99.9 %" if probability >= 0.9995 else f"{100 * probability:.1f} %"
