"""What a person sees of a look in the terminal; where there are no colours, it is plain text."""

from collections.abc import Iterator

import numpy as np
from rich import box
from rich.cells import cell_len
from rich.color import Color
from rich.console import Console
from rich.style import Style
from rich.table import Table
from rich.text import Text

from noonchi.look import Look
from noonchi.look.picture import Answer, Images
from noonchi.results import Head, printable

MOST_WIDTH = 120
"""Columns of a terminal to use at most: all 28 of a digit's numbers take 111."""
_MOST_CLASSES = 40
"""Rows of counts for a head."""
_GREY_ROWS, _COLOUR_ROWS = 28, 8
"""Rows of numbers: a whole digit of MNIST; of a photo, three matrices on one screen."""
_CHANNELS = {1: {"grey": (1, 1, 1)}, 3: {"red": (1, 0, 0), "green": (0, 1, 0), "blue": (0, 0, 1)}}
_BRIGHT = 140
"""Luminance from which black letters are easier to read than white ones."""


def show(look: Look, console: Console) -> None:
    """How many pictures there are of each class; one picture's labels and numbers, as many as fit; where the sheet is.

    Of a picture that is wider or higher than what fits, the liveliest part is shown.
    """
    recipe = printable(look.run.recipe)
    console.print(Text(f"{look.index.name}: {sum(look.splits.values()):,} pictures, for recipe {recipe}"))
    counts = _counts(look)
    needed = console.measure(counts, options=console.options.update(width=MOST_WIDTH)).minimum
    if console.width < needed:
        counts.width = needed  # its lines go on in the terminal's next, rather than lose digits
    console.print(counts, crop=False)
    console.print(_about(look, console.width))
    for matrix in _matrices(look.picture.levels, console.width):
        console.print(matrix)
    if not look.run.augment.active:
        console.print(Text(f"recipe {recipe} augments nothing: the sheet shows originals only"))
    console.print(Text(f"sheet in {printable(str(look.sheet))}"))


def _counts(look: Look) -> Table:
    table = Table(box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0))
    table.add_column("class", overflow="fold", min_width=8)
    for split in (*look.splits, "all"):
        table.add_column(split, justify="right", no_wrap=True)
    for head in look.index.heads:
        if len(look.index.heads) > 1:
            table.add_row(Text(f"{printable(head.name)}:"))
        counts = look.index.counts(head.name)
        for name in head.classes[:_MOST_CLASSES]:
            numbers = [of_class[name] for of_class in counts.values()]
            table.add_row(Text(printable(name)), *(f"{number:,}" for number in (*numbers, sum(numbers))))
        if len(head.classes) > _MOST_CLASSES:
            table.add_row(Text(f"and {len(head.classes) - _MOST_CLASSES:,} more"))
        table.add_section()
    totals = (*look.splits.values(), sum(look.splits.values()))
    table.add_row("pictures", *(f"{total:,}" for total in totals))
    return table


def _about(look: Look, width: int) -> Table:
    picture = look.picture
    height, wide, channels = picture.levels.shape
    table = Table.grid(padding=(0, 2))
    table.add_row("picture", Text(f"{printable(picture.id)} (number {picture.number}, in {picture.split})"))
    table.add_row("source", picture.source)
    levels = f"levels {picture.levels.min()} to {picture.levels.max()}"
    table.add_row("for the network", f"{height}x{wide}x{channels}, {levels}")
    for head in look.index.heads:
        answer = picture.answers[head.name]
        numbered = zip(answer.classes, answer.numbers, strict=True)
        classes = ", ".join(f"{printable(name)} (class {number})" for name, number in numbered)
        table.add_row(Text(printable(head.name)), Text(classes or "none of its classes"))
        table.add_row("one-hot" if head.kind != "labels" else "multi-hot", _ones(head, answer, width - 17))
    return table


def _ones(head: Head, answer: Answer, width: int) -> Text:
    """Each number under its class, if that fits in a line; else the ones alone."""
    names = [printable(name) for name in head.classes]
    widths = [cell_len(name) for name in names]
    if sum(widths) + len(widths) > width:
        ones = ", ".join(map(str, answer.numbers))
        return Text(f"{len(names):,} numbers: " + (f"1 at {ones}, else 0" if ones else "all 0"))
    numbers = (f"{one:>{space}}" for one, space in zip(answer.one_hot, widths, strict=True))
    return Text(f"{' '.join(names)}\n{' '.join(numbers)}")


def _matrices(levels: Images, width: int) -> Iterator[Text]:
    """A block of numbers for each channel, under a line that says which part it is."""
    height, wide, channels = levels.shape
    columns = _liveliest(levels, (width + 1) // 4, axis=1)
    rows = _liveliest(levels[:, columns], _GREY_ROWS if channels == 1 else _COLOUR_ROWS, axis=0)
    where = f"rows {rows.start + 1} to {rows.stop} of {height}, columns {columns.start + 1} to {columns.stop} of {wide}"
    for channel, (name, light) in enumerate(_CHANNELS[channels].items()):
        lines = [_row(row, light) for row in levels[rows, columns, channel].tolist()]
        yield Text("\n").join([Text(f"\n{name}: {where}", "bold"), *lines])
    yield Text()


def _liveliest(levels: Images, length: int, axis: int) -> slice:
    """The stretch of at most `length` rows (`axis` 0) or columns in which neighbours differ most."""
    across = np.abs(np.diff(levels.astype(np.int64), axis=1 - axis)).sum(axis=(1 - axis, 2))
    length = max(1, min(length, len(across)))
    start = int(np.convolve(across, np.ones(length), "valid").argmax())
    return slice(start, start + length)


def _row(levels: list[int], light: tuple[int, int, int]) -> Text:
    """Numbers in columns, each on a ground of its level."""
    row = Text()
    for at, level in enumerate(levels):
        red, green, blue = (level * share for share in light)
        bright = 0.299 * red + 0.587 * green + 0.114 * blue >= _BRIGHT
        ink = Color.from_rgb(0, 0, 0) if bright else Color.from_rgb(255, 255, 255)
        gap = " " if at < len(levels) - 1 else ""
        row.append(f"{level:3d}{gap}", Style(color=ink, bgcolor=Color.from_rgb(red, green, blue)))
    return row
