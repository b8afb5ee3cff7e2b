"""`noonchi explain`: a page that stands alone, in two languages, in which no name does anything."""

import json
import re
import shutil
import string
import subprocess
import tomllib
from importlib.resources import files

import numpy as np
import pytest
from PIL import Image

from noonchi.results import Head

EVIL = "<img src=x onerror=alert(1)>"
PROBE = "<img src=x onerror=document.body.textContent='ran'>"
KIND = Head("kind", "classes", ("cat", EVIL, PROBE, "눈치"))
ODD = Head("odd", "binary", ("even", "odd"))


@pytest.fixture
def here(tmp_path, monkeypatch, fresh):
    """A working folder with `run/`, a classifier of two heads, and `digit.png`."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "run").mkdir()
    fresh(KIND, ODD, network="mnist-convnet", side=28).save(tmp_path / "run")
    pixels = np.zeros((30, 40), np.uint8)
    pixels[5:25, 18:22] = 255
    Image.fromarray(pixels).save(tmp_path / "digit.png")
    return tmp_path


def test_a_page_and_its_pictures_are_written_and_one_object_tells_of_all(noonchi, here):
    answer = noonchi("explain", "run", "digit.png", "--out", "deep/inside", "--class", EVIL, "--json")
    assert (answer.code, answer.err) == (0, "")
    told = json.loads(answer.out)
    assert (told["head"], told["class"], told["target_layer"]) == ("kind", EVIL, "relu3")
    assert sum(told["probabilities"].values()) == pytest.approx(1)
    assert [one["method"] for one in told["maps"]] == ["grad-cam", "hires-cam"]
    for one in told["maps"]:
        assert one["drop_when_random_region_hidden"] == pytest.approx(np.mean(one["random_drops"]))
        assert -1 <= one["similarity_with_random_weights"] <= 1
    folder = here / told["folder"]
    assert {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()} == set(told["files"])
    assert {"index.html", "heat-map-grad-cam.png", "activations/01-conv1.png", "weights.png"} <= set(told["files"])
    with Image.open(folder / "heat-map-grad-cam.png") as picture:
        assert picture.size == (40, 30)
    assert [one["layer"] for one in told["filters"]] == ["conv2", "conv3"]


def test_the_page_needs_nothing_else_and_every_picture_is_told_in_words(noonchi, here):
    assert noonchi("explain", "run", "digit.png").code == 0
    page = (here / "digit-explained" / "index.html").read_text("utf-8")
    sources = re.findall(r'src="([^"]*)"', page)
    assert len(sources) > 15
    assert all(source.startswith("data:image/") for source in sources)
    assert "<script" not in page
    assert all(re.search(r'alt="[^"]+"', picture) for picture in re.findall(r"<img[^>]*>", page))
    assert '<html lang="en">' in page


def test_names_are_shown_and_do_nothing(noonchi, here):
    assert noonchi("explain", "run", "digit.png", "--out", "inside", "--class", EVIL, "--filters", "0").code == 0
    page = (here / "inside" / "index.html").read_text("utf-8")
    assert "<img src=x" not in page
    assert "&lt;img src=x onerror=alert(1)&gt;" in page


def test_in_chromium_no_name_runs_as_a_script(noonchi, here):
    chromium = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if chromium is None:
        pytest.skip("needs Chromium")
    assert noonchi("explain", "run", "digit.png", "--out", "inside", "--class", PROBE, "--filters", "0").code == 0
    index = here / "inside" / "index.html"
    # without the policy: what names hold must be inert by itself
    index.write_text(re.sub(r"<meta http-equiv[^>]*>", "", index.read_text("utf-8")), "utf-8")
    command = [chromium, "--headless", "--no-sandbox", "--disable-gpu", f"--user-data-dir={here / 'profile'}"]
    seen = subprocess.run([*command, "--dump-dom", index.as_uri()], capture_output=True, text=True, check=False)
    assert ">ran<" not in seen.stdout
    assert "relu3" in seen.stdout


def test_in_korean_all_texts_are_korean(noonchi, here):
    assert noonchi("explain", "run", "digit.png", "--out", "inside", "--lang", "ko", "--head", "odd").code == 0
    page = (here / "inside" / "index.html").read_text("utf-8")
    assert '<html lang="ko">' in page
    assert "필터가 찾는 것" in page
    assert not re.search("hidden:|looks? for|Random weights|channels that", page)


def test_both_languages_say_the_same_things_with_the_same_numbers():
    tables = tomllib.loads(files("noonchi.explain").joinpath("words.toml").read_text("utf-8"))
    english, korean = ({name: fields(text) for name, text in tables[code].items()} for code in ("en", "ko"))
    assert english == korean


def fields(text: str) -> set[str]:
    return {name for _, name, _, _ in string.Formatter().parse(text) if name}


def test_any_head_and_layer_can_be_asked_for(noonchi, here):
    answer = noonchi(
        "explain",
        "run",
        "digit.png",
        "--head",
        "odd",
        "--class",
        "even",
        "--layer",
        "conv1",
        "--filters",
        "2",
        "--json",
    )
    told = json.loads(answer.out)
    assert (told["head"], told["class"]) == ("odd", "even")
    [layer] = told["filters"]
    assert (layer["layer"], len(layer["filters"])) == ("conv1", 2)


def test_what_is_in_the_folder_already_stays(noonchi, here):
    (here / "inside").mkdir()
    (here / "inside" / "mine.txt").write_text("kept")
    assert noonchi("explain", "run", "digit.png", "--out", "inside", "--filters", "0").code == 0
    assert (here / "inside" / "mine.txt").read_text() == "kept"


@pytest.mark.parametrize(
    ("arguments", "code", "told"),
    [
        ("run digit.png --class cta", 2, "'cta' is not a class of head 'kind'. Did you mean 'cat'?"),
        ("run digit.png --head kinds", 2, "'kinds' is not a head of this classifier. Did you mean 'kind'?"),
        ("run digit.png --layer conv9", 2, "'conv9' is not a layer of this network. Did you mean"),
        ("run digit.png --out digit.png", 2, "--out digit.png: this is a file; give the name of a folder."),
        ("run digit.png --lang fr", 2, "'fr' is not one of 'en', 'ko'"),
        ("run none.png", 3, "'none.png' cannot be used: No such file or directory."),
        ("run text.png", 3, "'text.png' cannot be used: not a whole JPEG"),
        ("run run", 3, "'run' cannot be used: not a file"),
        ("digit.png digit.png", 4, "'digit.png' is a file; give a run's folder"),
        ("nowhere digit.png", 4, "'nowhere' does not exist"),
    ],
)
def test_what_cannot_be_is_one_line_and_leaves_nothing(noonchi, here, arguments, code, told):
    (here / "text.png").write_text("no picture")
    before = sorted(here.rglob("*"))
    answer = noonchi("explain", *arguments.split())
    assert (answer.code, answer.out) == (code, "")
    assert told in answer.err
    assert answer.err.count("\n") == 1
    assert sorted(here.rglob("*")) == before
