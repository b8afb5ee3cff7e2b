"""The page, clicked through in a real Chromium as it is served."""

import csv
import re
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from playwright.sync_api import expect, sync_playwright

from noonchi import classifier

expect.set_options(timeout=30_000)  # a busy machine takes long to begin with a heat map
CAMERA = ("--use-fake-device-for-media-stream", "--use-fake-ui-for-media-stream")


@pytest.fixture(scope="module")
def chrome():
    found = shutil.which("chromium")
    if found is None:
        pytest.fail("needs Chromium, Debian's package of that name")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=found, args=["--no-sandbox", *CAMERA])
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def named(draw_run, tmp_path_factory):
    """A classifier whose name is HTML."""
    return draw_run(tmp_path_factory.mktemp("named") / "<b>bold<b>", seed=1)


@pytest.fixture(scope="module")
def address(serving, run, named):
    with serving(run, named) as found:
        yield found.url


@pytest.fixture
def opened(chrome, address):
    """Opens the page, and holds that it asks nobody else and has nothing to complain about."""
    contexts, faults, asked = [], [], []
    noted = ["status of 422"]  # of a picture that cannot be read, by Chromium

    def open_page(expected=(), **options):
        noted.extend(expected)
        context = chrome.new_context(**options)
        contexts.append(context)
        page = context.new_page()
        page.on("console", lambda message: faults.append(message.text))
        page.on("pageerror", lambda error: faults.append(str(error)))
        page.on("request", lambda request: asked.append(request.url))
        page.goto(address)
        expect(page.locator("#about")).not_to_be_empty()
        return page

    yield open_page
    for context in contexts:
        context.close()
    assert [url for url in asked if not url.startswith((address, "blob:", "data:"))] == []
    assert [fault for fault in faults if not any(words in fault for words in noted)] == []


@pytest.fixture
def picture(tmp_path):
    path = tmp_path / "p.png"
    Image.fromarray(np.random.default_rng(5).integers(0, 256, (40, 30), np.uint8)).save(path)
    return path


@pytest.fixture(scope="module")
def loaded(run):
    return classifier.load(run)


def choose(page, *paths: Path) -> None:
    page.set_input_files("#chosen", [str(path) for path in paths])


def bars(page) -> dict[str, str]:
    rows = page.locator("#result .bars li")
    expect(rows.first).to_be_attached()
    names, shares = (page.locator(f"#result .bars li {part}").all_text_contents() for part in (".name", ".share"))
    return dict(zip(names, shares, strict=True))


def test_a_chosen_picture_is_answered_with_the_probabilities_of_predict(opened, loaded, picture):
    page = opened()
    choose(page, picture)
    [expected] = loaded.predict([picture], "auto")
    found = bars(page)
    for name, probability in [*expected.heads["digit"].items(), *expected.heads["odd"].items()]:
        shown = float(found[name].strip("<>%"))
        assert shown == pytest.approx(100 * probability, abs=0.0501 if found[name][0].isdigit() else 0.1)
    assert page.locator("#result .said").all_text_contents() == [expected.answer("digit"), expected.answer("odd")]


def test_a_dropped_picture_is_answered(opened, loaded, picture):
    page = opened()
    page.click("#tab-files")
    given = page.evaluate_handle(
        """bytes => {
            const held = new DataTransfer();
            held.items.add(new File([new Uint8Array(bytes)], "dropped.png", {type: "image/png"}));
            return held;
        }""",
        list(picture.read_bytes()),
    )
    page.dispatch_event("#drop", "drop", {"dataTransfer": given})
    bars(page)
    assert page.locator("#result .said").first.text_content() == loaded.predict([picture], "auto")[0].answer("digit")


def test_a_drawing_is_answered_after_each_stroke_and_can_be_undone(opened):
    page = opened()
    expect(page.locator("#tab-draw")).to_have_attribute("aria-selected", "true")
    box = page.locator("#paper").bounding_box()
    for down in (60, 150):
        page.mouse.move(box["x"] + 80, box["y"] + down)
        page.mouse.down()
        page.mouse.move(box["x"] + 200, box["y"] + down, steps=5)
        page.mouse.up()
        expect(page.locator("#history li")).to_have_count(1 if down == 60 else 2)
    page.click("#undo")
    expect(page.locator("#history li")).to_have_count(3)
    page.click("#clear")
    expect(page.locator("#undo")).to_be_disabled()


def test_the_camera_gives_a_frame_and_answers_all_the_time(opened):
    page = opened()
    page.click("#tab-camera")
    page.click("#open")
    expect(page.locator("#view")).to_be_visible()
    page.click("#take")
    expect(page.locator("#history li")).to_have_count(1)
    kept = page.locator("#result img").get_attribute("src")
    page.click("#live")
    page.wait_for_function("kept => document.querySelector('#result img').src !== kept", arg=kept)
    page.click("#live")
    expect(page.locator("#history li")).to_have_count(1)
    page.click("#close")
    expect(page.locator("#open")).to_be_visible()


def test_without_a_camera_the_page_says_what_else_can_be_done(chrome, address):
    context = chrome.new_context()
    context.add_init_script("delete Navigator.prototype.mediaDevices")
    page = context.new_page()
    page.goto(address)
    page.click("#tab-camera")
    page.click("#open")
    expect(page.locator("#camera-fault")).to_contain_text("Choose a picture instead")
    context.close()


def test_many_pictures_become_a_table_and_the_csv_of_predict(opened, noonchi, run, tmp_path):
    paths = [tmp_path / name for name in ("a.png", "=b.png", "c, d.png", "bad.png", *(f"{n}.png" for n in range(16)))]
    for number, path in enumerate(paths):
        levels = np.random.default_rng(number).integers(0, 256, (28, 28), np.uint8)
        Image.fromarray(levels).save(path)
    paths[3].write_bytes(b"no picture")
    page = opened()
    page.select_option("#invert", "no")
    choose(page, *paths)
    expect(page.locator("#batch-state")).to_have_text("20 of 20 pictures, 1 could not be read")
    with page.expect_download() as download:
        page.click("#csv")
    found = list(csv.reader(Path(download.value.path()).read_text().splitlines()))
    noonchi_says = noonchi("predict", run, *(path for path in paths if path.name != "bad.png"), "--format", "csv")
    expected = list(csv.reader(noonchi_says.out.splitlines()))
    assert len(found) == len(expected) > 19
    for one, other in zip(found[1:], expected[1:], strict=True):
        assert one[0] == {"=b.png": "'=b.png"}.get(Path(other[0]).name, Path(other[0]).name)
        assert one[1:4] == other[1:4]
        assert float(one[4]) == pytest.approx(float(other[4]), abs=2e-6)


def test_a_heat_map_with_its_checks_and_the_layers_are_shown(opened, picture):
    page = opened()
    choose(page, picture)
    page.click("#map")
    expect(page.locator("#look .heat")).to_be_visible()
    expect(page.locator("#look p").nth(1)).not_to_be_empty()
    page.click("#layers")
    expect(page.locator("#look figure").first).to_be_visible()
    assert page.evaluate("[...document.querySelectorAll('#look img')].every((image) => image.src.startsWith('data:'))")


def test_all_is_reached_by_the_keyboard_alone(opened, picture):
    page = opened()
    # before all else: Chromium is told of it without waiting for its answer
    page.on("filechooser", lambda chooser: chooser.set_files(str(picture)))
    page.focus("#tab-draw")
    page.keyboard.press("ArrowLeft")
    expect(page.locator("#tab-files")).to_be_focused()
    expect(page.locator("#files")).to_be_visible()
    page.keyboard.press("Tab")
    expect(page.locator("#chosen")).to_be_focused()
    page.keyboard.press("Space")
    expect(page.locator("#history li")).to_have_count(1)
    page.focus("#map")
    page.keyboard.press("Enter")
    expect(page.locator("#look .heat")).to_be_visible()
    page.focus("#history button")
    page.keyboard.press("Space")
    expect(page.locator("#look")).to_be_hidden()


def test_every_control_has_a_name_and_answers_are_announced(opened, picture):
    page = opened()
    choose(page, picture)
    bars(page)
    unnamed = """() => [...document.querySelectorAll("button, select, input, canvas, video, a")].filter((each) =>
        !(each.textContent.trim() || each.getAttribute("aria-label") || each.labels?.length)
    ).map((each) => each.outerHTML)"""
    assert page.evaluate(unnamed) == []
    assert page.locator("#result").get_attribute("aria-live") == "polite"
    assert page.locator("#fault").get_attribute("role") == "alert"


def test_the_page_speaks_the_readers_language_and_remembers_another(opened, picture):
    page = opened(locale="ko-KR")
    assert page.locator("html").get_attribute("lang") == "ko"
    choose(page, picture)
    bars(page)
    page.click("#map")
    expect(page.locator("#look h2")).to_contain_text("쪽 근거")
    page.click("#en")
    expect(page.locator("#look h2")).to_contain_text("What speaks for")
    page.reload()
    expect(page.locator("#ask-title")).to_have_text("Show it a picture")


def test_every_word_is_there_in_both_languages(opened):
    page = opened()
    words = page.evaluate("JSON.parse(document.getElementById('words').textContent)")
    assert words["en"].keys() == words["ko"].keys()
    for name, text in words["en"].items():
        assert set(re.findall(r"\{\w+\}", text)) == set(re.findall(r"\{\w+\}", words["ko"][name])), name


def test_names_with_html_in_them_stay_text(opened, tmp_path):
    page = opened()
    page.select_option("#model", "<b>bold<b>")
    expect(page.locator("#name")).to_have_text("<b>bold<b>")
    path = tmp_path / "<img src=x onerror=alert(1)>.png"
    path.write_bytes(b"no picture")
    choose(page, path)
    expect(page.locator("#fault")).to_contain_text("<img src=x")
    assert page.locator("h1 b, #fault img").count() == 0


def test_tries_are_kept_shown_again_and_forgotten(opened, picture):
    page = opened()
    choose(page, picture)
    expect(page.locator("#history li")).to_have_count(1)
    first = page.locator("#result .said").all_text_contents()
    page.select_option("#invert", "yes")
    expect(page.locator("#history li")).to_have_count(2)
    page.locator("#history button").nth(1).click()
    assert page.locator("#result .said").all_text_contents() == first
    page.click("#forget")
    expect(page.locator("#tries")).to_be_hidden()


def test_a_broken_file_is_told_in_one_line_and_the_next_picture_is_answered(opened, picture, tmp_path):
    (tmp_path / "bad.png").write_bytes(b"")
    page = opened()
    choose(page, tmp_path / "bad.png")
    expect(page.locator("#fault")).to_contain_text("'bad.png' cannot be used: an empty file")
    choose(page, picture)
    bars(page)
    expect(page.locator("#fault")).to_be_empty()


@pytest.mark.parametrize("width", [320, 390, 1400])
def test_nothing_is_wider_than_the_window(opened, picture, width):
    page = opened(viewport={"width": width, "height": 800}, locale="ko-KR")
    choose(page, picture, picture)
    expect(page.locator("#csv")).to_be_visible()
    choose(page, picture)
    bars(page)
    page.click("#layers")
    expect(page.locator("#look figure").first).to_be_visible()
    assert page.evaluate("document.documentElement.scrollWidth") <= width


def test_a_heat_map_explains_what_was_answered_and_any_other_class(opened, loaded, tmp_path):
    path = tmp_path / "paper.png"
    levels = np.full((28, 28), 255, np.uint8)
    levels[4:24, 12:15] = 0
    Image.fromarray(levels).save(path)
    page = opened()
    page.select_option("#invert", "yes")
    choose(page, path)
    bars(page)
    [inverted], [plain] = loaded.predict([path], "yes"), loaded.predict([path])
    assert inverted.answer("digit") != plain.answer("digit")
    page.click("#map")
    expect(page.locator("#look h2")).to_contain_text(f"“{inverted.answer('digit')}”")
    with page.expect_request("**/v1/explain*") as asked:
        page.locator("#look select").select_option(label="odd: even")
    assert "head=odd&class=even&invert=yes" in asked.value.url
    expect(page.locator("#look h2")).to_contain_text("“even”")


def test_a_camera_that_answers_all_the_time_stops_for_an_explanation(opened):
    page = opened()
    page.click("#tab-camera")
    page.click("#open")
    page.click("#live")
    bars(page)
    page.click("#map")
    expect(page.locator("#look .heat")).to_be_visible()
    expect(page.locator("#live")).to_have_attribute("aria-pressed", "false")


def test_a_camera_that_comes_after_another_way_was_chosen_is_turned_off(opened):
    page = opened()
    page.evaluate(
        """() => {
            const get = navigator.mediaDevices.getUserMedia.bind(navigator.mediaDevices);
            navigator.mediaDevices.getUserMedia = async (how) => {
                await new Promise((resolve) => document.addEventListener("allowed", resolve));
                return (window.given = await get(how));
            };
        }"""
    )
    page.click("#tab-camera")
    page.click("#open")
    page.click("#tab-files")
    page.evaluate("document.dispatchEvent(new Event('allowed'))")
    page.click("#tab-camera")
    expect(page.locator("#open")).to_be_enabled()
    assert page.evaluate("given.getTracks().map((track) => track.readyState)") == ["ended"]


def test_a_busy_server_is_asked_again_and_the_line_about_it_goes(opened, picture):
    page = opened(expected=("503",))
    page.route("**/v1/predict*", lambda route: route.fulfill(status=503, headers={"Retry-After": "1"}), times=1)
    choose(page, picture)
    expect(page.locator("#fault")).to_have_text("Busy; asking again in 1 s …")
    bars(page)
    expect(page.locator("#fault")).to_be_empty()


def test_many_pictures_stop_where_the_server_is_gone_and_keep_what_was_answered(opened, tmp_path):
    paths = [tmp_path / f"{number}.png" for number in range(20)]
    for path in paths:
        Image.fromarray(np.zeros((28, 28), np.uint8)).save(path)
    page = opened(expected=("ERR_FAILED",))
    asked = []
    page.route("**/v1/predict*", lambda route: route.abort() if asked else (asked.append(1), route.continue_()))
    choose(page, *paths)
    expect(page.locator("#batch-fault")).to_contain_text("does not answer")
    expect(page.locator("#batch-state")).to_have_text("16 of 20 pictures")
    expect(page.locator("#csv")).to_be_visible()


def test_a_file_that_is_too_large_leaves_the_others_their_answers(opened, picture, tmp_path):
    (tmp_path / "large.png").write_bytes(bytes(21 * 2**20))
    page = opened(expected=("413",))
    choose(page, picture, tmp_path / "large.png")
    expect(page.locator("#batch-state")).to_have_text("2 of 2 pictures, 1 could not be read")
    expect(page.locator("#rows .fault")).to_have_text("'large.png' is larger than 20 MiB; make it smaller.")


def test_a_dropped_folder_stands_for_the_pictures_in_it(opened, picture, tmp_path):
    folder = tmp_path / "folder"
    (folder / "inner").mkdir(parents=True)
    for path in (folder / "a.png", folder / "inner" / "b.png"):
        path.write_bytes(picture.read_bytes())
    (folder / "notes.txt").write_text("none")
    page = opened()
    page.click("#tab-files")
    box, devtools = page.locator("#drop").bounding_box(), page.context.new_cdp_session(page)
    place = {"x": box["x"] + 20, "y": box["y"] + 20}
    data = {"items": [], "files": [str(folder)], "dragOperationsMask": 1}
    for kind in ("dragEnter", "dragOver", "drop"):
        devtools.send("Input.dispatchDragEvent", {"type": kind, **place, "data": data})
    expect(page.locator("#batch-state")).to_have_text("2 of 2 pictures")
    assert page.locator("#rows tbody th").all_text_contents() == ["a.png", "b.png"]


def test_instead_of_drawing_a_picture_can_be_chosen(opened, picture):
    page = opened()
    page.on("filechooser", lambda chooser: chooser.set_files(str(picture)))
    page.focus("#instead")
    page.keyboard.press("Enter")
    bars(page)
