"""The texts of the report's page in each of its languages, `en.toml` and `ko.toml`, and how each writes numbers."""

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files as package_files
from typing import Literal

LanguageCode = Literal["en", "ko"]


@dataclass(frozen=True)
class Language:
    """A language's texts, and how it writes numbers."""

    code: LanguageCode
    texts: Mapping[str, str]

    def __call__(self, key: str, *values: object, **named: object) -> str:
        """A text with its values put in."""
        return self.texts[key].format(*values, **named) if values or named else self.texts[key]

    def count(self, key: str, number: int) -> str:
        """A number of things.

        >>> language("en").count("pictures", 1), language("en").count("pictures", 1200)
        ('1 picture', '1,200 pictures')
        """
        return self(f"{key}_one") if number == 1 else self(key, number)

    def share(self, share: float | None, decimals: int = 1) -> str:
        """A share in hundredths.

        >>> language("en").share(0.5), language("ko").share(0.5, 0)
        ('50.0 %', '50%')
        """
        return self("undefined") if share is None else self("percent", 100 * share, decimals=decimals)

    def range(self, ends: tuple[float, float], decimals: int = 1) -> str:
        """An interval of a share in hundredths."""
        return self("range", low=100 * ends[0], high=100 * ends[1], decimals=decimals)

    def time(self, seconds: float) -> str:
        """A duration.

        >>> [language("en").time(seconds) for seconds in (7.64, 61, 7300)]
        ['7.6 s', '1 min 01 s', '2 h 01 min']
        """
        if seconds < 59.95:
            return self("seconds", seconds)
        minutes, rest = divmod(round(seconds), 60)
        return self("minutes", minutes, rest) if minutes < 60 else self("hours", *divmod(minutes, 60))


@cache
def language(code: LanguageCode) -> Language:
    """A language with its texts."""
    return Language(
        code, tomllib.loads(package_files(__package__).joinpath(f"{code}.toml").read_text(encoding="utf-8"))
    )
