"""A look at data: what is counted, printed and drawn is what is there, and what training will meet."""

import csv
import io
import itertools
import json
import re
from dataclasses import replace

import numpy as np
import pytest
import torch
from fontTools.fontBuilder import FontBuilder
from fontTools.pens.ttGlyphPen import TTGlyphPen
from matplotlib import font_manager
from PIL import Image
from rich.console import Console

from noonchi import batches, pixels, sources
from noonchi.errors import DataError, SettingsError
from noonchi.look import examples, letters, look, sheet, text
from noonchi.look.picture import answer
from noonchi.results import Head
from noonchi.settings import AugmentSettings, PixelSettings

HANGUL = "눈"


def draw_folder(root, *classes, count=12, side=8):
    """Colour pictures of noise, different in each file."""
    for number, name in enumerate(classes):
        (root / name).mkdir(parents=True)
        for picture in range(count):
            levels = np.random.default_rng(100 * number + picture).integers(0, 256, (side, side, 3), np.uint8)
            Image.fromarray(levels).save(root / name / f"{picture}.png")
    return root


def quietly(event):
    """Nobody looks."""


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def seen_at(seen, width, **options):
    """What a terminal of this width shows."""
    console = Console(width=width, file=io.StringIO(), highlight=False, **options)
    text.show(seen, console)
    return console.file.getvalue()


def one_line(answer, code):
    """The error's line; before it may come which recipe was picked."""
    assert (answer.code, answer.out) == (code, "")
    [*notes, line] = answer.err.splitlines()
    assert all(note.startswith("recipe ") for note in notes)
    assert line.startswith("noonchi: ")
    return line


# What training will meet


@pytest.fixture
def training():
    """20 colour pictures in steps of 6; each has its own number as label."""
    frames = np.random.default_rng(2).integers(0, 256, (20, 12, 10, 3), dtype=np.uint8)
    settings = AugmentSettings(rotation_degrees=40, zoom=0.2, brightness=0.2, erasing=0.3)
    shape = PixelSettings(size=(12, 10), channels=3, mean=(0.1, 0.2, 0.3), std=(0.5, 0.6, 0.7))
    head = Head("number", "classes", tuple(map(str, range(20))))
    positions = np.random.default_rng(1).permutation(20)[:15]
    return batches.Batches(
        frames, {"number": np.arange(20)}, positions, (head,), shape, size=6, seed=3, augment=settings
    )


def drawn_by(training, epoch):
    """Each picture of an epoch by its number, as `in_epoch` gives it."""
    return examples.in_epoch(training, dict.fromkeys(training.positions.tolist()), epoch)


@pytest.mark.parametrize("epoch", [1, 2])
def test_an_example_is_bit_for_bit_what_the_epochs_batch_holds(training, epoch):
    shown = drawn_by(training, epoch)
    for batch in training.of_epoch(epoch):
        for image, number in zip(batch.images, batch.targets["number"].tolist(), strict=True):
            levels = torch.from_numpy(shown.pop(number).levels)
            assert torch.equal(pixels.normalise(levels[None], training.pixels)[0], image)
    assert shown == {}


def test_where_nothing_is_varied_examples_are_the_pictures_themselves(training):
    shown = drawn_by(replace(training, augment=AugmentSettings()), 1)
    assert all((example.levels == training.frames[number]).all() for number, example in shown.items())


def test_a_mixed_example_names_the_other_pictures_class_and_part(training):
    mixed = replace(training, augment=AugmentSettings(mixup=1.0))
    shown = drawn_by(mixed, 1)
    batch = next(mixed.of_epoch(1))
    for number, other in zip(batch.targets["number"].tolist(), batch.mixed.targets["number"].tolist(), strict=True):
        assert shown[number].caption == f"+ {batch.mixed.share:.0%} {other}"


def test_a_row_is_an_original_and_then_its_epochs(training):
    [group, *_] = [group for group in examples.groups(training, ["a.jpg"] * 20, 4) if group.rows]
    [[original, *epochs]] = group.rows
    number = int(group.name)
    assert (original.levels == training.frames[number]).all()
    assert original.caption == "a.jpg"
    for epoch, example in enumerate(epochs, 1):
        assert (example.levels == drawn_by(training, epoch)[number].levels).all()


def test_a_class_without_training_pictures_is_named_all_the_same(training):
    groups = examples.groups(training, [""] * 20, 4)
    assert [group.name for group in groups] == [str(number) for number in range(20)]
    assert sorted(group.total for group in groups) == [0] * 5 + [1] * 15
    assert size_of(io.BytesIO(sheet.draw("title", [], [], groups))) > (100, 100)


def test_the_first_twenty_of_many_classes_are_drawn(here):
    images = np.random.default_rng(0).integers(0, 256, (60, 8, 8), np.uint8)
    seen = look((images, np.arange(60) % 30), "small-pictures", show=quietly)
    index = sources.load((images, np.arange(60) % 30))
    training = batches.of_split(index.array, index, "train", seen.run)
    assert [group.number for group in examples.groups(training, index.ids, 4)] == list(range(20))


# The sheet


def colours_of(path):
    """The distinct colours of a picture, as tuples."""
    with Image.open(path) as image:
        return {colour for _, colour in image.getcolors(image.width * image.height)}


def size_of(path):
    with Image.open(path) as image:
        assert image.format == "PNG"
        return image.size


def flat(number):
    """A colour for each number that no ink on the sheet has."""
    return (250, 10 + number, 3)


@pytest.fixture
def flat_colours():
    """40 pictures of one colour each, of two classes."""
    images = np.array([flat(number) for number in range(40)], np.uint8)
    return np.repeat(images, 64, axis=0).reshape(40, 8, 8, 3), np.arange(40) % 2


def test_a_sheet_shows_training_pictures_only_and_unchanged_where_nothing_is_augmented(here, flat_colours):
    seen = look(flat_colours, show=quietly)
    shown = {number for number in range(40) if flat(number) in colours_of(seen.sheet)}
    assert len(shown) >= 20
    assert {seen.index.splits[number] for number in shown} == {"train"}
    assert "augments nothing: the sheet shows originals only" in seen_at(seen, 80)


def test_an_augmented_sheet_shows_other_colours_that_the_seed_decides(here, flat_colours):
    bright = ["augment.brightness=0.5"]
    one, same, other = (
        colours_of(look(flat_colours, overrides=bright, seed=seed, out=f"{name}.png", show=quietly).sheet)
        for name, seed in (("one", 1), ("same", 1), ("other", 2))
    )
    assert one == same != other
    assert any(flat(number) in one for number in range(40))
    assert any(red < 230 and green < 60 and blue <= 3 for red, green, blue in one)


def test_a_sheet_takes_the_place_of_an_older_one_and_leaves_nothing_else(here, flat_colours):
    (here / "arrays-look.png").write_text("old")
    seen = look(flat_colours, show=quietly)
    assert size_of(seen.sheet)
    assert [path.name for path in here.iterdir()] == ["arrays-look.png"]


@pytest.mark.parametrize("shape", [(1, 1, 1), (1, 3000, 3), (3000, 1, 1), (400, 300, 3)])
def test_pictures_of_any_shape_have_a_sheet_of_a_size_to_look_at(here, shape):
    images = np.random.default_rng(0).integers(0, 256, (30, *shape), np.uint8)
    seen = look((images, np.arange(30) % 2), "small-pictures", show=quietly)
    assert 400 <= size_of(seen.sheet)[0] <= 1900
    assert seen_at(seen, 80)


# Names


@pytest.fixture
def hangul_font(tmp_path):
    """A font that has 눈 and what escapes need, among matplotlib's for as long as the test runs."""
    pen = TTGlyphPen(None)
    pen.moveTo((0, 0))
    pen.lineTo((0, 500))
    pen.lineTo((500, 500))
    pen.closePath()
    letter_of = {f"glyph{ord(letter)}": letter for letter in HANGUL + letters._ALWAYS}
    glyphs = [".notdef", *letter_of]
    font = FontBuilder(1000)
    font.setupGlyphOrder(glyphs)
    font.setupCharacterMap({ord(letter): glyph for glyph, letter in letter_of.items()})
    font.setupGlyf({name: pen.glyph() for name in glyphs})
    font.setupHorizontalMetrics(dict.fromkeys(glyphs, (600, 0)))
    font.setupHorizontalHeader(ascent=800, descent=-200)
    font.setupNameTable({"familyName": " Test Sans", "styleName": "Regular"})
    font.setupOS2()
    font.setupPost()
    font.save(tmp_path / "hangul.ttf")
    font_manager.fontManager.addfont(tmp_path / "hangul.ttf")
    letters._font_for.cache_clear()
    yield tmp_path / "hangul.ttf"
    font_manager.fontManager.ttflist.pop()
    letters._font_for.cache_clear()


def test_a_name_is_drawn_in_a_font_that_has_its_letters(hangul_font):
    drawn = letters.lettered(HANGUL, 20)
    assert (drawn.text, drawn.font.path) == (HANGUL, str(hangul_font))


def test_of_a_name_in_letters_that_no_font_has_wholly_the_missing_are_escaped(hangul_font):
    drawn = letters.lettered(f"{HANGUL}\U0001b170", 20)
    face = font_manager.get_font(drawn.font.path)
    assert all(face.get_char_index(ord(letter)) for letter in drawn.text)
    assert drawn.text in (f"{HANGUL}\\U0001b170", f"{HANGUL}\U0001b170", "\\ub208\U0001b170", "\\ub208\\U0001b170")


@pytest.mark.parametrize("name", ["고양이", "猫", "قط", "🐈", "a\nb\x1b[2J", "\u202egnp", "x" * 300, ""])
def test_no_name_is_drawn_as_empty_boxes_or_beyond_its_place(name):
    drawn = letters.lettered(name, 13, most_width=100)
    face = font_manager.get_font(drawn.font.path)
    assert all(face.get_char_index(ord(letter)) for letter in drawn.text)
    assert drawn.width <= 100


def test_names_from_anywhere_reach_neither_markup_nor_control_codes(noonchi, here):
    draw_folder(here / "data", "[red]x", "a\x1b[2J\n", "고양이")
    answer = noonchi("look", "data")
    assert answer.code == 0, answer.err
    assert "[red]x" in answer.out
    assert "고양이" in answer.out
    assert [letter for letter in answer.out if not letter.isprintable() and letter != "\n"] == []


# Counts and labels


def write_table(folder):
    draw_folder(folder, "a", "b")
    with (folder / "table.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["path", "pet", "scene"])
        for number in range(24):
            writer.writerow([f"{'ab'[number // 12]}/{number % 12}.png", ["cat", "dog"][number % 2], "xyz"[number % 3]])
    return folder / "table.csv"


def write_npz(folder):
    images = np.random.default_rng(0).integers(0, 256, (24, 8, 8), np.uint8)
    np.savez(folder / "a.npz", x=images, y=np.arange(24) % 3)
    return folder / "a.npz"


@pytest.mark.parametrize(
    ("make", "heads"),
    [
        (lambda folder: draw_folder(folder / "data", "cat", "dog"), {"label": ["cat", "dog"]}),
        (write_table, {"pet": ["cat", "dog"], "scene": ["x", "y", "z"]}),
        (write_npz, {"label": ["0", "1", "2"]}),
    ],
)
def test_json_counts_each_class_of_each_head_by_split(noonchi, here, make, heads):
    answer = noonchi("look", make(here), "--json", "--out", "sheet.png")
    told = json.loads(answer.out)
    assert answer.out.count("\n") == 1
    assert (told["pictures"], told["sheet"]) == (24, "sheet.png")
    assert {name: head["classes"] for name, head in told["heads"].items()} == heads
    for head in told["heads"].values():
        assert {split: sum(counts.values()) for split, counts in head["counts"].items()} == told["splits"]
    assert list(told["picture"]["labels"]) == list(heads)


def test_json_holds_the_whole_picture_and_its_labels(noonchi, here):
    picture = np.asarray(Image.open(draw_folder(here / "data", "cat", "dog") / "dog" / "3.png"))
    told = json.loads(noonchi("look", "data", "--picture", "dog/3.png", "--json").out)["picture"]
    assert (told["id"], told["number"], told["shape"]) == ("dog/3.png", 17, [8, 8, 3])
    assert told["matrix"] == picture.tolist()
    assert told["labels"] == {"label": {"classes": ["dog"], "numbers": [1], "one_hot": [0, 1]}}


def test_the_first_training_picture_is_shown_unless_another_is_named(noonchi, here):
    write_npz(here)
    index = sources.load(here / "a.npz")
    first = json.loads(noonchi("look", "a.npz", "--json").out)["picture"]
    other = json.loads(noonchi("look", "a.npz", "--picture", "5", "--json").out)["picture"]
    assert first["number"] == index.positions("train")[0]
    assert (other["id"], np.array(other["matrix"]).shape) == (index.ids[5], (8, 8))


def test_several_labels_are_a_one_each():
    several = answer(Head("in", "labels", ("cat", "dog", "owl")), np.array([1, 0, 1], np.uint8))
    assert (several.classes, several.numbers, several.one_hot) == (("cat", "owl"), (0, 2), (1, 0, 1))


def test_pictures_with_several_labels_are_looked_at_under_each(here):
    images = np.random.default_rng(0).integers(0, 256, (30, 8, 8), np.uint8)
    rows = np.stack([np.arange(30) % 2, np.arange(30) % 3 == 0, np.ones(30)], axis=1).astype(np.uint8)
    seen = look((images, rows), shown=2, overrides=["augment.mixup=1"], show=quietly)
    assert seen.picture.answers["label"].one_hot == (0, 0, 1)
    assert "multi-hot" in seen_at(seen, 80)


# The terminal


def numbers_in(shown):
    """The first block of numbers, and what stands above it."""
    block = next(block for block in shown.split("\n\n") if ": rows " in block)
    title, numbers = re.fullmatch(r"(.*?\bof\s\d+,.*?\bof\s\d+)\n([\d \n]+)", block, re.DOTALL).groups()
    return " ".join(title.split()), [[int(number) for number in line.split()] for line in numbers.splitlines()]


@pytest.fixture
def digit(here, bars):
    images, labels = bars(60, side=28)
    return look((images, labels), show=quietly)


@pytest.mark.parametrize(("width", "columns"), [(120, 28), (80, 20), (40, 10), (20, 5)])
def test_numbers_fill_the_terminals_width_and_say_which_part_they_are(digit, width, columns):
    title, rows = numbers_in(seen_at(digit, width))
    first = int(title.split("columns ")[1].split()[0]) - 1
    assert title.startswith("grey: rows 1 to 28 of 28, columns ")
    assert rows == digit.picture.levels[:, first : first + columns, 0].tolist()


@pytest.mark.parametrize("width", [120, 80, 50])
def test_no_line_is_wider_than_the_terminal(digit, width):
    assert max(map(len, seen_at(digit, width).splitlines())) <= width


def test_a_narrow_terminal_loses_no_digit_of_a_count(here):
    images = np.arange(2500 * 4, dtype=np.uint32).reshape(2500, 2, 2) % 251
    seen = look((images, np.arange(2500) % 2), "small-pictures", size=8, show=quietly)
    shown = seen_at(seen, 20)
    assert "2,500" in shown
    assert f"{seen.splits['train']:,}" in shown


def test_a_colour_picture_is_three_matrices(here):
    draw_folder(here / "data", "cat", "dog")
    seen = look("data", show=quietly)
    titles = [line.partition(":")[0] for line in seen_at(seen, 80).splitlines() if ": rows " in line]
    assert titles == ["red", "green", "blue"]
    assert numbers_in(seen_at(seen, 80))[1] == seen.picture.levels[..., 0].tolist()


def test_a_one_stands_under_its_class(digit):
    lines = seen_at(digit, 80).splitlines()
    names, ones = next((line, after) for line, after in itertools.pairwise(lines) if "one-hot" in line)
    assert names[ones.index("1")] == digit.picture.answers["label"].classes[0]


def test_in_a_terminal_with_colours_a_number_stands_on_its_level(digit):
    shown = seen_at(digit, 80, force_terminal=True, color_system="truecolor")
    level = int(digit.picture.levels.max())
    assert f"48;2;{level};{level};{level}m{level:3d}" in shown


def test_digits_are_looked_at_by_name(noonchi, here):
    answer = noonchi("look", "digits")
    assert answer.code == 0, answer.err
    assert "digits: 5,000 pictures" in answer.out
    assert (here / "digits-look.png").exists()


# Errors


@pytest.mark.parametrize(
    ("arguments", "code", "told"),
    [
        (["none"], 3, "'none' is no file, folder or built-in data set"),
        (["data", "--recipe", "photos-augmente"], 2, "photos-augmented"),
        (["data", "--set", "augment.rotation=4"], 2, "augment.rotation"),
        (["data", "--size", "0"], 2, "pixels.size"),
        (["data", "--out", "sheet.jpg"], 2, "ends in .png"),
        (["data", "--out", "none/sheet.png"], 2, "there is no folder 'none'; make it first"),
        (["data", "--out", "folder.png"], 2, "this is a folder"),
        (["data", "--out", "data/cat/0.png"], 2, "would lie among the pictures"),
        (["data", "--picture", "0.png"], 3, "give an id such as 'cat/0.png' or 'dog/0.png', or a number up to 23"),
        (["data", "--picture", "24"], 3, "a number up to 23"),
        (["data", "--picture", "dog/cut.png"], 3, "'dog/cut.png' cannot be used"),
    ],
)
def test_an_error_is_one_line_and_leaves_nothing(noonchi, here, arguments, code, told):
    draw_folder(here / "data", "cat", "dog")
    (here / "folder.png").mkdir()
    if "dog/cut.png" in arguments:
        (here / "data" / "dog" / "cut.png").write_bytes(b"")
    before = sorted(here.rglob("*"))
    assert told in one_line(noonchi("look", *arguments), code)
    assert sorted(here.rglob("*")) == before


def test_a_bad_place_for_the_sheet_is_refused_before_any_picture_is_read(here):
    shown = []
    with pytest.raises(SettingsError, match=r"there is no folder 'none'"):
        look(draw_folder(here / "data", "cat", "dog"), out="none/sheet.png", show=shown.append)
    assert shown == []


def test_a_picture_that_breaks_off_is_not_shown_as_black(here):
    data = draw_folder(here / "data", "cat", "dog")
    whole = (data / "cat" / "0.png").read_bytes()
    (data / "cat" / "0.png").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(DataError, match=r"'cat/0.png' cannot be used: "):
        look("data", shown="cat/0.png", overrides=["data.max_unusable=0.5"], show=quietly)


def test_data_without_training_pictures_are_refused(here):
    for split, broken in (("train", True), ("val", False)):
        for path in draw_folder(here / "data" / split, "cat", "dog").rglob("*.png"):
            path.write_bytes(path.read_bytes()[: 60 if broken else None])
    with pytest.raises(DataError, match="'data' has pictures in val but none to train on"):
        look("data", overrides=["data.max_unusable=0.9"], show=quietly)


def test_the_folder_in_which_one_stands_is_not_written_to_if_it_holds_the_pictures(here, monkeypatch):
    monkeypatch.chdir(draw_folder(here / "data", "cat", "dog"))
    with pytest.raises(SettingsError, match="would lie among the pictures"):
        look(".", show=quietly)
    look(".", out="../sheet.png", show=quietly)
    assert (here / "sheet.png").exists()
