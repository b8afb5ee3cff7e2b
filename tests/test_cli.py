"""The command line keeps its promises: texts, exit codes, one line an error, nothing left behind."""

import csv
import json
import os
import shlex
import shutil
import subprocess
import sys

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image

from noonchi import cli, networks, settings

SETTINGS = ("record.plots=false", "record.tensorboard=false", "record.report=false", "device.precision=float32")
QUICK = tuple(word for setting in SETTINGS for word in ("--set", setting))
SMALL = ("--recipe", "mnist-one-conv", "--set", "pixels.size=[8, 8]", *QUICK)
CLASSES = ("=cmd()", "cat", "눈치")


def draw_class_folders(root, *classes, count=6):
    """Grey pictures of different sizes; their level tells the class."""
    for number, name in enumerate(classes):
        (root / name).mkdir(parents=True)
        for picture in range(count):
            size = (12 + picture, 10 + number)
            pixels = np.random.default_rng(100 * number + picture).integers(0, 40, size) + 80 * number
            Image.fromarray(pixels.astype(np.uint8)).save(root / name / f"{picture}.png")
    return root


def train_here(folder, data, *arguments):
    """A run trained by `noonchi.train` itself, for tests of what comes after."""
    import noonchi

    quick = [*SETTINGS, "batches.size=8", "pixels.size=[8, 8]", *arguments]
    return noonchi.train(data, "mnist-one-conv", out=folder, epochs=1, overrides=quick, show=lambda _: None).folder


@pytest.fixture(scope="session")
def shared(tmp_path_factory):
    """A folder with `data/`, three classes of pictures, and `run/`, trained on them; only read."""
    folder = tmp_path_factory.mktemp("shared")
    train_here(folder / "run", draw_class_folders(folder / "data", *CLASSES))
    return folder


@pytest.fixture
def here(tmp_path, monkeypatch, bars):
    """An own working folder, with `a.npz` in it."""
    monkeypatch.chdir(tmp_path)
    images, labels = bars(60, classes=3)
    np.savez(tmp_path / "a.npz", x=images, y=labels)
    return tmp_path


@pytest.fixture
def run(here, shared):
    """A copy of the shared run, to be damaged."""
    shutil.copytree(shared / "run", here / "run")
    return here / "run"


def one_line(answer, code):
    """The error's line, having held that it is one, on the right stream, with the right code."""
    assert (answer.code, answer.out) == (code, "")
    assert answer.err.startswith("noonchi: ")
    assert answer.err.count("\n") == 1
    assert "Traceback" not in answer.err
    return answer.err


def everything_in(folder):
    return sorted(path for path in folder.rglob("*") if path.name != "runs")


def control_codes(text):
    return [letter for letter in text if not letter.isprintable() and letter != "\n"]


# Help


@pytest.mark.parametrize("command", ["", "tune lr", *sorted(cli.noonchi.commands)])
def test_help_is_the_golden_one_and_fits_80_columns(golden, command):
    told = CliRunner().invoke(cli.noonchi, [*command.split(), "--help"], env={"COLUMNS": "80"})
    assert told.exit_code == 0
    assert max(map(len, told.output.splitlines())) <= 80
    golden(told.output, f"help/{command.replace(' ', '-') or 'noonchi'}.txt")


def test_dash_h_is_help_for_every_command():
    for command in cli.noonchi.commands:
        short, long = (CliRunner().invoke(cli.noonchi, [command, option]).output for option in ("-h", "--help"))
        assert short == long


def test_without_a_command_the_help_is_shown_with_exit_code_2(noonchi):
    answer = noonchi()
    assert answer.code == 2
    assert "Commands:" in answer.err


# Wrong data


@pytest.mark.parametrize(
    ("data", "told"),
    [
        ("none", "'none' is no file, folder or built-in data set"),
        ("digit", "Did you mean 'digits'?"),
        ("one", "holds 1 class ('cats'); a classifier needs 2"),
        ("empty", "holds no classes"),
        ("no_column.csv", "lacks a column 'file_name' or 'path'; it has: picture, label"),
        ("absent.csv", "names 1 files that are absent: a.png"),
        ("bad.npz", "cannot be read as an .npz"),
        ("two", "1 of 12 pictures cannot be used, first 'b/0.png'"),
    ],
)
def test_wrong_data_are_one_line_with_exit_code_3_and_leave_nothing(noonchi, here, data, told):
    draw_class_folders(here / "one", "cats")
    draw_class_folders(here / "two", "a", "b")
    cut = here / "two" / "b" / "0.png"
    cut.write_bytes(cut.read_bytes()[:60])
    (here / "empty").mkdir()
    (here / "no_column.csv").write_text("picture,label\na.png,1\n")
    (here / "absent.csv").write_text("path,label\na.png,1\n")
    (here / "bad.npz").write_bytes(b"PK no archive")
    before = everything_in(here)
    answer = noonchi("train", data, "--out", "new", *QUICK)
    last = answer.err.splitlines(keepends=True)[-1]  # before it, notes say which recipe is taken and what is unusable
    assert told in one_line(answer._replace(err=last), 3)
    assert "Traceback" not in answer.err
    assert everything_in(here) == before


def test_predict_answers_for_the_others_and_names_each_picture_it_cannot_read(noonchi, here, shared):
    (here / "text.png").write_text("no picture")
    answer = noonchi("predict", shared / "run", "text.png", shared / "data" / "cat" / "0.png", "absent.png")
    assert answer.code == 3
    assert answer.out.startswith(str(shared / "data" / "cat" / "0.png"))
    assert answer.out.count("\n") == 1
    told = answer.err.splitlines()
    assert len(told) == 2
    assert "text.png" in told[0]
    assert "absent.png" in told[1]
    assert "No such file" in told[1]


def test_a_name_with_control_codes_does_not_reach_the_terminal(noonchi, here, run):
    name = "a\x1b[2J\n\u202e.png"
    shutil.copy(_picture(here), here / name)
    answer = noonchi("predict", run, name, "absent\nnoonchi: all is well.png")
    assert answer.out.startswith("a\\x1b[2J\\n\\u202e.png  ")
    assert control_codes(answer.out) == []
    one_line(answer._replace(out=""), 3)


def _picture(folder):
    Image.new("L", (9, 9)).save(folder / "grey.png")
    return folder / "grey.png"


# What is printed


def test_train_says_where_the_run_is_and_what_comes_next(noonchi, here):
    answer = noonchi("train", "a.npz", "--epochs", 2, "--batch-size", 16, "--out", "a new run", *SMALL)
    assert answer.code == 0
    lines = answer.out.splitlines()
    assert lines[0].startswith("2 epochs in ")
    assert lines[1].startswith("val accuracy ")
    assert "95 % interval" in lines[2]
    assert lines[-2:] == ["run in a new run", "next: noonchi predict 'a new run' PICTURE..."]
    assert [line.split()[0] for line in answer.err.splitlines()] == ["1", "2"]


def test_train_json_is_one_object_with_keras_names(noonchi, here):
    answer = noonchi("train", "a.npz", "--json", "--epochs", 1, "--out", "new", *SMALL)
    told = json.loads(answer.out)
    assert answer.out.count("\n") == 1
    assert list(told) == ["run", "epochs", "seconds", "val", "test"]
    assert (told["run"], told["epochs"]) == ("new", 1)
    for split in ("val", "test"):
        assert list(told[split]) == ["loss", "accuracy", "accuracy_interval", "num_pictures"]
    assert json.loads((here / "new" / "test.json").read_text()) == told


def test_val_json_gives_what_the_run_recorded(noonchi, shared):
    told = json.loads(noonchi("val", shared / "run", "--json").out)
    assert told.pop("run") == str(shared / "run")
    assert told.pop("split") == "test"
    assert told == json.loads((shared / "run" / "test.json").read_text())["test"]


def test_val_scores_another_split_and_other_data(noonchi, shared, tmp_path):
    draw_class_folders(tmp_path / "new", "cat", "눈치", count=2)
    train = json.loads(noonchi("val", shared / "run", "--split", "train", "--json").out)
    new = json.loads(noonchi("val", shared / "run", "--data", tmp_path / "new", "--json").out)
    assert train["num_pictures"] > new["num_pictures"] == 4


def test_val_in_words_names_split_interval_and_pictures(noonchi, shared):
    words = noonchi("val", shared / "run").out
    assert words.startswith("test accuracy 0.") or words.startswith("test accuracy 1.")
    assert " pictures)\n" in words


def test_predict_points_to_invert_for_a_negative_of_the_training_pictures(noonchi, here, bars):
    images, labels = bars(60, classes=3)
    images[:, [0, -1]] = images[:, :, [0, -1]] = 0
    np.savez(here / "black_edges.npz", x=images, y=labels)
    folder = train_here(here / "run", here / "black_edges.npz")
    Image.fromarray(255 - images[0].reshape(images.shape[1:3])).save("negative.png")
    assert noonchi("predict", folder, "negative.png").err == (
        "note: 'negative.png' looks like a negative of the training pictures; try --invert auto\n"
    )
    assert noonchi("predict", folder, "negative.png", "--invert", "auto").err == ""


def test_predict_shows_the_likeliest_classes_in_a_line_each(noonchi, shared):
    picture = shared / "data" / "cat" / "0.png"
    [line] = noonchi("predict", shared / "run", picture).out.splitlines()
    name, *answers = line.split("  ")
    assert name == str(picture)
    assert {answer.split()[0] for answer in answers} == set(CLASSES)
    shares = [float(answer.split()[1]) for answer in answers]
    assert shares == sorted(shares, reverse=True)


def test_a_folder_stands_for_the_pictures_in_it(noonchi, shared):
    assert noonchi("predict", shared / "run", shared / "data", "--top", 1).out.count("\n") == 18


def test_val_says_what_it_is_sure_of_and_how_right_it_is_then(noonchi, shared):
    told = json.loads(noonchi("val", shared / "run", "--split", "train", "--abstain", "0.2", "--json").out)
    assert told["sure"]["least"] == 0.2
    assert 0 < told["sure"]["coverage"] <= 1
    words = noonchi("val", shared / "run", "--split", "train", "--abstain", "0.2").out.splitlines()
    assert words[1].startswith(f"at least 0.2 sure of {told['sure']['coverage']:.1%} of them: accuracy ")
    assert "sure" not in json.loads(noonchi("val", shared / "run", "--json").out)


def test_predict_calls_what_it_is_not_sure_of_unsure(noonchi, shared):
    pictures = shared / "data" / "cat"
    assert all(
        "unsure: " in line for line in noonchi("predict", shared / "run", pictures, "--abstain", "1").out.splitlines()
    )
    assert "unsure" not in noonchi("predict", shared / "run", pictures, "--abstain", "0").out
    lines = noonchi("predict", shared / "run", pictures, "--abstain", "1", "--json").out.splitlines()
    assert not any(json.loads(line)["label"]["sure"] for line in lines)


@pytest.mark.parametrize("option", ["--json", "--format=json"])
def test_predict_json_is_one_object_a_line(noonchi, shared, option):
    answer = noonchi("predict", shared / "run", shared / "data" / "cat", option, "--top", 2)
    told = [json.loads(line) for line in answer.out.splitlines()]
    assert len(told) == 6
    for one in told:
        assert list(one) == ["picture", "label"]
        likeliest, second = one["label"]["probabilities"].items()
        assert one["label"]["answer"] == likeliest[0]
        assert likeliest[1] >= second[1]


def test_predict_csv_lets_no_spreadsheet_run_a_class_called_as_a_formula(noonchi, shared):
    answer = noonchi("predict", shared / "run", shared / "data" / "cat", "--format", "csv", "--top", 3)
    rows = list(csv.DictReader(answer.out.splitlines()))
    assert list(rows[0]) == ["picture", "head", "rank", "class", "probability"]
    assert {row["class"] for row in rows} == {"'=cmd()", "cat", "눈치"}
    assert [row["rank"] for row in rows[:3]] == ["1", "2", "3"]
    assert sum(float(row["probability"]) for row in rows[:3]) == pytest.approx(1, abs=1e-5)


def test_summary_counts_the_parameters_of_the_first_convnet(noonchi):
    told = json.loads(noonchi("summary", "mnist-convnet", "--json").out)
    assert told["parameters"] == told["trainable"] == 93_322


@pytest.mark.parametrize("name", sorted({*settings.recipe_names(), *networks.NETWORKS}))
def test_every_recipe_and_every_network_has_a_summary(noonchi, name):
    answer = noonchi("summary", name)
    assert (answer.code, answer.err) == (0, "")
    assert "parameters" in answer.out


def test_summary_of_a_run_is_that_of_its_own_network(noonchi, shared):
    told = json.loads(noonchi("summary", shared / "run", "--json").out)
    assert told["input_shape"] == [8, 8, 1]


@pytest.mark.parametrize("what", ["recipes", "networks", "datasets"])
def test_list_names_and_describes_all_there_are(noonchi, what):
    told = json.loads(noonchi("list", what, "--json").out)
    assert list(told) == [what]
    assert all(one["name"] and one["about"] for one in told[what])
    assert [line.split()[0] for line in noonchi("list", what).out.splitlines()] == [one["name"] for one in told[what]]


# One's own network

OWN = """
from torch import nn


class Net(nn.Sequential):
    def __init__(self, shape, outputs):
        super().__init__(nn.Flatten(), nn.Linear(shape.height * shape.width * shape.channels, outputs))
"""


def test_ones_own_network_trains_and_is_imported_later_only_if_trusted(noonchi, here):
    (here / "net.py").write_text(OWN)
    trained = noonchi("train", "a.npz", "--set", "model.network=net.py:Net", "--epochs", 1, "--out", "own", *QUICK)
    assert trained.code == 0, trained.err
    (here / "ran").unlink(missing_ok=True)
    (here / "net.py").write_text(OWN + "open('ran', 'w').close()\n")
    for command in ("val own", "predict own {}", "train --resume own", "summary own"):
        arguments = command.format(_picture(here)).split()
        assert "--trust-code" in one_line(noonchi(*arguments), 4)
        assert not (here / "ran").exists()
        answer = noonchi(*arguments, "--trust-code")
        assert answer.code == 0, answer.err
        (here / "ran").unlink()


# Real processes


def shell(line, folder, **environment):
    command = line.replace("noonchi", f"{shlex.quote(sys.executable)} -m noonchi")
    return subprocess.run(
        ["bash", "-o", "pipefail", "-c", command],
        cwd=folder,
        capture_output=True,
        check=False,
        env=os.environ | environment,
    )


def test_a_real_process_gives_json_lines_and_exit_codes_to_a_pipe(here):
    quick = shlex.join(SMALL)
    done = shell(f"noonchi train a.npz --json --epochs 1 --out new {quick}", here, FORCE_COLOR="")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["run"] == "new"
    assert control_codes(done.stdout.decode()) == []
    assert control_codes(done.stderr.decode()) == []
    assert done.stderr.count(b"\n") == 1


@pytest.mark.parametrize("layout", ["table", "csv"])
def test_a_reader_that_goes_early_is_no_error_to_speak_of(here, shared, layout):
    # the reader is gone before the first line comes
    done = shell(f"noonchi predict {shared}/run {shared}/data --format {layout} | true", here)
    assert done.stderr == b""
    assert done.returncode == 141


def test_names_that_are_not_utf8_or_not_in_the_terminals_letters_are_escaped(here, shared):
    name = os.fsdecode(b"\xff.png")
    shutil.copy(shared / "data" / "cat" / "0.png", here / name)
    line = f"noonchi predict {shared}/run $'\\xff.png' --format"
    for layout in ("table", "csv", "json"):
        done = shell(f"{line} {layout}", here, PYTHONIOENCODING="latin-1")
        assert (done.returncode, done.stderr) == (0, b"")
        assert b"\\udcff.png" in done.stdout
        assert b"\\ub208\\uce58" in done.stdout


def test_python_dash_m_noonchi_tells_the_version_and_a_wrong_option(here):
    done = shell("noonchi train --epoch 3", here)
    assert (done.returncode, done.stdout) == (2, b"")
    assert done.stderr.decode() == (
        "noonchi: No such option '--epoch'. Did you mean '--epochs'? See: python -m noonchi train --help\n"
    )


FAILING = {
    "no weights to train": "def net(): return nn.Sequential(nn.AdaptiveAvgPool2d((1, 3)), nn.Flatten())",
    "cannot be trained: ": """
class net(nn.Sequential):
    def __init__(self):
        super().__init__(nn.Flatten(), nn.LazyLinear(3))
    def forward(self, images):
        return super().forward(images).detach()
""",
    "the loss became nan": """
class net(nn.Sequential):
    def __init__(self):
        super().__init__(nn.Flatten(), nn.LazyLinear(3))
    def forward(self, images):
        return super().forward(images) * float("nan")
""",
}


@pytest.mark.parametrize("told", FAILING)
def test_an_own_network_that_cannot_be_trained_is_one_line_and_leaves_nothing(noonchi, here, told):
    (here / "failing.py").write_text(f"from torch import nn\n{FAILING[told]}\n")
    answer = noonchi("train", "a.npz", "--set", "model.network=failing.py:net", "--out", "own", *QUICK)
    assert answer.code in (2, 4)
    assert told in answer.err.splitlines()[-1]
    assert "Traceback" not in answer.err
    assert not (here / "own").exists()


def test_a_recipe_file_that_names_python_code_needs_trust(noonchi, here):
    (here / "net.py").write_text(OWN + "open('ran', 'w').close()\n")
    (here / "shared.toml").write_text('[model]\nnetwork = "net.py:Net"\n')
    line = one_line(noonchi("train", "a.npz", "--recipe", "shared.toml", "--out", "own", *QUICK), 4)
    assert "--trust-code" in line
    assert not (here / "ran").exists()


def test_what_an_own_network_prints_stays_off_the_json(noonchi, here):
    (here / "net.py").write_text(OWN + "print('HELLO')\n")
    quick = ("--epochs", 1, "--out", "own", *QUICK)
    answer = noonchi("train", "a.npz", "--set", "model.network=net.py:Net", "--json", *quick)
    assert json.loads(answer.out)["epochs"] == 1
    assert "HELLO" in answer.err


def test_a_recipes_name_cannot_lead_out_of_runs(noonchi, here):
    answer = noonchi("train", "a.npz", "--set", "recipe=../../evil\n", "--epochs", 1, *SMALL)
    assert answer.code == 0
    assert [entry.name for entry in (here / "runs").iterdir()] == ["a-evil-1"]


def test_a_full_disk_is_one_line(noonchi, shared):
    done = subprocess.run(
        f"{shlex.quote(sys.executable)} -m noonchi list settings > /dev/full",
        shell=True,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 4
    assert done.stderr.count("\n") == 1
    assert "No space left on device" in done.stderr
