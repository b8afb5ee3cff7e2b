import pytest

from noonchi.errors import DataError
from noonchi.sources.csv_file import read


def test_rows_carry_the_line_they_end_on(tmp_path):
    path = tmp_path / "a.csv"
    path.write_bytes(b'\xef\xbb\xbf name ,label\r\n\r\n"two\nlines",a\r\nlast,b')
    assert read(path) == (["name", "label"], [(4, ["two\nlines", "a"]), (5, ["last", "b"])])


def test_a_header_alone_is_a_table_without_rows(tmp_path):
    (tmp_path / "a.csv").write_text("name,label\n")
    assert read(tmp_path / "a.csv") == (["name", "label"], [])


def test_a_semicolon_in_a_name_is_no_separator(tmp_path):
    (tmp_path / "a.csv").write_text("na;me,label\n")
    assert read(tmp_path / "a.csv")[0] == ["na;me", "label"]


def test_a_folder_is_no_table(tmp_path):
    with pytest.raises(DataError, match="cannot be read: Is a directory"):
        read(tmp_path)
