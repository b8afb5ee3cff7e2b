"""The page of a comparison: whole, readable by anyone, and inert whatever names hold."""

import re
from html.parser import HTMLParser

import numpy as np
import pytest
from PIL import Image

from finished_runs import answered, drawn_labels, names, write
from noonchi.comparison import compare
from noonchi.comparison.page import render

EVIL = "<img src=x onerror=alert(1)>"


@pytest.fixture
def page(tmp_path):
    labels, at = drawn_labels(500), np.arange(500)
    long = {
        "loss": [0.9, 0.5, 0.4],
        "accuracy": [0.6, 0.8, 0.9],
        "val_loss": [0.8, 0.6, 0.5],
        "val_accuracy": [0.7, 0.8, 0.8],
    }
    runs = [
        write(tmp_path / EVIL, answered(names(500), labels, at >= 50), history=long),
        write(tmp_path / "b", answered(names(500), labels, at >= 10), history={"loss": [0.3], "accuracy": [0.9]}),
    ]
    return render(compare(*runs))


class Tags(HTMLParser):
    def __init__(self, page):
        super().__init__()
        self.found = []
        self.feed(page)

    def handle_starttag(self, tag, attributes):
        self.found.append((tag, dict(attributes)))


def test_it_holds_the_table_the_words_and_both_runs_curves(page):
    text = re.sub(r"<[^>]+>", " ", page)
    assert "b is better than &lt;img src=x onerror=alert(1)&gt; by 8.00 points" in text
    assert "0.9000" in text
    panels = [
        attributes for tag, attributes in Tags(page).found if tag == "svg" and "by epoch" in attributes["aria-label"]
    ]
    assert [panel["aria-label"].split()[0] for panel in panels] == ["loss", "accuracy"]
    assert page.count("<polyline") == 2 * 2 + 2, "two curves of one run in each panel, one of the other"
    assert "b, epoch 1, training: 0.3" in page


def test_every_drawing_says_in_words_what_it_shows(page):
    for tag, attributes in Tags(page).found:
        if tag == "svg":
            assert attributes["role"] == "img"
            assert len(attributes["aria-label"]) > 20


def test_it_needs_nothing_else_and_runs_nothing(page):
    tags = Tags(page).found
    assert not [tag for tag, _ in tags if tag in ("script", "img", "link", "iframe")]
    assert not [name for _, attributes in tags for name in attributes if name.startswith(("on", "src", "href"))]
    assert "default-src 'none'" in page


def test_points_lie_within_the_drawing(page):
    for points in re.findall(r'points="([^"]+)"', page):
        for pair in points.split():
            x, y = map(float, pair.split(","))
            assert 44 <= x <= 350
            assert 12 <= y <= 204


def test_chromium_shows_both_runs_curves(page, tmp_path, chromium):
    (tmp_path / "page.html").write_text(page, encoding="utf-8")
    chromium(tmp_path / "page.html", "--window-size=500,2200", f"--screenshot={tmp_path / 'page.png'}")
    with Image.open(tmp_path / "page.png") as image:
        colours = {colour for _, colour in image.convert("RGB").getcolors(1 << 24)}
    assert {(0x1F, 0x6F, 0xB2), (0xC2, 0x48, 0x0C)} <= colours
