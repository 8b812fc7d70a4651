"""What FLARE keeps of a job outlives a changed byte and a full disk."""

import hashlib
import json
import os
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from nvflare.apis.storage import StorageException

from fedvoxel.flare import kit_storage
from fedvoxel.flare.kit_storage import HASHED_META, KitStorage
from fedvoxel.records import twofold


@pytest.fixture
def storage(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> KitStorage:
    monkeypatch.chdir(tmp_path)
    made = KitStorage("jobs")
    for job in ("a", "b"):
        made.create_object(f"jobs/{job}", b"zip", {"job_id": job, "status": "SUBMITTED"})
        made.update_meta(f"jobs/{job}", {"status": "RUNNING"}, replace=False)
    return made


def _flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[-4] ^= 0x15
    path.write_bytes(content)


def _cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-3])


def _empty(path: Path) -> None:
    path.write_bytes(b"")


@pytest.mark.parametrize(
    ("name", "damage"),
    # FLARE takes a folder without the first file for no job at all.
    [
        *((name, damage) for name in ("meta", HASHED_META) for damage in (_flip, _cut, _empty)),
        (HASHED_META, Path.unlink),
    ],
)
def test_one_damaged_file_costs_nothing(
    name: str, damage: Callable[[Path], None], storage: KitStorage, tmp_path: Path
) -> None:
    damage(tmp_path / "jobs/jobs/a" / name)
    assert storage.get_meta("jobs/a") == {"job_id": "a", "status": "RUNNING"}
    storage.update_meta("jobs/a", {"status": "FINISHED"}, replace=False)
    assert storage.get_meta("jobs/a") == {"job_id": "a", "status": "FINISHED"}
    assert json.loads((tmp_path / "jobs/jobs/a/meta").read_text())["status"] == "FINISHED"


def test_a_job_that_cannot_be_read_takes_no_other_with_it(
    storage: KitStorage, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    for name in ("meta", HASHED_META):
        _cut(tmp_path / "jobs/jobs/a" / name)
    assert storage.list_objects("jobs") == ["jobs/b"] == storage.list_objects("jobs")
    for touch in (storage.get_meta, lambda uri: storage.update_meta(uri, {"status": "FINISHED"}, replace=False)):
        with pytest.raises(StorageException, match="what is kept of job a cannot be read"):
            touch("jobs/a")
    assert caplog.text.count("event=job_damaged reason=what is kept of job a") == 1 and str(tmp_path) not in caplog.text


@pytest.mark.parametrize("content", [b"null", b"[1]", b"{", b"[" * 100_000])
def test_a_whole_file_of_something_else_takes_no_other_job_with_it(
    content: bytes, storage: KitStorage, tmp_path: Path
) -> None:
    written = hashlib.sha256(content).hexdigest().encode() + b"\n" + content
    (tmp_path / "jobs/jobs/a" / HASHED_META).write_bytes(written)
    assert storage.list_objects("jobs") == ["jobs/b"]
    (tmp_path / "jobs/jobs/a" / HASHED_META).unlink()
    os.truncate(tmp_path / "jobs/jobs/a" / "meta", 2**36)
    assert storage.list_objects("jobs") == ["jobs/b"]


def test_a_job_of_an_earlier_release_has_one_file(storage: KitStorage, tmp_path: Path) -> None:
    (tmp_path / "jobs/jobs/a" / HASHED_META).unlink()
    assert storage.get_meta("jobs/a")["status"] == "RUNNING"


def test_a_job_that_takes_the_place_of_another_has_nothing_of_it(storage: KitStorage) -> None:
    storage.create_object("jobs/a", b"zip", {"job_id": "a"}, overwrite_existing=True)
    assert storage.get_meta("jobs/a") == {"job_id": "a"}
    storage.clone_object("jobs/b", "jobs/a", {"job_id": "c"}, overwrite_existing=True)
    assert storage.get_meta("jobs/a") == {"job_id": "c"}


def test_users_see_what_a_job_consists_of(storage: KitStorage) -> None:
    assert sorted(storage.list_components_of_object("jobs/a")) == ["data", "meta"]


def test_a_full_disk_is_waited_for_and_every_change_counts(
    storage: KitStorage, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kit_storage, "_FULL_PAUSE_S", 0.01)
    room, tried, writes = threading.Event(), threading.Event(), twofold.write_bytes

    def on_a_full_disk(path: Path, content: bytes, mode: int) -> Any:
        tried.set()
        if not room.is_set():
            raise OSError(28, "No space left on device")
        return writes(path, content, mode)

    monkeypatch.setattr(twofold, "write_bytes", on_a_full_disk)
    changes = ({"status": "FINISHED"}, {"duration": "1 h"})
    writers = [threading.Thread(target=storage.update_meta, args=("jobs/a", change, False)) for change in changes]
    for writer in writers:
        tried.clear()
        writer.start()
        assert tried.wait(5) and writer.is_alive()
    waiting = {"job_id": "a", "status": "FINISHED", "duration": "1 h"}
    assert storage.get_meta("jobs/a") == waiting, "who reads it goes by what is to be written"
    room.set()
    for writer in writers:
        writer.join(5)
    assert storage.get_meta("jobs/a") == waiting == json.loads((tmp_path / "jobs/jobs/a/meta").read_text())


def test_what_is_not_there_or_cannot_be_written_is_an_error_of_flares_storage(
    storage: KitStorage, tmp_path: Path
) -> None:
    with pytest.raises(StorageException):
        storage.get_meta("jobs/c")
    with pytest.raises(StorageException):
        storage.update_meta("jobs/c", {}, replace=True)
    (tmp_path / "jobs/jobs/a" / HASHED_META).unlink()
    (tmp_path / "jobs/jobs/a" / HASHED_META).mkdir()
    with pytest.raises(StorageException, match=r"kept of a job cannot be written \(Is a directory\)"):
        storage.update_meta("jobs/a", {"status": "FINISHED"}, replace=False)


def test_what_is_said_of_a_job_that_was_deleted_since_is_dropped(storage: KitStorage, tmp_path: Path) -> None:
    storage.delete_object("jobs/a")
    storage.update_meta("jobs/a", {"job_deploy_detail": ["hospital-a: refused"]}, replace=False)
    assert not (tmp_path / "jobs/jobs/a").exists()
    with pytest.raises(StorageException):
        storage.get_meta("jobs/a")
    storage.create_object("jobs/a", b"zip", {"job_id": "a", "status": "SUBMITTED"})
    storage.update_meta("jobs/a", {"status": "RUNNING"}, replace=False)
    assert storage.get_meta("jobs/a")["status"] == "RUNNING"


def test_a_job_is_not_deleted_while_its_word_is_written(
    storage: KitStorage, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is written between the emptying of a folder and its removal would leave the folder, and an error."""
    writes, goes_on = threading.Event(), threading.Event()
    write = kit_storage.write_twofold

    def slow(path: Path, content: bytes) -> None:
        writes.set()
        assert goes_on.wait(5)
        write(path, content)

    monkeypatch.setattr(kit_storage, "write_twofold", slow)
    update = threading.Thread(target=storage.update_meta, args=("jobs/a", {"status": "FINISHED"}, False))
    update.start()
    assert writes.wait(5)
    deletion = threading.Thread(target=storage.delete_object, args=("jobs/a",))
    deletion.start()
    deletion.join(0.1)
    assert deletion.is_alive() and (tmp_path / "jobs/jobs/a").is_dir()
    goes_on.set()
    update.join(5)
    deletion.join(5)
    assert not (tmp_path / "jobs/jobs/a").exists()
