"""Atomic files and canonical hashes."""

import json
import os
from pathlib import Path

import pytest

from fedvoxel.records.atomic import copy_file, copy_public, write_bytes, write_json, write_public
from fedvoxel.records.canonical import canonical_json, sha256_of, sha256_of_file


def test_a_write_replaces_the_whole_file_with_its_mode(tmp_path: Path) -> None:
    path = tmp_path / "new" / "file.json"
    write_json(path, {"a": 1})
    write_json(path, {"b": "ü"}, mode=0o600)
    assert json.loads(path.read_text()) == {"b": "ü"}
    assert path.stat().st_mode & 0o777 == 0o600
    assert [entry.name for entry in path.parent.iterdir()] == ["file.json"]


def test_the_umask_takes_away_from_a_mode(tmp_path: Path) -> None:
    before = os.umask(0o022)
    try:
        write_bytes(tmp_path / "public", b"a")
        os.umask(0o077)
        write_bytes(tmp_path / "file", b"a")
        copy_file(tmp_path / "file", tmp_path / "copy")
        write_bytes(tmp_path / "script", b"a", mode=0o755)
    finally:
        os.umask(before)
    modes = {path.name: path.stat().st_mode & 0o777 for path in tmp_path.iterdir()}
    assert modes == {"public": 0o644, "file": 0o600, "copy": 0o600, "script": 0o700}


@pytest.mark.usefixtures("owners_umask")
def test_what_is_public_goes_by_no_umask(tmp_path: Path) -> None:
    write_public(tmp_path / "file", b"a")
    write_bytes(tmp_path / "private", b"b")
    copy_public(tmp_path / "private", tmp_path / "copy")
    modes = {path.name: path.stat().st_mode & 0o777 for path in tmp_path.iterdir()}
    assert modes == {"file": 0o644, "private": 0o600, "copy": 0o644}
    assert (tmp_path / "file").read_bytes() == b"a" and (tmp_path / "copy").read_bytes() == b"b"


def test_a_full_disk_leaves_the_old_file_and_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "file"
    write_bytes(path, b"old")
    limit = _limit_file_size(2)
    try:
        with pytest.raises(OSError, match="File too large"):
            write_bytes(path, b"longer than two bytes")
    finally:
        limit()
    assert path.read_bytes() == b"old"
    assert os.listdir(tmp_path) == ["file"]


def test_a_copy_is_whole_or_not_there(tmp_path: Path) -> None:
    source, target = tmp_path / "source", tmp_path / "new" / "target"
    source.write_bytes(b"longer than two bytes")
    copy_file(source, target)
    assert target.read_bytes() == source.read_bytes()
    source.write_bytes(b"another content")
    limit = _limit_file_size(2)
    try:
        with pytest.raises(OSError, match="File too large"):
            copy_file(source, target)
    finally:
        limit()
    with pytest.raises(FileNotFoundError):
        copy_file(tmp_path / "missing", target)
    assert target.read_bytes() == b"longer than two bytes" and os.listdir(target.parent) == ["target"]


def _limit_file_size(size: int):
    """Makes every longer file fail as a full disk would, and returns what undoes it."""
    import resource
    import signal

    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))

    def undo() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, handler)

    return undo


def test_nan_is_not_written(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="JSON compliant"):
        write_json(tmp_path / "file.json", {"a": float("nan")})
    assert list(tmp_path.iterdir()) == []


def test_hashes_do_not_depend_on_the_order_of_keys(tmp_path: Path) -> None:
    assert canonical_json({"b": 1, "a": [1, 2]}) == b'{"a":[1,2],"b":1}'
    assert sha256_of({"b": 1, "a": 2}) == sha256_of({"a": 2, "b": 1}) != sha256_of({"a": 2, "b": 2})
    (tmp_path / "file").write_bytes(b"abc")
    assert sha256_of_file(tmp_path / "file") == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
