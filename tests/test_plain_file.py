"""Only a regular file of an expected size is read: nothing waits for a pipe, and no device fills the memory."""

import os
from pathlib import Path

import pytest

from fedvoxel.config import read_json
from fedvoxel.errors import ConfigError, PackageError
from fedvoxel.export.archive import open_archive
from fedvoxel.plain_file import open_plain, read_plain


def test_a_file_and_a_link_to_one_are_read(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"content")
    (tmp_path / "link").symlink_to(tmp_path / "file")
    assert read_plain(tmp_path / "file") == read_plain(tmp_path / "link", 7) == b"content"


def test_a_file_that_is_larger_than_expected_is_refused(tmp_path: Path) -> None:
    with (tmp_path / "file").open("wb") as stream:
        stream.truncate(2**40)
    with pytest.raises(OSError, match="more than 8 bytes"):
        read_plain(tmp_path / "file", 8)
    with pytest.raises(ConfigError, match="more than"):
        read_json(tmp_path / "file", "the file")


def test_what_is_no_file_is_refused_at_once(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "zeros").symlink_to("/dev/zero")
    (tmp_path / "folder").mkdir()
    for name in ("pipe", "zeros"):
        with pytest.raises(OSError, match="not a regular file"):
            open_plain(tmp_path / name)
        with pytest.raises(ConfigError, match="not a regular file"):
            read_json(tmp_path / name, "the file")
        with pytest.raises(PackageError, match="cannot be read"), open_archive(tmp_path / name, 1, 1):
            pass
    with pytest.raises(OSError, match=r"directory|regular"):
        read_plain(tmp_path / "folder")


def test_json_in_brackets_without_end_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "file.json").write_text("[" * 100_000 + "]" * 100_000)
    with pytest.raises(ConfigError, match=r"^the file \(file.json\) cannot be read as JSON: it is nested too deeply$"):
        read_json(tmp_path / "file.json", "the file")
