from pathlib import Path

from noonchi.sources.scan import scan


def files(folder: Path, count: int) -> list[Path]:
    for number in range(count):
        (folder / f"{number}.gif").write_bytes(b"GIF89a" + bytes([number]))
    return [folder / f"{number}.gif" for number in range(count)]


def test_progress_counts_every_file_once(tmp_path):
    told = []
    scan(files(tmp_path, 20), tmp_path, progress=lambda done, total: told.append((done, total)))
    assert told == [(done, 20) for done in range(1, 21)]


def test_answers_come_in_the_order_of_the_files(tmp_path):
    paths = files(tmp_path, 20)
    hashes = [one.hash for one in scan(paths, tmp_path)]
    assert len(set(hashes)) == 20
    assert [one.hash for one in scan(paths[::-1], tmp_path)] == hashes[::-1]
