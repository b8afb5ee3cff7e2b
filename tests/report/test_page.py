"""The page: its texts in each language, its colours, and what a screen reader meets."""

import re
import string
from importlib.resources import files
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from noonchi.answers import Answers
from noonchi.pixels.thumbnails import thumbnails
from noonchi.report.outcome import outcome
from noonchi.report.page import Contents, render
from noonchi.report.texts import language
from noonchi.results import Epoch, Head
from noonchi.settings import RunSettings
from pages import Page

HEADS = {
    "classes": Head("pet", "classes", ("cat", "dog", "owl")),
    "binary": Head("odd", "binary", ("even", "odd")),
    "labels": Head("tags", "labels", ("sea", "sun", "sand")),
    "many": Head("many", "classes", tuple(f"class {number}" for number in range(60))),
}


def contents(*kinds, **more):
    """Of 120 pictures, answered by chance."""
    numbers, outcomes = np.random.default_rng(0), []
    names = np.array([f"test/{number}.png" for number in range(120)])
    for kind in kinds or ("classes",):
        head = HEADS[kind]
        labels = numbers.integers(len(head.classes), size=120)
        said = numbers.dirichlet(np.ones(len(head.classes)), 120)
        if head.kind != "classes":
            labels, said = (said > 0.4).astype(np.uint8), numbers.random((120, head.outputs))
        labels = labels[:, 0] if head.kind == "binary" else labels
        answers = Answers((head,), names, names, {head.name: labels}, {head.name: said})
        outcomes.append(outcome(head, answers))
    [small] = thumbnails([np.zeros((8, 8, 1), np.uint8)])
    usual = {
        "folder": Path("runs/pets-1"),
        "run": RunSettings(data={"source": "pets"}, device={"threads": 2}),
        "history": [Epoch(n, {"loss": 1 / n, "val_loss": 2 / n}, 1e-3, 1.5) for n in (1, 2, 3)],
        "kept": 2,
        "seconds": 4.5,
        "split": "test",
        "outcomes": outcomes,
        "sizes": {"train": 900, "test": 120},
        "counts": {"pet": {"train": {"cat": 900}, "test": {"cat": 120}}},
        "findings": [("warning", "no test picture of 'owl'")],
        "notes": ["a note"],
        "begun": "2026-01-31 12:00:00",
        "ended": "2026-01-31 12:00:05",
        "versions": {"torch": "2.13.0", "machine": "some processor"},
        "unusable": [("a.png", "it is cut off")],
        "thumbnails": {case.name: small for one in outcomes for case in one.cases},
    }
    return Contents(**usual | more)


@pytest.fixture(params=["en", "ko"])
def page(request):
    return Page(render(contents("classes", "binary", "labels", "many"), request.param))


# Texts


def test_every_language_has_every_text_with_the_same_values():
    english, korean = language("en").texts, language("ko").texts
    assert list(english) == list(korean)
    for key in english:
        values = [
            sorted(str(part[1]) for part in string.Formatter().parse(text)) for text in (english[key], korean[key])
        ]
        named = [[name for name in one if name.isidentifier() and name != "None"] for one in values]
        assert named[0] == named[1], key


def test_every_text_is_used():
    package = files("noonchi.report")
    source = "".join(
        package.joinpath(name).read_text(encoding="utf-8") for name in ("page.html", "page.py", "texts.py")
    )
    built = {"examples_some", "about_accuracy_labels"} | {
        f"{name}_about" for name in ("mistakes", "unsure", "examples")
    }
    built |= {
        "train",
        "val",
        "test",
        "of_train",
        "of_val",
        "of_test",
        "error",
        "warning",
        "note",
        "memory_only",
        "gone",
    }
    built |= {f"{name}_one" for name in ("epochs", "pictures", "answers", "threads")}
    assert [key for key in language("en").texts if key not in built and f'"{key}"' not in source] == []


def test_the_korean_page_is_in_korean_and_says_so(page):
    [html] = page.all("html")
    headings = re.findall("[가-힣]+", page.text)
    assert (len(headings) > 300) == (html["lang"] == "ko")


# For everybody


def test_headings_go_down_one_level_at_a_time(page):
    levels = [int(tag[1]) for tag, _ in page.tags if re.fullmatch("h[1-6]", tag)]
    assert levels[:2] == [1, 2]
    assert levels.count(1) == 1
    assert all(later - former <= 1 for former, later in pairwise(levels))


def test_pictures_charts_and_tables_say_what_they_are(page):
    assert all(one["alt"] for one in page.all("img"))
    assert all(one.get("aria-label") for one in page.all("svg") if one.get("role") == "img")
    assert all(one.get("scope") in ("row", "col") for one in page.all("th"))
    assert all(one["aria-label"] and one["tabindex"] == "0" for one in page.all("div") if one.get("role") == "region")
    named = {one["id"] for _, one in page.tags if "id" in one}
    assert {one["aria-labelledby"] for one in page.all("section")} <= named
    assert {one["href"].removeprefix("#") for one in page.all("a")} <= named


def test_ids_are_there_once(page):
    ids = [one["id"] for _, one in page.tags if "id" in one]
    assert len(ids) == len(set(ids))


def luminance(colour):
    parts = [int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)]
    linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(one, other):
    """As WCAG 2 defines it."""
    low, high = sorted((luminance(one), luminance(other)))
    return (high + 0.05) / (low + 0.05)


TEXTS = [(ink, ground) for ink in ("ink", "quiet", "link", "validation") for ground in ("ground", "card")]
TEXTS += [("ink", "warn-ground"), *((ink, "ground") for ink in ("error", "warn", "note"))]
TEXTS += [("ink", f"{kind}{step}") for kind in "rw" for step in (1, 2, 3)]
TEXTS += [(f"{kind}-deep", f"{kind}{step}") for kind in "rw" for step in (4, 5)]


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
def test_every_text_stands_out_from_its_ground(dark):
    style = files("noonchi.report").joinpath("style.css").read_text(encoding="utf-8")
    light_part, dark_part = style.split("@media (prefers-color-scheme: dark)")[:2]
    colours = dict(re.findall(r"--([\w-]+): (#\w{6});", dark_part if dark else light_part))
    found = {(ink, ground): contrast(colours[ink], colours[ground]) for ink, ground in TEXTS}
    assert {pair: one for pair, one in found.items() if one < 4.5} == {}


# What it tells


def test_a_head_has_its_own_section_and_only_one_class_a_picture_a_matrix():
    text = render(contents("classes", "labels"))
    assert "“pet” on the test pictures" in text
    assert "“tags” on the test pictures" in text
    assert text.count('class="matrix') == 1


def test_many_classes_have_their_weakest_and_their_pairs_shown():
    text = render(contents("many"))
    assert 'class="matrix' not in text
    assert "Most often confused" in text
    assert "The 20 classes with the lowest F1, of 60." in text
    assert "All 60 classes" in text


def test_without_test_pictures_it_says_whose_the_figures_are():
    assert "these figures are of the validation pictures" in render(contents(split="val"))
    assert "Answers on the validation pictures" in render(contents(split="val"))
    assert "neither test nor validation pictures" in render(contents(split=None, outcomes=[]))


def test_the_test_pictures_that_chose_the_epoch_are_called_too_good():
    run = RunSettings(data={"validate_on_test": True})
    assert "the test figures are a little too good" in render(contents(run=run))


def test_it_names_the_command_that_repeats_the_run():
    assert "noonchi train pets --recipe runs/pets-1/recipe.toml" in Page(render(contents())).text
    own = RunSettings(data={"source": "my pets"}, model={"network": "my.py:net"})
    assert (
        "noonchi train 'my pets' --recipe runs/pets-1/recipe.toml --trust-code" in Page(render(contents(run=own))).text
    )
    assert (
        "noonchi.train((images, labels), 'runs/pets-1/recipe.toml')" in Page(render(contents(run=RunSettings()))).text
    )


def test_a_long_training_stays_a_small_page():
    history = [Epoch(n, {"loss": 1 / n, "val_loss": 2 / n}, 1e-3, 1.0) for n in range(1, 20_001)]
    text = render(contents(history=history))
    assert "201 of 20000 epochs" in text
    assert len(text) < 1_000_000


def test_control_codes_in_names_become_escapes():
    assert "\x1b" not in render(contents(notes=["a\x1b[31mb"], folder=Path("r\x1bun")))
