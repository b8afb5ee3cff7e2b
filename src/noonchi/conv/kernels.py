"""Kernels that have a name, and kernels as numbers."""

import numpy as np
import numpy.typing as npt

from noonchi.errors import SettingsError, did_you_mean

Matrix = npt.NDArray[np.float64]

KERNELS = {
    "identity": "0 0 0; 0 1 0; 0 0 0",
    "mean": "1/9 1/9 1/9; 1/9 1/9 1/9; 1/9 1/9 1/9",
    "gaussian": "1/16 1/8 1/16; 1/8 1/4 1/8; 1/16 1/8 1/16",
    "sharpen": "0 -1 0; -1 5 -1; 0 -1 0",
    "laplace": "0 1 0; 1 -4 1; 0 1 0",
    "emboss": "-2 -1 0; -1 1 1; 0 1 2",
    "sobel-x": "-1 0 1; -2 0 2; -1 0 1",
    "sobel-y": "-1 -2 -1; 0 0 0; 1 2 1",
}
"""Classic ones, as they are multiplied: not turned over. `sobel-x` answers where it gets lighter to the right."""

_MOST_VALUES = 10_000
_LARGEST = 1_000_000


def numbers(option: str, text: str) -> Matrix:
    """Rows of numbers (height, width); `;` or a new line ends a row, spaces or commas part its numbers.

    >>> numbers("--matrix", "1 0; 1/2 -1").tolist()
    [[1.0, 0.0], [0.5, -1.0]]

    Raises SettingsError.
    """
    rows = [row.replace(",", " ").split() for row in text.replace("\n", ";").split(";")]
    rows = [row for row in rows if row]
    if not rows:
        raise SettingsError(f'{option}: it holds no numbers; write rows as "1 2 3; 4 5 6".')
    if len({len(row) for row in rows}) > 1:
        lengths = ", ".join(str(len(row)) for row in rows)
        raise SettingsError(f'{option}: its rows have {lengths} numbers; each needs as many, as in "1 2 3; 4 5 6".')
    if len(rows) * len(rows[0]) > _MOST_VALUES:
        raise SettingsError(f"{option}: {len(rows)}x{len(rows[0])} numbers came; at most {_MOST_VALUES:,} are walked.")
    return np.array([[_number(option, value) for value in row] for row in rows])


def weights_of(text: str) -> Matrix:
    """A kernel (height, width) by its name or its numbers. Raises SettingsError.

    >>> weights_of("sobel-y")[0].tolist()
    [-1.0, -2.0, -1.0]
    """
    if text in KERNELS:
        return numbers(text, KERNELS[text])
    if any(letter.isalpha() for letter in text.replace("e", "")):
        raise SettingsError(
            f"--weights '{text}' is no kernel. {did_you_mean(text, KERNELS)} Or write numbers: \"1 0; 0 -1\"."
        )
    return numbers("--weights", text)


def _number(option: str, text: str) -> float:
    above, _, below = text.partition("/")
    try:
        number = float(above) / float(below or 1)
    except (ValueError, ZeroDivisionError):
        raise SettingsError(f"{option}: '{text}' is not a number; 3, -0.5 or 1/9 would be.") from None
    if not abs(number) <= _LARGEST:
        raise SettingsError(f"{option}: {text} came; numbers are at most {_LARGEST:,} here.")
    return number
