import io
import json
import os
import shutil
import subprocess
import sys

import datasets
import numpy as np
import pytest
from PIL import Image

from noonchi import cache, sources
from noonchi.errors import DataError
from noonchi.settings import DataSettings, HeadSettings, PixelSettings
from noonchi.sources import load

CLASSES = datasets.ClassLabel(names=["dog", "cat"])  # not in our order
PLAIN = {"image": datasets.Image(), "label": CLASSES}


@pytest.fixture(autouse=True)
def own_cache(tmp_path_factory, monkeypatch):
    place = tmp_path_factory.mktemp("hf")
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", place)
    monkeypatch.setattr(datasets.config, "DOWNLOADED_DATASETS_PATH", place / "downloads")
    monkeypatch.setattr(datasets.config, "EXTRACTED_DATASETS_PATH", place / "downloads" / "extracted")
    datasets.disable_progress_bars()


def png(seed: int) -> bytes:
    image = np.random.default_rng(seed).integers(0, 256, (8, 8, 3), np.uint8)
    file = io.BytesIO()
    Image.fromarray(image).save(file, "PNG")
    return file.getvalue()


def rows(count: int = 6, first: int = 0, **columns) -> dict:
    pictures = [{"bytes": png(first + at), "path": f"{at}.png"} for at in range(count)]
    return {"image": pictures, "label": [at % 2 for at in range(count)], **columns}


def made(values: dict, features: dict) -> datasets.Dataset:
    return datasets.Dataset.from_dict(values, features=datasets.Features(features))


@pytest.fixture
def saved(tmp_path):
    """Saves rows as `save_to_disk` does, and gives the folder."""

    def save(values: dict | None = None, features: dict | None = None, /, **splits: dict):
        folder = tmp_path / "saved"
        if splits:
            parts = {name: made(one, features or PLAIN) for name, one in splits.items()}
            datasets.DatasetDict(parts).save_to_disk(folder)
        else:
            made(values or rows(), features or PLAIN).save_to_disk(folder)
        return folder

    return save


@pytest.fixture
def class_folders(tmp_path):
    """The pictures of `rows(count)` in class folders."""

    def write(count: int = 6):
        for at in range(count):
            folder = tmp_path / "folder" / ["dog", "cat"][at % 2]
            folder.mkdir(parents=True, exist_ok=True)
            (folder / f"{at:03}.png").write_bytes(png(at))
        return tmp_path / "folder"

    return write


def test_a_saved_data_set_gives_its_pictures_undecoded(saved):
    index = load(saved())
    assert index.name == "saved"
    assert index.ids == tuple(f"all/{at}" for at in range(6))
    assert index.pictures[3] == png(3)
    assert index.heads[0].classes == ("cat", "dog")
    assert index.labels["label"].tolist() == [1, 0, 1, 0, 1, 0]


def test_its_pictures_are_those_of_a_folder(saved, class_folders):
    here, there = load(saved(rows(40))), load(class_folders(40))
    assert sorted(here.hashes) == sorted(there.hashes)
    assert dict(zip(here.hashes, here.splits.tolist(), strict=True)) == dict(
        zip(there.hashes, there.splits.tolist(), strict=True)
    )
    pixels = PixelSettings(size=(4, 4), channels=3)
    ours, theirs = (
        dict(zip(index.hashes, map(bytes, cache.decode(index, pixels).array), strict=True)) for index in (here, there)
    )
    assert ours == theirs


def test_training_on_it_learns_what_training_on_the_folder_does(saved, class_folders, tmp_path, one_thread):
    import noonchi

    few = ["batches.size=8", "pixels.size=[8, 8]"]
    runs = [
        noonchi.train(data, "mnist-one-conv", out=tmp_path / name, epochs=2, overrides=few, show=lambda _: None)
        for name, data in [("a", saved(rows(40))), ("b", class_folders(40))]
    ]
    ours, theirs = ({row[2]: row[1:] for row in sources.read_splits(run.folder / "splits.csv").rows} for run in runs)
    assert ours == theirs
    assert noonchi.resume(runs[0].folder, show=lambda _: None).epochs == runs[0].epochs


def test_splits_go_by_the_names_that_folders_have(saved):
    index = load(saved(train=rows(6), validation=rows(4, 10), test=rows(4, 20)))
    assert index.sizes() == {"train": 6, "val": 4, "test": 4}
    assert (index.ids[0], index.ids[6], index.ids[13]) == ("train/0", "val/0", "test/3")


def test_a_sole_train_split_is_data_in_one_piece(saved):
    index = load(saved(train=rows(80)))
    assert index.ids[17] == "train/17"
    assert set(index.sizes()) == {"train", "val", "test"}


def test_other_splits_are_left_out_with_a_note(saved):
    index = load(saved(train=rows(6), test=rows(4, 10), extra=rows(4, 20)))
    assert index.notes == ("left out: split 'extra'; train, validation and test are taken",)
    assert "extra/0" not in index.ids


def test_no_known_split_is_refused(saved):
    with pytest.raises(DataError, match=r"has the splits 'extra'; expected train, validation or test\."):
        load(saved(extra=rows(4)))


def test_two_names_of_one_split_are_refused(saved):
    with pytest.raises(DataError, match="holds both 'val' and 'validation'"):
        load(saved(train=rows(4), val=rows(4, 10), validation=rows(4, 20)))


def test_labels_are_declared_or_plain_and_the_rest_is_passed_over(saved):
    more = {
        "old": ([True, False] * 3, datasets.Value("bool")),
        "legs": ([4, 4, 4, 2, 2, 2], datasets.Value("int32")),
        "place": (["Ulm", "Bonn"] * 3, datasets.Value("string")),
        "name": ([f"pet {at}" for at in range(6)], datasets.Value("string")),
        "told": (["yes", None, "no", "no", "no", "yes"], datasets.Value("string")),
        "weight": ([1.5] * 6, datasets.Value("float32")),
    }
    values = rows(6, **{name: each for name, (each, _) in more.items()})
    index = load(saved(values, PLAIN | {name: feature for name, (_, feature) in more.items()}))
    assert {head.name: head.classes for head in index.heads} == {
        "label": ("cat", "dog"),
        "old": ("False", "True"),
        "legs": ("2", "4"),
        "place": ("Bonn", "Ulm"),
    }
    assert index.notes == (
        "passed over: column 'weight' (float32), 'name' (another value for most pictures), "
        "'told' (empty for some pictures)",
    )


def test_a_list_of_classes_is_several_labels(saved):
    features = PLAIN | {"label": datasets.List(datasets.ClassLabel(names=["dog", "cat", "owl"]))}
    values = rows(4) | {"label": [[0, 1], [], [1], [0]]}
    index = load(saved(values, features))
    assert (index.heads[0].kind, index.heads[0].classes) == ("labels", ("cat", "dog"))
    assert index.labels["label"].tolist() == [[1, 1], [0, 0], [1, 0], [0, 1]]


def test_a_head_may_name_one_column(saved):
    index = load(
        saved(rows(6, odd=["a", "b", "b"] * 2), PLAIN | {"odd": datasets.Value("string")}),
        None,
        {"odd": HeadSettings()},
    )
    assert [head.name for head in index.heads] == ["odd"]


def test_what_is_no_labelled_picture_is_listed(saved):
    values = rows(9)
    values["image"][1] = {"bytes": b"", "path": None}
    values["image"][2] = None
    values["image"][3] = {"bytes": b"no picture", "path": "3.png"}
    values["label"][4] = None
    values["label"][5] = -1
    index = load(saved(values))
    assert index.ids == ("all/0", "all/6", "all/7", "all/8")
    assert index.pictures[1] == png(6)
    assert dict(index.unusable) == {
        "all/1": "an empty file",
        "all/2": "no picture in this row",
        "all/3": "not a JPEG, PNG, WebP, GIF, BMP, TIFF or PPM picture",
        "all/4": "no label in 'label'",
        "all/5": "no label in 'label'",
    }


def test_a_split_without_labels_is_left_out(saved):
    index = load(saved(train=rows(6), validation=rows(4, 10), test=rows(4, 20) | {"label": [-1] * 4}))
    assert index.notes == ("left out: split 'test', in which no picture has a label in 'label'",)
    assert index.sizes() == {"train": 6, "val": 4}


@pytest.mark.parametrize(
    ("values", "features", "told"),
    [
        (
            {"label": [0, 1]},
            {"label": CLASSES},
            r"has 0 columns of pictures \(type Image\), expected 1; it has: label \(ClassLabel\)\.",
        ),
        (
            rows(2) | {"mask": rows(2)["image"]},
            PLAIN | {"mask": datasets.Image()},
            r"has 2 columns .* it has: image \(Image\), label \(ClassLabel\), mask \(Image\)\.",
        ),
        (
            {"image": rows(2)["image"], "x": [0.5, 1.5]},
            {"image": datasets.Image(), "x": datasets.Value("float64")},
            r"has no column of labels .* it has: image \(Image\), x \(float64\)",
        ),
        (
            {"image": rows(3)["image"], "x": ["a", None, "b"]},
            {"image": datasets.Image(), "x": datasets.Value("string")},
            r"has no column of labels: 'x' \(empty for some pictures\)",
        ),
        (rows(3) | {"image": [None] * 3}, PLAIN, "holds no picture that can be used; first: no picture in this row"),
        (rows(0), PLAIN, "holds no pictures: it was saved empty"),
    ],
)
def test_what_cannot_be_meant_is_one_line(saved, values, features, told):
    with pytest.raises(DataError, match=told) as raised:
        load(saved(values, features))
    assert "\n" not in str(raised.value)


def test_a_local_folder_is_read_as_load_dataset_reads_it(class_folders, monkeypatch, tmp_path):
    class_folders(6)
    monkeypatch.chdir(tmp_path)
    index = load("hf:./folder")
    assert index.heads[0].classes == ("cat", "dog")
    assert sorted(index.hashes) == sorted(load("folder").hashes)
    assert index.pictures[0] in map(png, range(6))


def test_a_local_name_of_a_saved_folder_is_that_folder(saved):
    folder = saved()
    assert load(f"hf:{folder}").hashes == load(folder).hashes


def test_names_last(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert sources.lasting_name("hf:ylecun/mnist") == "hf:ylecun/mnist"
    assert sources.lasting_name("hf:./x") == f"hf:{tmp_path.resolve() / 'x'}"


@pytest.mark.parametrize("name", ["hf:", "hf:mnist", "hf:a/b/c/d", "hf:imagefolder", "hf:a/b?c"])
def test_what_is_no_name_is_refused(name):
    with pytest.raises(DataError, match=r"expected hf:OWNER/NAME, hf:OWNER/NAME/CONFIG or hf:\./folder"):
        load(name)


def test_a_name_that_cannot_be_fetched_is_one_line(monkeypatch):
    monkeypatch.setattr(datasets.config, "HF_HUB_OFFLINE", True)
    with pytest.raises(DataError, match="'hf:nobody/nothing' cannot be loaded: ") as raised:
        load("hf:nobody/nothing")
    assert "\n" not in str(raised.value)


def test_a_name_is_not_mistaken_for_a_folder_here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a" / "b").mkdir(parents=True)
    with pytest.raises(DataError, match=r"write hf:\./a/b for it"):
        load("hf:a/b")


def test_code_that_comes_with_a_folder_never_runs(class_folders):
    folder = class_folders()
    (folder / "folder.py").write_text(f"open({str(folder / 'ran')!r}, 'w')")
    with pytest.raises(DataError):
        load(f"hf:{folder}")
    assert not (folder / "ran").exists()


OUTSIDE = "its file lies outside the data's folder; data.follow_links = true takes it"


@pytest.mark.parametrize("path", ["/etc/passwd", "../secret.png", "a\0b"])
def test_pictures_elsewhere_are_not_read(saved, tmp_path, path):
    (tmp_path / "secret.png").write_bytes(png(99))
    values = rows(4)
    folder = saved(values)
    forge(folder, {"bytes": None, "path": path})
    index = load(folder)
    assert index.unusable == (("all/0", OUTSIDE),)


def test_pictures_elsewhere_are_read_where_that_is_asked_for(saved, tmp_path):
    (tmp_path / "secret.png").write_bytes(png(99))
    folder = saved(rows(4))
    forge(folder, {"bytes": None, "path": "../secret.png"})
    assert load(folder, DataSettings(follow_links=True)).pictures[0] == png(99)


def test_a_link_among_the_pictures_leads_nowhere(saved, tmp_path):
    (tmp_path / "secret.png").write_bytes(png(99))
    folder = saved(rows(4))
    (folder / "link.png").symlink_to(tmp_path / "secret.png")
    forge(folder, {"bytes": None, "path": "link.png"})
    assert load(folder).unusable == (("all/0", OUTSIDE),)


def test_a_picture_changed_after_it_was_looked_at_is_told(saved):
    folder = saved(rows(4))
    (folder / "kept.png").write_bytes(png(50))
    forge(folder, {"bytes": None, "path": "kept.png"})
    index = load(folder)
    assert index.pictures[0] == png(50)
    (folder / "kept.png").write_bytes(png(51))
    with pytest.raises(DataError, match=r"picture 'all/0' of .* was changed while it was read"):
        index.pictures[0]


def forge(folder, first: dict) -> None:
    """Writes a saved data set's Arrow file anew, with another first picture: saving would take its bytes in."""
    import pyarrow as pa

    (file,) = folder.glob("*.arrow")
    with pa.ipc.open_stream(file.read_bytes()) as stream:
        table = stream.read_all()
    pictures = [first, *table.column("image").to_pylist()[1:]]
    table = table.set_column(0, table.schema.field("image"), pa.array(pictures, table.schema.field("image").type))
    with pa.OSFile(str(file), "wb") as sink, pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)


def edit(path, **changes) -> None:
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


BAD_FOLDERS = {
    "no JSON": (lambda folder: (folder / "state.json").write_text("{"), "holds no list '_data_files'"),
    "nested JSON": (lambda folder: (folder / "state.json").write_text("[" * 100_000), "holds no list"),
    "a file elsewhere": (
        lambda folder: edit(folder / "state.json", _data_files=[{"filename": "../../x.arrow"}]),
        "names '../../x.arrow'; expected the name of something beside it",
    ),
    "an absolute file": (
        lambda folder: edit(folder / "state.json", _data_files=[{"filename": "/etc/passwd"}]),
        "names '/etc/passwd'",
    ),
    "no file's name": (lambda folder: edit(folder / "state.json", _data_files=[7]), "names 'None'"),
    "a pipe": (
        lambda folder: (os.mkfifo(folder / "pipe"), edit(folder / "state.json", _data_files=[{"filename": "pipe"}])),
        "not a regular file",
    ),
    "forged columns": (
        lambda folder: edit(folder / "dataset_info.json", features={"image": {"_type": "Image"}}),
        "cannot be loaded",
    ),
    "forged types": (
        lambda folder: edit(folder / "dataset_info.json", features={"image": {"_type": "os.system"}}),
        "cannot be loaded",
    ),
    "too few classes": (
        lambda folder: edit(
            folder / "dataset_info.json",
            features={"image": {"_type": "Image"}, "label": {"_type": "ClassLabel", "names": ["one"]}},
        ),
        "holds class number 1, and names 1 classes",
    ),
    "no Arrow": (lambda folder: next(folder.glob("*.arrow")).write_bytes(b"no arrow file at all"), "is damaged"),
    "an empty file": (lambda folder: next(folder.glob("*.arrow")).write_bytes(b""), "is damaged"),
    "cut off": (
        lambda folder: next(folder.glob("*.arrow")).write_bytes(next(folder.glob("*.arrow")).read_bytes()[:900]),
        "is damaged",
    ),
}


@pytest.mark.parametrize("how", BAD_FOLDERS)
def test_a_forged_or_damaged_folder_is_one_line(saved, how):
    spoil, told = BAD_FOLDERS[how]
    folder = saved()
    spoil(folder)
    with pytest.raises(DataError, match=told) as raised:
        load(folder)
    assert "\n" not in str(raised.value)


def test_a_forged_split_is_refused(saved):
    folder = saved(train=rows(4))
    edit(folder / "dataset_dict.json", splits=["../elsewhere"])
    with pytest.raises(DataError, match=r"names '../elsewhere'"):
        load(folder)


def test_a_linked_file_outside_is_refused(saved, tmp_path):
    folder = saved()
    (file,) = folder.glob("*.arrow")
    shutil.move(file, tmp_path / "moved.arrow")
    file.symlink_to(tmp_path / "moved.arrow")
    with pytest.raises(DataError, match="a link that leaves the data's folder"):
        load(folder)


DAMAGED = """
import random, sys
from pathlib import Path
from noonchi.errors import DataError
from noonchi.sources import load

folder = Path(sys.argv[1])
(file,) = folder.glob("*.arrow")
whole = file.read_bytes()
draw = random.Random(int(sys.argv[2]))
for _ in range(int(sys.argv[3])):
    spoiled = bytearray(whole)
    for _ in range(draw.choice([1, 1, 4, 40])):
        spoiled[draw.randrange(len(spoiled))] = draw.randrange(256)
    file.write_bytes(spoiled)
    try:
        list(load(folder).pictures)
    except DataError as error:
        assert chr(10) not in str(error)
"""


def test_damage_anywhere_in_an_arrow_file_neither_crashes_nor_escapes(saved, rng, times):
    folder = saved(rows(20))
    command = [sys.executable, "-c", DAMAGED, str(folder), str(rng.randrange(10**6)), str(times(60, 3000))]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=280)
    assert done.returncode == 0, done.stderr[-2000:]


def test_data_of_other_kinds_do_not_import_the_library(class_folders):
    folder = str(class_folders())
    code = f"import sys; from noonchi.sources import load; load({folder!r}); print('datasets' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"


def test_the_library_is_told_not_to_report(saved):
    code = (
        f"from noonchi.sources import load; load({str(saved())!r}); import datasets; "
        "print(datasets.config.HF_UPDATE_DOWNLOAD_COUNTS, datasets.config.constants.HF_HUB_DISABLE_TELEMETRY)"
    )
    clean = {name: value for name, value in os.environ.items() if not name.startswith("HF_")}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=clean)
    assert done.stdout == "False True\n"


def test_a_saved_data_set_stands_for_pictures_to_predict(saved):
    found = sources.pictures(str(saved()))
    assert [found.pictures[at] for at in range(len(found.ids))] == [png(at) for at in range(6)]


def test_what_is_said_of_pictures_that_are_no_files_is_to_be_written(saved):
    for data in (saved(), "hf:owner/name", "http://example.org/shards"):
        with pytest.raises(DataError, match=r"no files of their own; .* --out FILE\.parquet"):
            sources.picture_paths(data)
