"""Each benchmark runs on a toy size; its figures are not judged here."""

import subprocess
import sys
from pathlib import Path

import pytest
from torch.utils.flop_counter import FlopCounterMode

from noonchi import networks
from noonchi.networks import PictureShape
from noonchi.results import Head
from noonchi.settings import ModelSettings

FOLDER = Path(__file__).parent.parent / "benchmarks"


def run(*command: object) -> list[str]:
    """The lines that a benchmark prints."""
    done = subprocess.run([sys.executable, *map(str, command)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


def test_the_table_of_recipes_has_a_row_a_recipe() -> None:
    lines = run(FOLDER / "recipes.py", "digits", "mnist-mlp", "--seeds", "0", "1", "--epochs", "1")
    assert lines[-1].startswith("| `mnist-mlp` | 0.")


def test_the_table_of_mnist_has_a_row_a_way_to_train() -> None:
    lines = run(FOLDER / "mnist.py", "--toy", "--rows", "fast", "best")
    assert [line.split("`")[1] for line in lines[-2:]] == [
        "noonchi train mnist --recipe mnist-fast",
        "noonchi train mnist --budget 295s",
    ]


@pytest.mark.parametrize(("file", "own_sides"), [("input.py", 1), ("photos_epoch.py", 2)])
def test_sides_whose_environment_is_missing_are_left_out_of_a_toy(file: str, own_sides: int, tmp_path: Path) -> None:
    lines = run(FOLDER / file, "--toy", "--peers", tmp_path, "--starts", 1, "--turns", 2)
    rows = lines[lines.index("| --- | --- | --- | --- | --- | --- | --- |") + 1 :]
    assert len(rows) == own_sides
    assert all(row.startswith("| noonchi") for row in rows)


def test_a_side_that_fails_leaves_the_others_in_the_table(tmp_path: Path) -> None:
    broken = tmp_path / "keras" / "bin" / "python"
    broken.parent.mkdir(parents=True)
    broken.write_text("#!/bin/sh\nexit 3\n")
    broken.chmod(0o755)
    (tmp_path / "keras" / "made-from.txt").write_text((FOLDER / "peers" / "keras.txt").read_text())
    lines = run(FOLDER / "input.py", "--toy", "--peers", tmp_path, "--starts", 1, "--turns", 2, "--only", "tf.data")
    assert lines[-1].startswith("| Keras layers in tf.data, cached (it ended with code 3) | - | - |")
    assert lines[-2].startswith("| noonchi | ")


def test_steps_are_told_beside_the_arithmetic_that_torch_counts(tmp_path: Path) -> None:
    digit, cat = Head("label", "classes", tuple("0123456789")), Head("label", "binary", ("cat", "dog"))
    counted = []
    for name, shape, head in (
        ("mnist-deep-convnet", PictureShape(28, 28, 1), digit),
        ("photos-convnet", PictureShape(150, 150, 3), cat),
    ):
        network = networks.build(ModelSettings(network=name), shape, (head,))
        with FlopCounterMode(display=False) as counter:
            network(shape.zeros()).sum().backward()
        counted.append(f"{counter.get_total_flops() / 1e6:,.1f} MFLOP a picture")
    lines = run(FOLDER / "step.py", "--toy", "--peers", tmp_path, "--turns", 2, "--jobs", "128", "S9")
    titles = [line for line in lines if "MFLOP" in line]
    assert [title.split(": ")[1].split(";")[0] for title in titles] == counted
    names = [line.split(" | ")[0] for line in lines if line.startswith("| noonchi")]
    assert names == ["| noonchi", "| noonchi, float32"] * 2


@pytest.mark.skipif(sys.platform != "linux", reason="it reads /proc")
def test_memory_is_told_of_an_empty_cache_and_of_kept_frames() -> None:
    lines = run(FOLDER / "memory.py", "--toy", "--pictures", 40)
    assert [line.split(" | ")[:2] for line in lines[-2:]] == [["| empty cache", "40"], ["| frames kept", "40"]]
    assert all(int(line.split(" | ")[2]) > 50 for line in lines[-2:])


def test_transfer_tells_of_each_way_that_noonchi_has(tmp_path: Path) -> None:
    lines = run(FOLDER / "transfer.py", "--toy", "--peers", tmp_path, "--turns", 1)
    names = [line.split(" | ")[0].removeprefix("| ") for line in lines if line.startswith("| noonchi")]
    assert names == [
        "noonchi",
        "noonchi, 4 views kept",
        "noonchi, 4 views kept from before",
        "noonchi end to end, backbone frozen (3 epochs run, the rest added)",
        "noonchi end to end, nothing frozen (3 epochs run, the rest added)",
    ]
    assert len([line for line in lines if line.startswith("| ")]) == len(names) + 4


def test_a_peer_with_another_backbone_is_not_measured(tmp_path: Path) -> None:
    other = tmp_path / "timm" / "bin" / "python"
    other.parent.mkdir(parents=True)
    other.write_text("#!/bin/sh\n[ $2 != check ]\n")
    other.chmod(0o755)
    (tmp_path / "timm" / "made-from.txt").write_text((FOLDER / "peers" / "timm.txt").read_text())
    lines = run(FOLDER / "transfer.py", "--toy", "--peers", tmp_path, "--turns", 1, "--only", "timm")
    assert "| timm's loader and loop, backbone frozen (it ended with code 1) | - | - | - |" in lines


def test_heat_maps_are_told_of_with_intervals() -> None:
    lines = run(FOLDER / "heat_maps.py", "--toy")
    assert [line.split(" | ")[0] for line in lines[-2:]] == ["| grad-cam, relu2", "| hires-cam, relu1"]


def test_predictions_are_told_of_with_how_far_they_are_from_the_plain_ones(tmp_path: Path) -> None:
    lines = run(FOLDER / "predict.py", "--toy", "--peers", tmp_path, "--starts", 1, "--turns", 2)
    rows = [line.removeprefix("| ").removesuffix(" |").split(" | ") for line in lines if line.startswith("| noonchi")]
    assert [row[0] for row in rows] == ["noonchi", "noonchi, layers as they are"]
    assert all(float(row[-1]) < 1e-5 for row in rows)


def test_what_starting_takes_is_told_of_each_command(tmp_path: Path) -> None:
    lines = run(FOLDER / "start.py", "--toy", "--peers", tmp_path, "--turns", 1)
    names = [line.split(" | ")[0] for line in lines if line.startswith("| `")]
    assert names == [
        "| `noonchi --help`",
        "| `import noonchi`",
        "| `import torch`",
        "| `noonchi predict, a small network`",
        "| `noonchi predict, EfficientNet-Lite0`",
    ]


def test_what_a_server_answers_is_told_of_digits_and_of_photos_beside_predict() -> None:
    lines = run(FOLDER / "serve.py", "--toy")
    names = [line.split(" | ")[0].removeprefix("| ") for line in lines if line.startswith("| ")][2:]
    assert names == [
        "`mnist-fast`, 1 picture a request: pictures/s",
        "the same, 16 a request",
        *[name for name in names if name.startswith("at ")],
        "`efficientnet-lite0` at 32, 16 photos a request: pictures/s",
        "the same files by `Classifier.predict`: pictures/s",
        "ratio",
    ]


@pytest.mark.skipif(sys.platform != "linux", reason="it reads /proc")
def test_scale_tells_of_processes_streams_decoding_memory_and_what_they_predict() -> None:
    lines = run(FOLDER / "scale.py", "--toy", "--turns", 2, "--processes", 1, 2)
    names = [line.split(" | ")[0].removeprefix("| ") for line in lines if line.startswith("| ")]
    assert [name for name in names if name not in ("---", "1,281,167", "1,000,000,000")] == [
        "processes",
        "1",
        "2",
        "2, which exchange nothing",
        "fitted to",
        "pictures come as",
        "frames in a memmap",
        "streamed, shards of JPEGs",
        "streamed, shards of pixels",
        "streamed, shards of pixels, over local http",
        "one thread",
        "JPEG in memory to 224x224",
        "JPEG in memory to 64x64",
        "JPEG in a shard to 64x64",
        "64x64 pixels in a shard",
        "what",
        "streamed over http",
        "streamed over http",
        "an index",
        "an index",
        "run",
        *names[names.index("run") + 2 : names.index("pictures")],
        "pictures",
    ]


def test_the_model_of_large_machines_does_what_its_examples_say() -> None:
    assert run("-m", "doctest", FOLDER / "scale_model.py") == []


def test_make_bench_runs_every_benchmark_and_tells_of_those_that_failed(tmp_path: Path) -> None:
    python = tmp_path / ".venv" / "bin" / "python"
    python.parent.mkdir(parents=True)
    python.write_text('#!/bin/sh\ncase "$1" in */input.py) exit 3;; esac\necho "$@"\n')
    python.chmod(0o755)
    command = ["make", "-f", FOLDER.parent / "Makefile", "-o", ".venv/dev", "bench", "NOONCHI_DATA=some where"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    ran = [line.removeprefix("benchmarks/") for line in done.stdout.splitlines() if line]
    photos = "some where/cats_dogs"
    with_photos = [f"{name}.py {photos}" for name in ("photos_epoch", "transfer", "predict")]
    last = [f"{name}.py {photos}" for name in ("memory", "serve", "scale")]
    assert ran == ["step.py", "mnist.py", *with_photos, "start.py", *last]
    assert "these benchmarks failed: input\n" in done.stderr
    assert done.returncode != 0
