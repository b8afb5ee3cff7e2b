import itertools
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from noonchi import files
from noonchi.errors import RunError, SettingsError


def names(folder: Path) -> list[str]:
    return sorted(entry.name for entry in folder.iterdir())


def fill(folder: Path, letter: str) -> None:
    folder.mkdir(parents=True)
    for name in ("a.bin", "b.bin"):
        (folder / name).write_text(letter * 100)


def letter_of(folder: Path, size: int = 100) -> str:
    """The one letter that both files are full of; an error where the folder is not whole."""
    assert names(folder) == ["a.bin", "b.bin"]
    (content,) = {(folder / name).read_text() for name in names(folder)}
    assert content == content[0] * size
    return content[0]


def child(code: str, *arguments: object) -> list[str]:
    head = "import itertools, sys\nfrom pathlib import Path\nfrom noonchi import files\npath = Path(sys.argv[1])\n"
    return [sys.executable, "-c", head + code, *map(str, arguments)]


# A file


def test_text_is_written_as_utf8(tmp_path):
    files.write(tmp_path / "a.txt", "눈치\n")
    assert (tmp_path / "a.txt").read_bytes() == "눈치\n".encode()


def test_a_new_file_takes_the_place_of_the_old_one(tmp_path):
    files.write(tmp_path / "a.bin", b"a long old content")
    files.write(tmp_path / "a.bin", b"new")
    assert (tmp_path / "a.bin").read_bytes() == b"new"
    assert names(tmp_path) == ["a.bin"]


WRITE = """
import sys
from pathlib import Path
from noonchi import files
armed = True
files.write(Path(sys.argv[1]) / "a.txt", "new" * 100_000)
"""


@pytest.mark.parametrize("how", ["fail", "exit"])
def test_a_fault_at_any_operation_of_a_write_leaves_the_old_file_or_the_new_one(tmp_path, fault_at, how):
    path = tmp_path / "a.txt"
    for number in itertools.count(1):
        path.write_text("old")
        reached = fault_at(number, how, WRITE, tmp_path)
        assert path.read_text() in ("old", "new" * 100_000)
        if not reached:
            break
    assert number > 3
    assert path.read_text() != "old"


@pytest.mark.skipif(not shutil.which("strace"), reason="strace shows what reaches the system; .ci/run installs it")
def test_a_file_is_on_the_disk_before_it_takes_its_place_and_its_folder_after(tmp_path):
    done = calls(tmp_path, "files.write(path / 'a.txt', 'new')")
    assert done == ["open .a.txt.new", "fsync .a.txt.new", "rename .a.txt.new a.txt", f"fsync {tmp_path.name}"]


@pytest.mark.skipif(not shutil.which("strace"), reason="strace shows what reaches the system; .ci/run installs it")
def test_all_files_of_a_folder_are_on_the_disk_before_it_takes_its_place(tmp_path):
    (tmp_path / "last").mkdir()
    code = "with files.replaced_folder(path / 'last') as new:\n    files.write(new / 'a.txt', 'new')"
    done = calls(tmp_path, code)
    assert done[:4] == ["open .a.txt.new", "fsync .a.txt.new", "rename .a.txt.new a.txt", "fsync .last.new"]
    assert done[4:] == ["rename last .last.old", "rename .last.new last", f"fsync {tmp_path.name}"]


def calls(folder: Path, code: str) -> list[str]:
    """What reaches the system, in order: files opened to be written, synced and renamed within a folder, by name."""
    log = folder.with_name(f"{folder.name}.strace")
    watch = ["strace", "-f", "-y", "-e", "trace=openat,fsync,rename,renameat,renameat2", "-o", log]
    subprocess.run([*watch, *child(code, folder)], check=True)
    found = []
    for line in log.read_text().splitlines():
        call = re.search(r"(openat|fsync|rename\w*)\((.*)\)\s+= \d", line)
        if call and str(folder) in line and (call[1] != "openat" or "O_WRONLY" in line):
            paths = re.findall(rf"[\"<]({re.escape(str(folder))}[^\">]*)", call[2])
            found.append(" ".join([call[1].removesuffix("at"), *(Path(path).name for path in paths)]))
    return found


def test_no_failed_write_leaves_a_temporary_file(tmp_path, fault_at):
    number = 1
    while fault_at(number, "fail", WRITE, tmp_path):
        assert set(names(tmp_path)) <= {"a.txt"}
        number += 1


def test_a_full_disk_keeps_the_old_file_and_leaves_nothing_beside_it(tmp_path):
    path = tmp_path / "a.bin"
    path.write_bytes(b"old")
    code = """
import resource
resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))
files.write(path, b"x" * 100_000)
"""
    done = subprocess.run(child(code, path), capture_output=True, text=True, check=False)
    assert done.stderr.strip().endswith(f"File too large, 100.0 kB needed: '{path}'")
    assert path.read_bytes() == b"old"
    assert names(tmp_path) == ["a.bin"]


def test_neither_a_reader_nor_kill_9_ever_meets_part_of_a_file(tmp_path, rng):
    path, size = tmp_path / "a.txt", 1_000_000
    path.write_text("a" * size)
    code = f"""
print("up", flush=True)
for letter in itertools.cycle("ba"):
    files.write(path, letter * {size})
"""
    for _ in range(8):
        with subprocess.Popen(child(code, path), stdout=subprocess.PIPE) as writer:
            try:
                writer.stdout.readline()
                for _ in range(rng.randrange(1, 60)):
                    assert path.read_text() in ("a" * size, "b" * size)
            finally:
                writer.kill()
        assert path.read_text() in ("a" * size, "b" * size)
    files.write(path, "c")
    assert names(tmp_path) == ["a.txt"]


def test_json_is_readable_and_ends_its_last_line(tmp_path):
    files.write_json(tmp_path / "a.json", {"class": "고양이"})
    assert (tmp_path / "a.json").read_text(encoding="utf-8") == '{\n "class": "고양이"\n}\n'


def test_nan_never_reaches_a_json_file(tmp_path):
    files.write_json(tmp_path / "a.json", 1)
    with pytest.raises(ValueError, match="not JSON compliant"):
        files.write_json(tmp_path / "a.json", {"loss": float("nan")})
    assert (tmp_path / "a.json").read_text() == "1\n"


def test_sha256_is_the_standards(tmp_path):
    (tmp_path / "a").write_bytes(b"abc")  # the example of FIPS 180-2, appendix B.1
    assert files.sha256(tmp_path / "a") == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"


# A folder


def replace(path: Path, letter: str) -> None:
    with files.replaced_folder(path) as new:
        assert names(new) == []
        for name in ("a.bin", "b.bin"):
            files.write(new / name, letter * 100)


def replace_in_vain(path: Path, error: BaseException) -> None:
    with files.replaced_folder(path) as new:
        files.write(new / "a.bin", "half")
        raise error


def test_a_folder_is_made_with_the_folders_above_it(tmp_path):
    replace(tmp_path / "run" / "last", "n")
    assert letter_of(tmp_path / "run" / "last") == "n"
    assert names(tmp_path / "run") == ["last"]


def test_a_new_folder_takes_the_place_of_the_old_one_with_all_its_files(tmp_path):
    fill(tmp_path / "last", "o")
    (tmp_path / "last" / "only-in-the-old.txt").write_text("")
    replace(tmp_path / "last", "n")
    assert letter_of(tmp_path / "last") == "n"
    assert names(tmp_path) == ["last"]


@pytest.mark.parametrize("error", [OSError("disk full"), KeyboardInterrupt()])
def test_an_error_while_filling_leaves_the_old_folder_alone(tmp_path, error):
    fill(tmp_path / "last", "o")
    with pytest.raises(type(error)):
        replace_in_vain(tmp_path / "last", error)
    assert letter_of(tmp_path / "last") == "o"
    assert names(tmp_path) == ["last"]


def test_an_error_while_filling_the_first_folder_leaves_nothing(tmp_path):
    with pytest.raises(OSError, match="disk full"):
        replace_in_vain(tmp_path / "last", OSError("disk full"))
    assert names(tmp_path) == []


def test_a_full_disk_keeps_the_old_folder(tmp_path):
    fill(tmp_path / "last", "o")
    code = """
import resource
resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))
with files.replaced_folder(path) as new:
    files.write(new / "a.bin", b"x" * 100_000)
"""
    done = subprocess.run(child(code, tmp_path / "last"), capture_output=True, text=True, check=False)
    assert done.stderr.strip().endswith(f"File too large, 100.0 kB needed: '{tmp_path / 'last' / 'a.bin'}'")
    assert letter_of(tmp_path / "last") == "o"
    assert names(tmp_path) == ["last"]


def untouched(folder: Path) -> None:
    fill(folder / "last", "o")


def killed_while_filling(folder: Path) -> None:
    fill(folder / "last", "o")
    (folder / ".last.new").mkdir()
    (folder / ".last.new" / "a.bin").write_text("half")


def killed_between_the_two_steps(folder: Path) -> None:
    fill(folder / ".last.old", "o")
    fill(folder / ".last.new", "n")


def killed_before_the_old_was_removed(folder: Path) -> None:
    fill(folder / "last", "n")
    (folder / ".last.old").mkdir()
    (folder / ".last.old" / "a.bin").write_text("o" * 100)


LEFT_BY_A_KILL = [
    (killed_while_filling, "o"),
    (killed_between_the_two_steps, "o"),
    (killed_before_the_old_was_removed, "n"),
]


@pytest.mark.parametrize(("left", "letter"), LEFT_BY_A_KILL)
def test_settled_finds_the_whole_folder_after_a_kill_and_changes_nothing(tmp_path, left, letter):
    left(tmp_path)
    before = names(tmp_path)
    assert letter_of(files.settled(tmp_path / "last")) == letter
    assert names(tmp_path) == before


@pytest.mark.parametrize(("left", "letter"), LEFT_BY_A_KILL)
def test_recover_puts_the_whole_folder_back_and_clears_the_rest(tmp_path, left, letter):
    left(tmp_path)
    files.recover(tmp_path / "last")
    assert letter_of(tmp_path / "last") == letter
    assert names(tmp_path) == ["last"]


@pytest.mark.parametrize(("left", "letter"), LEFT_BY_A_KILL)
def test_a_replacement_that_fails_after_a_kill_keeps_the_folder_from_before(tmp_path, left, letter):
    left(tmp_path)
    with pytest.raises(OSError, match="disk full"):
        replace_in_vain(tmp_path / "last", OSError("disk full"))
    assert letter_of(tmp_path / "last") == letter


def test_settled_is_the_path_itself_where_nothing_was_ever_written(tmp_path):
    assert files.settled(tmp_path / "last") == tmp_path / "last"


REPLACE = """
import sys
from pathlib import Path
from noonchi import files
armed = True
with files.replaced_folder(Path(sys.argv[1]) / "last") as new:
    for name in ("a.bin", "b.bin"):
        files.write(new / name, "n" * 100)
"""


@pytest.mark.parametrize("how", ["fail", "exit"])
@pytest.mark.parametrize("before", [untouched, killed_between_the_two_steps])
def test_a_fault_at_any_operation_of_a_replacement_leaves_one_whole_folder(tmp_path, fault_at, before, how):
    path = tmp_path / "run" / "last"
    for number in itertools.count(1):
        before(path.parent)
        reached = fault_at(number, how, REPLACE, path.parent)
        assert letter_of(files.settled(path)) in "on"
        files.recover(path)
        assert names(path.parent) == ["last"]
        if not reached:
            break
        shutil.rmtree(path.parent)
    assert number > 10
    assert letter_of(path) == "n"


def test_kill_9_at_any_moment_leaves_one_whole_folder(tmp_path, rng):
    path, size = tmp_path / "last", 100_000
    code = f"""
for letter in itertools.cycle("on"):
    with files.replaced_folder(path) as new:
        for name in ("a.bin", "b.bin"):
            files.write(new / name, letter * {size})
    print(letter, flush=True)
"""
    for _ in range(8):
        with subprocess.Popen(child(code, path), stdout=subprocess.PIPE) as writer:
            for _ in range(rng.randrange(1, 20)):
                writer.stdout.readline()
            writer.kill()
        assert letter_of(files.settled(path), size) in "on"
    files.recover(path)
    assert names(tmp_path) == ["last"]


# Read again


def test_what_was_written_as_json_is_read(tmp_path):
    written = {"눈치": [1, 0.1, None, True, 2**63 - 1, 5e-324], "nested": {"a": {}}}
    files.write_json(tmp_path / "a.json", written)
    assert files.read_json(tmp_path / "a.json") == written


@pytest.mark.parametrize(
    "text", ["", "[]", '{"a": 1', "[" * 10_000, '{"a": NaN}', '{"a": 1e999}', f'{{"a": {10**40}}}']
)
def test_what_never_was_written_as_json_is_refused(tmp_path, text):
    (tmp_path / "a.json").write_text(text)
    with pytest.raises(RunError, match=r"a\.json' is damaged: it is no whole JSON object"):
        files.read_json(tmp_path / "a.json")


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this system has other files")
def test_a_pipe_that_nobody_writes_to_is_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "a.csv")
    with pytest.raises(RunError, match=r"a\.csv' cannot be read: not a regular file"):
        files.read_csv(tmp_path / "a.csv")


def test_more_than_is_asked_for_is_not_read(tmp_path):
    (tmp_path / "a").write_bytes(b"12345")
    assert files.read(tmp_path / "a", 5) == b"12345"
    with pytest.raises(OSError, match="larger than 4 bytes"):
        files.read(tmp_path / "a", 4)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this system has other files")
def test_no_file_takes_the_place_of_a_pipe_or_a_device(tmp_path):
    os.mkfifo(tmp_path / "a.onnx")
    for place in (tmp_path / "a.onnx", Path("/dev/full"), Path("/dev/stdout")):
        with pytest.raises(SettingsError, match="but a device or a pipe; name a file"):
            files.refuse_place("--out", place)
