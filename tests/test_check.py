"""What is wrong with a data set is found and named, all of it and nothing else; the data are never changed."""

import csv
import io
import json
import random
import shutil
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageEnhance, ImageOps

from noonchi import check, pixels, sources
from noonchi.check import alike, page, repairs
from noonchi.errors import DataError
from noonchi.results import Note
from noonchi.settings import DataSettings, PixelSettings

HOSTILE = "<img src=x onerror=alert(1)>"


def photo(seed, size=(120, 90)):
    """A picture with structure of every size, as photos have, unlike that of any other seed."""
    numbers = np.random.default_rng(seed)
    layers = [
        Image.fromarray(numbers.integers(0, 256, (side, side, 3), np.uint8)).resize(size, Image.Resampling.BICUBIC)
        for side in (3, 6, 12, 24)
    ]
    return Image.fromarray(np.mean([np.asarray(layer) for layer in layers], axis=0).astype(np.uint8))


def save(root, name, picture):
    path = root / name
    path.parent.mkdir(parents=True, exist_ok=True)
    picture.save(path)
    return path


@pytest.fixture
def photos(tmp_path):
    """A clean folder of 3 splits, 2 classes each, 3 photos each: `data/train/cat/0.png`."""
    splits = ("train", "val", "test")
    for number, (split, name, at) in enumerate((s, c, n) for s in splits for c in ("cat", "dog") for n in range(3)):
        save(tmp_path / "data", f"{split}/{name}/{at}.png", photo(number))
    return tmp_path / "data"


def examined(data, **settings):
    return check.examine(sources.load(data, DataSettings(**settings)))


def cases(report):
    """By kind: the pictures of each case, sorted."""
    return {f.kind: sorted(tuple(sorted(group.pictures)) for group in f.groups) for f in report.findings}


def abouts(report):
    return [finding.about for finding in report.findings]


# Copies


def saved_as_jpeg(quality):
    def change(picture):
        content = io.BytesIO()
        picture.save(content, "JPEG", quality=quality)
        return Image.open(content)

    return change


def cut_by(*parts):
    def change(picture):
        sides = np.array([*picture.size, *picture.size])
        return picture.crop(tuple((sides * np.abs(np.array([0, 0, 1, 1]) - parts)).astype(int)))

    return change


CHANGES = {
    "quality 50": saved_as_jpeg(50),
    "quality 90": saved_as_jpeg(90),
    "half the size": lambda picture: ImageOps.scale(picture, 0.5),
    "twice the size": lambda picture: ImageOps.scale(picture, 2),
    "cut all round": cut_by(0.03, 0.03, 0.03, 0.03),
    "cut at a corner": cut_by(0.03, 0.03, 0, 0),
    "brighter": lambda picture: ImageEnhance.Brightness(picture).enhance(1.4),
    "darker": lambda picture: ImageEnhance.Brightness(picture).enhance(0.6),
    "more contrast": lambda picture: ImageEnhance.Contrast(picture).enhance(1.4),
    "all at once": lambda picture: saved_as_jpeg(50)(
        ImageEnhance.Brightness(ImageOps.scale(cut_by(0.02, 0.01, 0, 0.01)(picture), 0.5)).enhance(1.2)
    ),
}


@pytest.fixture(scope="module")
def thumbnails(real_data):
    """Reads pictures as `examine` does; and 60 real photos so read."""

    def read(picture):
        return pixels.read(picture, PixelSettings(size=(alike.SIDE, alike.SIDE), channels=1))[..., 0]

    paths = random.Random(1).sample(sorted((real_data / "cats_dogs" / "train").rglob("*.jpg")), 60)
    pictures = [Image.open(path).convert("RGB") for path in paths]
    return read, pictures, np.stack([read(picture) for picture in pictures])


@pytest.mark.parametrize("change", CHANGES)
def test_a_copy_of_a_photo_is_found_however_it_was_changed(thumbnails, change):
    read, pictures, originals = thumbnails
    copies = np.stack([read(CHANGES[change](picture)) for picture in pictures])
    found = alike.near_groups(np.concatenate([originals, copies]))
    assert found == [[at, at + len(originals)] for at in range(len(originals))]


def test_every_fault_planted_in_real_photos_is_named_and_no_other(real_data, tmp_path):
    root = tmp_path / "cats_dogs"
    shutil.copytree(real_data / "cats_dogs", root)
    train = sorted((root / "train").glob("*/*.jpg"))
    train = [path for path in train if path.name not in ("dog.180.jpg", "dog.74.jpg")]
    pick = iter(random.Random(7).sample(train, 40))
    across, relabelled, near = [], [], []
    for number in range(20):
        original = next(pick)
        copy = root / "validation" / original.parent.name / f"copy-{number}.jpg"
        shutil.copy(original, copy)
        across.append((original, copy))
    for number in range(3):
        original = next(pick)
        copy = root / "train" / {"cats": "dogs", "dogs": "cats"}[original.parent.name] / f"relabelled-{number}.jpg"
        shutil.copy(original, copy)
        relabelled.append((original, copy))
    for name, change in CHANGES.items():
        original = next(pick)
        changed = change(Image.open(original).convert("RGB"))
        near.append((original, save(root, f"validation/{original.parent.name}/near {name}.jpg", changed)))
    whole = next(pick).read_bytes()
    broken = {"empty": b"", "noise": random.Random(0).randbytes(999), "cut": whole[: len(whole) // 2]}
    broken |= {"header": whole[:90], "text": b"not a picture"}
    for name, content in broken.items():
        (root / "train" / "cats" / f"{name}.jpg").write_bytes(content)

    found = cases(examined(root))

    def ids(groups):
        return sorted(tuple(sorted(path.relative_to(root).as_posix() for path in group)) for group in groups)

    assert found == {
        "unusable": sorted((f"train/cats/{name}.jpg",) for name in broken),
        "identical-across-splits": ids(across),
        "identical-other-labels": ids(relabelled),
        "near-across-splits": ids(near),
        # these are in the data as they came: one photo saved twice, and a banner
        "near-in-split": [("train/dogs/dog.180.jpg", "train/dogs/dog.74.jpg")],
        "odd-shape": [("validation/dogs/dog.4367.jpg",)],
        "split-missing": [],  # they have no test
    }


def test_clean_data_have_no_findings(photos):
    report = examined(photos)
    assert report.findings == ()
    assert report.pictures == 18
    assert report.splits == {"train": 6, "val": 6, "test": 6}


def test_identical_pictures_across_splits_are_an_error_that_names_the_figures_they_spoil(photos):
    shutil.copy(photos / "train/cat/0.png", photos / "test/cat/copy.png")
    report = examined(photos)
    assert cases(report) == {"identical-across-splits": [("test/cat/copy.png", "train/cat/0.png")]}
    assert abouts(report) == ["1 picture in train and test alike: the test figure is too good"]
    assert report.findings[0].severity == "error"


def test_identical_pictures_with_different_labels_in_two_splits_are_found_as_both(photos):
    shutil.copy(photos / "train/cat/0.png", photos / "val/dog/copy.png")
    copies = [("train/cat/0.png", "val/dog/copy.png")]
    assert cases(examined(photos)) == {"identical-across-splits": copies, "identical-other-labels": copies}


def test_identical_pictures_in_one_split_are_found_once(photos):
    for name in ("copy", "copy2"):
        shutil.copy(photos / "train/cat/0.png", photos / f"train/cat/{name}.png")
    names = ("train/cat/0.png", "train/cat/copy.png", "train/cat/copy2.png")
    assert cases(examined(photos)) == {"identical-in-split": [names]}


def test_a_near_copy_with_another_label_is_found(photos):
    save(photos, "train/dog/copy.jpg", photo(0))
    assert cases(examined(photos)) == {"near-other-labels": [("train/cat/0.png", "train/dog/copy.jpg")]}


def test_the_identical_copies_of_a_near_copy_are_named_with_it(photos):
    save(photos, "train/cat/near.jpg", photo(0))
    shutil.copy(photos / "train/cat/0.png", photos / "train/cat/same.png")
    found = cases(examined(photos))
    assert found["near-in-split"] == [("train/cat/0.png", "train/cat/near.jpg", "train/cat/same.png")]


def test_several_labels_that_differ_are_told(tmp_path):
    for name in ("a", "b", "c"):
        save(tmp_path, f"{name}.png", photo(ord(name)))
    shutil.copy(tmp_path / "a.png", tmp_path / "d.png")
    (tmp_path / "t.csv").write_text(
        "path,tone,shape,split\na.png,light,round,train\nb.png,dark,long,train\nc.png,dark,long,val\nd.png,light,long,train\n"
    )
    [finding] = [f for f in examined(tmp_path / "t.csv").findings if f.kind == "identical-other-labels"]
    assert finding.groups[0].detail == "tone light, shape round, tone light, shape long"


def test_damaged_copies_are_unusable_and_nothing_more(photos):
    cut = (photos / "train/cat/0.png").read_bytes()[:600]
    for split in ("train", "val"):
        (photos / split / "cat" / "cut.png").write_bytes(cut)
    assert cases(examined(photos)) == {"unusable": [("train/cat/cut.png",), ("val/cat/cut.png",)]}


def test_data_without_one_usable_picture_are_reported(tmp_path):
    for name in ("cat/0.png", "dog/1.png"):
        path = save(tmp_path, name, photo(len(name)))
        path.write_bytes(path.read_bytes()[:500])
    report = examined(tmp_path)
    assert report.pictures == 0
    assert cases(report)["unusable"] == [("cat/0.png",), ("dog/1.png",)]


def test_pictures_under_32_pixels_are_compared_for_identical_copies_only(bars):
    images, labels = bars(40, classes=2, side=28)
    near = np.clip(images.astype(int) + 1, 0, 255).astype(np.uint8)
    report = examined((np.concatenate([images, near, images[:1]]), [*labels, *labels, labels[0]]))
    assert not any(kind.startswith("near") for kind in cases(report))
    assert [len(group) for group in cases(report)["identical-in-split"]] == [2]
    assert report.too_small == 81


def test_arrays_of_photos_are_compared_like_files():
    images = np.stack([np.asarray(photo(seed, (48, 48))) for seed in range(20)])
    brighter = np.clip(images[:1] * 1.2, 0, 255).astype(np.uint8)
    report = examined((np.concatenate([images, brighter]), np.arange(21) % 2))
    assert [f.count for f in report.findings if f.kind.startswith("near")] == [1]


# Odd pictures


def test_blank_tiny_and_long_pictures_are_found_with_their_sizes(photos):
    save(photos, "train/cat/blank.png", Image.new("RGB", (80, 80), (10, 200, 30)))
    save(photos, "train/cat/tiny.png", photo(50, (20, 18)))
    save(photos, "train/cat/long.png", photo(51, (400, 60)))
    report = examined(photos)
    assert cases(report) == {
        "blank": [("train/cat/blank.png",)],
        "tiny": [("train/cat/tiny.png",)],
        "odd-shape": [("train/cat/long.png",)],
    }
    assert [f.groups[0].detail for f in report.findings] == ["", "20 x 18 pixels", "400 x 60 pixels"]


def test_what_all_pictures_are_is_not_odd(tmp_path):
    for at in range(12):
        save(tmp_path, f"{'cat' if at % 2 else 'dog'}/{at}.png", photo(at, (140, 24)))
    assert not {"tiny", "odd-shape"} & cases(examined(tmp_path)).keys()


def test_blank_pictures_are_no_copies_of_one_another(photos):
    for level in (10, 90):
        save(photos, f"train/cat/{level}.png", Image.new("L", (80, 80), level))
    assert cases(examined(photos)) == {"blank": [("train/cat/10.png",), ("train/cat/90.png",)]}


# Classes


def test_a_class_missing_in_a_split_is_an_error_in_train_and_a_warning_elsewhere(photos):
    shutil.rmtree(photos / "train/cat")
    shutil.rmtree(photos / "test/dog")
    assert [(f.severity, f.about) for f in examined(photos).findings] == [
        ("error", "no training picture of 'cat': it cannot be learnt"),
        ("warning", "no test picture of 'dog': how well it is told apart stays unknown"),
    ]


def test_a_class_of_a_single_picture_is_found(photos):
    save(photos, "train/emu/0.png", photo(60))
    assert "1 class of a single picture: 'emu'" in abouts(examined(photos))


def test_imbalance_is_found_from_ten_to_one_on_and_says_what_helps(photos):
    for at in range(24):
        save(photos, f"train/cat/more{at}.png", photo(100 + at))
    assert not examined(photos).findings
    for at in range(24, 27):
        save(photos, f"train/cat/more{at}.png", photo(100 + at))
    [finding] = examined(photos).findings
    assert finding.kind == "imbalance"
    assert finding.about.startswith("10 times as many training pictures of 'cat' as of 'dog'")
    assert 'heads.label.class_weights = "balanced"' in finding.about


# Repairs


def test_repairs_keep_what_is_scored_and_drop_what_is_disputed(photos):
    shutil.copy(photos / "train/cat/0.png", photos / "test/cat/copy.png")
    shutil.copy(photos / "train/cat/1.png", photos / "train/dog/disputed.png")
    shutil.copy(photos / "val/dog/0.png", photos / "val/dog/again.png")
    save(photos, "val/cat/near.jpg", photo(2))
    index = sources.load(photos)
    rows = {row.file: row.reason for row in repairs.repairs(check.examine(index), index)}
    assert rows == {
        "train/cat/0.png": "identical to test/cat/copy.png, in test",
        "train/cat/1.png": "identical pictures are labelled cat, dog: look which is right and relabel that one",
        "train/cat/2.png": "near copy of val/cat/near.jpg, in val",
        "train/dog/disputed.png": "identical pictures are labelled cat, dog: look which is right and relabel that one",
        "val/dog/again.png": "identical to val/dog/0.png, in val",
    }


def test_after_the_repairs_no_copy_is_left_and_the_data_are_as_they_were(noonchi, photos, tmp_path):
    shutil.copy(photos / "train/cat/0.png", photos / "test/cat/copy.png")
    shutil.copy(photos / "train/cat/1.png", photos / "train/dog/disputed.png")
    before = {path: path.read_bytes() for path in photos.rglob("*.png")}
    assert noonchi("check", photos, "--write-overrides", tmp_path / "o.csv").code == 0
    again = json.loads(noonchi("check", photos, "--overrides", tmp_path / "o.csv", "--json").out)
    assert [finding["kind"] for finding in again["findings"]] == ["remark"]
    assert before == {path: path.read_bytes() for path in photos.rglob("*.png")}


def test_overrides_that_a_person_may_have_edited_are_not_written_over(noonchi, photos, tmp_path):
    (tmp_path / "o.csv").write_text("mine")
    answer = noonchi("check", photos, "--write-overrides", tmp_path / "o.csv")
    assert (answer.code, answer.out) == (2, "")
    assert "it exists and may hold a person's edits; give another name or remove it." in answer.err
    assert (tmp_path / "o.csv").read_text() == "mine"


def test_hostile_names_stay_inert_in_overrides(noonchi, photos, tmp_path):
    for name in ("one", "two"):
        save(photos, f"train/=cmd()/{name}.png", photo(70))
    assert noonchi("check", photos, "--write-overrides", tmp_path / "o.csv").code == 0
    [_, row] = csv.reader((tmp_path / "o.csv").read_text(encoding="utf-8").splitlines())
    assert row[0] == "train/=cmd()/two.png"
    assert not any(cell.startswith("=") for cell in row)


# The command


def test_check_prints_one_json_object_and_ends_with_0_though_it_found_something(noonchi, photos):
    shutil.copy(photos / "train/cat/0.png", photos / "test/cat/copy.png")
    answer = noonchi("check", photos, "--json")
    assert answer.code == 0
    found = json.loads(answer.out)
    assert answer.out.count("\n") == 1
    assert found["data"] == "data"
    assert found["pictures"] == 19
    assert found["splits"] == {"train": 6, "val": 6, "test": 7}
    assert found["findings"] == [
        {
            "kind": "identical-across-splits",
            "severity": "error",
            "count": 1,
            "about": "1 picture in train and test alike: the test figure is too good",
            "pictures": [["train/cat/0.png", "test/cat/copy.png"]],
            "details": ["train, test"],
        }
    ]


@pytest.mark.parametrize("columns", [40, 80])
def test_the_table_fits_the_terminal_and_shows_names_as_they_are(noonchi, photos, monkeypatch, columns):
    monkeypatch.setenv("COLUMNS", str(columns))
    for name in ("one", "two"):
        save(photos, f"train/[red]{HOSTILE}\x1b[31m눈치/{name}.png", photo(70))
    answer = noonchi("check", photos)
    assert answer.code == 0
    assert max(map(len, answer.out.splitlines())) <= columns
    assert "\x1b" not in answer.out
    told = "".join(answer.out.split())
    assert f"train/[red]{HOSTILE}\\x1b[31m눈치/one.png".replace(" ", "") in told
    assert "3findings" in told


def test_a_long_finding_is_cut_short_in_the_terminal_and_whole_in_json(noonchi, photos):
    for at in range(9):
        save(photos, f"train/cat/blank{at}.png", Image.new("L", (60 + at, 60), 9))
    assert "and 4 more" in noonchi("check", photos).out
    assert json.loads(noonchi("check", photos, "--json").out)["findings"][0]["count"] == 9


def test_links_are_followed_where_asked(noonchi, photos, tmp_path):
    (photos / "train/cat/0.png").rename(tmp_path / "outside.png")
    (photos / "train/cat/0.png").symlink_to(tmp_path / "outside.png")
    assert "1 file cannot be used" in noonchi("check", photos).out
    assert "nothing found" in noonchi("check", photos, "--set", "data.follow_links=true").out


def test_heads_are_those_of_the_recipe_and_of_set(noonchi, photos, tmp_path):
    (photos / "all.csv").write_text(
        "path,seen\ntrain/cat/0.png,cat|dog\ntrain/cat/1.png,\ntrain/dog/0.png,dog\n", encoding="utf-8"
    )
    (tmp_path / "seen.toml").write_text('[heads.seen]\nkind = "labels"\n', encoding="utf-8")
    for asked in (("--set", "heads.seen.kind=labels"), ("--recipe", tmp_path / "seen.toml")):
        answer = noonchi("check", photos / "all.csv", "--json", *asked)
        assert answer.code == 0, answer.err
        assert "cat|dog" not in answer.out


def test_a_wrong_setting_is_told_before_any_picture_is_read(noonchi, tmp_path):
    answer = noonchi("check", tmp_path / "none", "--set", "data.follow_link=true")
    assert (answer.code, answer.out) == (2, "")
    assert "Did you mean 'follow_links'" in answer.err


def test_nothing_found_is_said(noonchi, photos):
    assert "nothing found" in noonchi("check", photos).out


@pytest.mark.parametrize("option", ["--html", "--write-overrides"])
def test_a_place_that_is_not_there_is_refused_before_any_work(noonchi, photos, tmp_path, option):
    answer = noonchi("check", photos, option, tmp_path / "none" / "file")
    assert (answer.code, answer.out) == (2, "")
    assert "there is no folder" in answer.err


@pytest.mark.skipif(not Path("/proc").is_dir(), reason="this system has no folder that even root cannot write in")
def test_a_place_that_cannot_be_written_is_refused_before_any_work(noonchi, photos):
    answer = noonchi("check", photos, "--write-overrides", "/proc/o.csv")
    assert (answer.code, answer.out) == (2, "")
    assert "--write-overrides /proc/o.csv: no file can be written in '/proc'; give another place." in answer.err


@pytest.mark.parametrize("option", ["--html", "--write-overrides"])
def test_nothing_is_written_among_the_pictures(noonchi, photos, option):
    picture = next(path for path in sorted(photos.rglob("*")) if path.is_file())
    content = picture.read_bytes()
    for place in (picture, picture.with_name("new.html")):
        assert "would lie among the pictures" in noonchi("check", photos, option, place).err
    assert picture.read_bytes() == content
    assert not picture.with_name("new.html").exists()


def test_a_page_takes_no_other_files_place(noonchi, photos, tmp_path):
    (tmp_path / "notes.txt").write_text("mine")
    assert noonchi("check", photos, "--html", tmp_path / "notes.txt").code == 2
    assert (tmp_path / "notes.txt").read_text() == "mine"


def test_overrides_for_arrays_are_refused(noonchi, tmp_path, bars):
    images, labels = bars(20, classes=2)
    np.savez(tmp_path / "a.npz", x=images, y=labels)
    answer = noonchi("check", tmp_path / "a.npz", "--write-overrides", tmp_path / "o.csv")
    assert answer.code == 2
    assert "overrides are for folders and tables" in answer.err


def test_data_that_cannot_be_used_end_with_3(noonchi, tmp_path):
    assert noonchi("check", tmp_path / "none").code == 3
    with pytest.raises(DataError, match="no file, folder or built-in"):
        examined(tmp_path / "none")


# The page


class Tags(HTMLParser):
    def __init__(self, text):
        super().__init__()
        self.tags, self.text = [], ""
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        self.tags.append((tag, dict(attributes)))

    def handle_data(self, data):
        self.text += data


def page_of(noonchi, data, place):
    assert noonchi("check", data, "--html", place).code == 0
    text = place.read_text(encoding="utf-8")
    return text, Tags(text)


def test_the_page_needs_nothing_else_and_runs_nothing(noonchi, photos, tmp_path):
    for name in ("one", "two"):
        save(photos, f"train/{HOSTILE}/{name}'\"&.png", photo(70))
    text, read = page_of(noonchi, photos, tmp_path / "page.html")
    images = [attributes for tag, attributes in read.tags if tag == "img"]
    assert len(images) == 2
    assert all(image["src"].startswith("data:image/jpeg;base64,") for image in images)
    assert images[0]["alt"] == f"train/{HOSTILE}/one'\"&.png"
    assert not any(name.startswith("on") for _, attributes in read.tags for name in attributes)
    assert not {"script", "link", "iframe"} & {tag for tag, _ in read.tags}
    assert f"train/{HOSTILE}/one'\"&.png" in read.text
    assert "http" not in text.replace("http-equiv", "")
    assert "default-src 'none'" in text
    assert "prefers-color-scheme: dark" in text


def test_the_page_shows_so_many_pictures_and_counts_the_rest(noonchi, photos, tmp_path):
    for at in range(page.MOST_CASES + 3):
        save(photos, f"train/cat/blank{at}.png", Image.new("L", (60 + at, 60), 9))
    for at in range(page.MOST_PICTURES + 2):
        shutil.copy(photos / "train/dog/0.png", photos / f"train/dog/again{at}.png")
    _, read = page_of(noonchi, photos, tmp_path / "page.html")
    assert sum(tag == "img" for tag, _ in read.tags) == page.MOST_CASES + page.MOST_PICTURES
    assert read.text.count("and 3 more") == 2


def test_the_page_shows_pictures_upright_and_in_their_shape(noonchi, photos, tmp_path):
    turned = Image.Exif()
    turned[0x0112] = 6
    for name in ("a", "b"):
        (photos / "train/cat").mkdir(exist_ok=True)
        photo(80, (200, 100)).save(photos / f"train/cat/{name}.jpg", exif=turned)
    _, read = page_of(noonchi, photos, tmp_path / "page.html")
    [image, _] = [attributes for tag, attributes in read.tags if tag == "img"]
    assert (image["width"], image["height"]) == ("72", "144")


def test_an_older_page_is_replaced(noonchi, photos, tmp_path):
    (tmp_path / "page.html").write_text("old")
    text, _ = page_of(noonchi, photos, tmp_path / "page.html")
    assert "Nothing found." in text


# Splits


@pytest.mark.parametrize(
    ("split", "severity", "about"),
    [
        ("train", "error", "no train pictures: nothing can be learnt"),
        ("val", "warning", "no val pictures: there is none to choose the best epoch by"),
        ("test", "warning", "no test pictures: how good a classifier is stays unknown"),
    ],
)
def test_a_split_without_pictures_is_found(photos, split, severity, about):
    shutil.rmtree(photos / split)
    [finding] = examined(photos, validation_share=0.0).findings
    assert (finding.kind, finding.severity, finding.about) == ("split-missing", severity, about)


# In training


def notes_of_training(data, tmp_path):
    import noonchi

    shown = []
    quick = [
        "record.plots=false",
        "record.tensorboard=false",
        "record.report=false",
        "device.precision=float32",
        "pixels.size=[8, 8]",
    ]
    noonchi.train(data, "mnist-one-conv", out=tmp_path / "run", epochs=1, overrides=quick, show=shown.append)
    return [event.text for event in shown if isinstance(event, Note) and "decoded pictures" not in event.text]


def test_training_tells_of_copies_across_splits_and_where_to_look(photos, tmp_path):
    shutil.copy(photos / "train/cat/0.png", photos / "test/cat/copy.png")
    shutil.rmtree(photos / "val/dog")
    assert notes_of_training(photos, tmp_path) == [
        f"1 picture in train and test alike: the test figure is too good. See: noonchi check {photos}",
        "no val picture of 'dog': how well it is told apart stays unknown",
    ]


def test_training_on_clean_data_tells_nothing(photos, tmp_path):
    assert notes_of_training(photos, tmp_path) == []


def test_the_quick_part_opens_no_picture(photos):
    shutil.copy(photos / "train/cat/0.png", photos / "test/cat/copy.png")
    index = sources.load(photos)
    shutil.rmtree(photos)
    assert [finding.kind for finding in check.quick(index)] == ["identical-across-splits"]


def test_checking_loads_no_torch(photos):
    code = f"""
import sys
from noonchi import cli
sys.argv[1:] = ["check", {str(photos)!r}]
print(cli._run(), "torch" in sys.modules)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.stdout.splitlines()[-1] == "0 False"
