"""The page that `noonchi export --format html` writes, in a real Chromium, opened as a file."""

import base64
import io
import json
import lzma
import re
import shutil
from dataclasses import replace
from importlib.resources import files as package_files

import numpy as np
import pytest
import torch
from PIL import Image
from playwright.sync_api import expect, sync_playwright

from noonchi import classifier, export, page, pixels
from noonchi.errors import RunError
from noonchi.export import golden, html
from noonchi.results import Head
from noonchi.settings import ModelSettings, PixelSettings

DIGIT = Head("digit", "classes", tuple("0123456789"))
ODD = Head("눈치 </script><b>", "binary", ("even", "<!--<script>"))
TAGS = Head("tags", "labels", ("red", "__proto__", "round"))
NOT_OF_BROWSERS = {"TIFF", "PPM"}
SIDES = [(1, 1), (1, 300), (300, 1), (28, 28), (27, 29), (20, 10), (100, 60), (91, 60), (211, 5), (150, 100)]
AS_BLOB = "const blob = new Blob([Uint8Array.fromBase64(content)]);"


@pytest.fixture(scope="module")
def browser():
    options = ("--no-sandbox", "--use-fake-device-for-media-stream", "--use-fake-ui-for-media-stream")
    with sync_playwright() as playwright:
        found = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=options)
        yield found
        found.close()


@pytest.fixture
def complaints():
    """Whatever pages complain of: it fails the test."""
    found = []
    yield found
    assert not found


@pytest.fixture
def opened(browser, complaints):
    """Opens a page as a file, without a network."""
    context = browser.new_context(offline=True)

    def open_file(path):
        tab = context.new_page()
        tab.on("console", lambda message: complaints.append(message.text))
        tab.on("pageerror", lambda error: complaints.append(str(error)))
        tab.goto(path.resolve().as_uri())
        return tab

    yield open_file
    context.close()


@pytest.fixture(scope="module")
def made():
    pixels = PixelSettings(size=(20, 20), channels=3)
    made = classifier.create((DIGIT, ODD, TAGS), ModelSettings(network="mnist-one-conv"), pixels)
    return replace(made, temperatures={"digit": 1.7, "tags": 3.0}, border_level=200.0)


@pytest.fixture(scope="module")
def written(made, tmp_path_factory):
    path = tmp_path_factory.mktemp("html") / "<b>&.html"
    export.to_html(made, path)
    return path


def asked(tab, content, **options):
    code = f"async ([content, options]) => {{ {AS_BLOB} return JSON.stringify(await answers.predict(blob, options)); }}"
    return json.loads(tab.evaluate(code, [base64.b64encode(content).decode(), options]))


@pytest.fixture
def tab_of_pixels(opened, tmp_path):
    """With nothing but what makes frames of pictures."""
    (tmp_path / "empty.html").write_text("<!doctype html>")
    tab = opened(tmp_path / "empty.html")
    tab.add_script_tag(content=(package_files(page) / "pixels.js").read_text())
    return tab


def framed(tab, content, settings):
    code = f"async ([content, settings]) => {{ {AS_BLOB} return (await frame(blob, settings)).toBase64(); }}"
    given = {"size": settings.size, "channels": settings.channels, "fit": settings.fit}
    found = base64.b64decode(tab.evaluate(code, [base64.b64encode(content).decode(), given]))
    return np.frombuffer(found, np.uint8).reshape(*settings.size, settings.channels)


def encoded(image, kind, **options):
    content = io.BytesIO()
    image.save(content, kind, **options)
    return content.getvalue()


def difference(found, expected):
    assert {head: set(shares) for head, shares in found.items()} == {head: set(expected[head]) for head in expected}
    return max(abs(found[head][name] - value) for head, shares in expected.items() for name, value in shares.items())


@pytest.mark.parametrize("fit", ["squash", "crop", "pad"])
def test_from_files_bytes_the_page_says_what_predict_says(made, tmp_path, opened, fit):
    made = replace(made, pixels=made.pixels.but(fit=fit))
    export.to_html(made, tmp_path / "a.html")
    tab = opened(tmp_path / "a.html")
    *contents, large = [
        content for content in golden.files(20) if Image.open(io.BytesIO(content)).format not in NOT_OF_BROWSERS
    ]
    assert len(contents) == 28
    for content, expected in zip(contents, made.predict(contents), strict=True):
        assert difference(asked(tab, content), expected.heads) < 1e-5
    [expected] = made.predict([large])  # decoded smaller, which no browser does: a level of difference at most
    assert difference(asked(tab, large), expected.heads) < 0.005


@pytest.mark.parametrize("sides", [(3000, 2000), (1001, 1903)])
@pytest.mark.parametrize("orientation", [1, 3, 6])
def test_a_large_jpeg_is_within_two_levels_of_what_predict_decodes_smaller(tab_of_pixels, sides, orientation):
    drawn = np.random.default_rng(0).integers(0, 256, (9, 13, 3), np.uint8)
    exif = Image.Exif()
    exif[0x0112] = orientation
    content = encoded(Image.fromarray(drawn).resize(sides, Image.Resampling.BICUBIC), "JPEG", exif=exif)
    for settings in (PixelSettings(size=(28, 28), channels=1), PixelSettings(size=(96, 64), channels=3, fit="crop")):
        gaps = np.abs(framed(tab_of_pixels, content, settings).astype(int) - pixels.read(content, settings))
        assert gaps.max() <= 2
        assert gaps.mean() < 0.2


@pytest.mark.parametrize("fit", ["squash", "crop", "pad"])
@pytest.mark.parametrize("shape", [(28, 28, 1), (20, 50, 3), (50, 20, 1), (96, 96, 3)])
def test_the_page_brings_any_picture_to_size_bit_for_bit_as_training_does(tab_of_pixels, fit, shape):
    settings = PixelSettings(size=shape[:2], channels=shape[2], fit=fit)
    drawn = np.random.default_rng(0)
    for sides in [*SIDES, *map(tuple, drawn.integers(1, 240, (6, 2)))]:
        content = encoded(Image.fromarray(drawn.integers(0, 256, (*sides, 3), np.uint8)), "PNG")
        found, expected = framed(tab_of_pixels, content, settings), pixels.read(content, settings)
        np.testing.assert_array_equal(found, expected, err_msg=str(sides))


@pytest.mark.parametrize("invert", ["no", "yes", "auto"])
def test_light_and_dark_are_exchanged_as_predict_does(made, written, opened, invert):
    tab = opened(written)
    for level in (10, 127, 240):
        content = encoded(Image.new("L", (30, 20), level), "PNG")
        [expected] = made.predict([content], invert)
        assert difference(asked(tab, content, invert=invert), expected.heads) < 1e-5


def test_what_is_no_whole_picture_is_told_in_one_line_and_the_next_is_answered(written, opened):
    tab = opened(written)
    image = Image.fromarray(np.random.default_rng(0).integers(0, 256, (60, 60, 3), np.uint8))
    bad = [b"", b"no picture", encoded(image, "PNG")[:-100], encoded(image, "JPEG")[:500], encoded(image, "TIFF")]
    code = f"async (content) => {{ {AS_BLOB} return answers.predict(blob).catch((error) => error.message); }}"
    for content in bad:
        told = tab.evaluate(code, base64.b64encode(content).decode())
        assert told == "not a whole picture that this browser reads; use JPEG, PNG, WebP, GIF or BMP."
    assert asked(tab, encoded(image, "PNG"))


def test_a_chosen_file_is_answered_on_the_page(made, written, opened, tmp_path):
    Image.new("RGB", (40, 30), "red").save(tmp_path / "a.png")
    [expected] = made.predict([tmp_path / "a.png"])
    tab = opened(written)
    tab.locator("#chosen").set_input_files(tmp_path / "a.png")
    digits = expected.heads["digit"]
    expect(tab.locator("#result .said").first).to_have_text(max(digits, key=digits.get))
    expect(tab.locator("#result h3").nth(1)).to_have_text(ODD.name)
    assert tab.title().startswith("<b>&")


def test_a_camera_is_answered_from_a_file(written, opened):
    tab = opened(written)
    tab.locator("#tab-camera").click()
    tab.locator("#open").click()
    tab.locator("#take").click()
    expect(tab.locator("#result .said").first).to_have_text(re.compile(r"^\d$"))


def test_the_page_can_ask_nobody(written, opened, complaints):
    tab = opened(written)
    assert tab.evaluate("fetch('data:,').catch((error) => 'refused')") == "refused"
    assert any("Content Security Policy" in text for text in complaints)
    complaints.clear()


def test_it_says_whose_runtime_it_holds_and_nothing_of_this_machine(written):
    text = written.read_text()
    assert "Copyright (c) Microsoft Corporation" in text
    assert str(written.parent) not in text


def test_what_disagrees_is_refused_and_nothing_is_written(fresh, tmp_path):
    class Wavering(torch.nn.Module):
        """Says otherwise while it is exported."""

        def forward(self, images):
            sure = 3.0 if torch.compiler.is_exporting() else 0.0
            return images.mean(dim=(1, 2, 3))[:, None] * torch.tensor([[1.0, 2.0, sure]])

    with pytest.raises(RunError, match=r"differs by 0\.\d+ from this one, more than 0.001, and was not written"):
        export.to_html(replace(fresh(), network=Wavering()), tmp_path / "a.html")
    assert not any(tmp_path.iterdir())


def test_a_network_too_large_for_a_page_is_refused(fresh, tmp_path, monkeypatch):
    monkeypatch.setattr(html, "_MOST_BYTES", 1000)
    with pytest.raises(RunError, match=r"the network takes \d+\.\d kB, more than the 1.0 kB that a page can hold"):
        export.to_html(fresh(), tmp_path / "a.html")
    assert not any(tmp_path.iterdir())


def test_the_command_writes_the_page(noonchi, made, tmp_path):
    (tmp_path / "run" / "best").mkdir(parents=True)
    made.save(tmp_path / "run" / "best")
    answer = noonchi("export", tmp_path / "run", "--format", "html", "--out", tmp_path / "a.html")
    assert answer.code == 0, answer.err
    assert "next: open it in a browser" in answer.out


def test_the_runtime_is_of_the_version_that_its_script_names():
    head = lzma.decompress((package_files(export) / "onnxruntime-web" / "runtime.mjs.xz").read_bytes())[:100]
    assert b"ONNX Runtime Web v1.30.0" in head
