"""One changed byte of a file that is kept twice costs nothing, and a crash leaves the old content or the new."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from fedvoxel.records import twofold
from fedvoxel.records.twofold import copy_of, drop_twofold, move_twofold, read_twofold, write_twofold


def damaged(path: Path, at: int) -> None:
    content = bytearray(path.read_bytes())
    content[at] ^= 0x15
    path.write_bytes(content)


@pytest.mark.parametrize("which", [copy_of, lambda path: path])
def test_any_byte_of_either_file_may_change(tmp_path: Path, which: Callable[[Path], Path]) -> None:
    path = tmp_path / "note.json"
    for at in range(len(b"content")):
        write_twofold(path, b"content")
        damaged(which(path), at)
        assert read_twofold(path) == b"content"
    assert {one.stat().st_mode & 0o077 for one in tmp_path.iterdir()} == {0}


def test_a_pipe_in_the_place_of_a_file_is_not_waited_for(tmp_path: Path) -> None:
    path = tmp_path / "note.json"
    write_twofold(path, b"content")
    copy_of(path).unlink()
    os.mkfifo(copy_of(path))
    assert read_twofold(path) == b"content"
    path.unlink()
    os.mkfifo(path)
    with pytest.raises(OSError, match="not a regular file"):
        read_twofold(path)


def test_a_file_of_an_earlier_release_has_no_copy(tmp_path: Path) -> None:
    (tmp_path / "note.json").write_bytes(b"content")
    assert read_twofold(tmp_path / "note.json") == b"content"
    with pytest.raises(FileNotFoundError):
        read_twofold(tmp_path / "none")


def test_a_file_takes_the_place_of_another_with_its_copy(tmp_path: Path) -> None:
    old, new, plain = tmp_path / "old", tmp_path / "new", tmp_path / "plain"
    write_twofold(old, b"1")
    write_twofold(new, b"2")
    move_twofold(new, old)
    assert read_twofold(old) == b"2" and sorted(tmp_path.iterdir()) == [old, copy_of(old)]
    plain.write_bytes(b"3")
    move_twofold(plain, old)
    assert read_twofold(old) == b"3", "the copy of what was there before is none of this"
    drop_twofold(old)
    drop_twofold(old)
    assert not list(tmp_path.iterdir())


def test_a_crash_between_the_two_leaves_the_new_content(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    old, new = tmp_path / "old", tmp_path / "new"
    write_twofold(old, b"1")
    write_twofold(new, b"2")
    copy_of(new).replace(copy_of(old))  # and there it ended
    assert read_twofold(old) == b"2"
    move_twofold(new, old)
    assert read_twofold(old) == b"2" and old.read_bytes() == b"2"
    real, written = twofold.write_bytes, []

    def once(path: Path, content: bytes, mode: int) -> None:
        if written:
            raise OSError("power cut")
        written.append(path)
        real(path, content, mode)

    monkeypatch.setattr(twofold, "write_bytes", once)
    with pytest.raises(OSError, match="power cut"):
        write_twofold(old, b"4")
    assert read_twofold(old) == b"4"
