"""Which sites were heard of is noted, survives a restart, and never keeps a site from anything."""

import errno
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from fedvoxel.errors import ConfigError
from fedvoxel.governance.sites_heard import HEARD_FILE, WRITE_EVERY_S, SitesHeardNote, read_sites_heard
from fedvoxel.records import atomic


class Clock:
    now_s = 100.0

    def __call__(self) -> float:
        return self.now_s


def test_without_a_note_nobody_was_heard_of(tmp_path: Path) -> None:
    assert read_sites_heard(tmp_path).sites == {}


def test_a_new_site_is_noted_at_once_and_then_every_few_seconds(tmp_path: Path) -> None:
    clock = Clock()
    note = SitesHeardNote(tmp_path, clock)
    note.heard("hospital-a", "hospital_a")
    first = read_sites_heard(tmp_path).sites["hospital-a"]
    assert first.organisation == "hospital_a" and datetime.now(UTC) - first.at < timedelta(minutes=1)
    note.heard("hospital-a", "hospital_a")
    assert read_sites_heard(tmp_path).sites["hospital-a"] == first
    note.heard("hospital-b", "hospital_b")
    assert set(read_sites_heard(tmp_path).sites) == {"hospital-a", "hospital-b"}
    clock.now_s += WRITE_EVERY_S
    note.heard("hospital-a", "hospital_a")
    assert read_sites_heard(tmp_path).sites["hospital-a"].at > first.at


def test_after_a_restart_the_organisation_stands_until_the_site_registers_anew(tmp_path: Path) -> None:
    SitesHeardNote(tmp_path).heard("hospital-a", "hospital_a")
    note = SitesHeardNote(tmp_path)
    note.heard("hospital-a", "")
    assert read_sites_heard(tmp_path).sites["hospital-a"].organisation == "hospital_a"
    note.heard("hospital-a", "merged_hospital")
    assert read_sites_heard(tmp_path).sites["hospital-a"].organisation == "merged_hospital"


def test_a_damaged_note_is_an_error_to_its_reader_and_is_begun_anew(tmp_path: Path) -> None:
    (tmp_path / HEARD_FILE).write_text('{"sites": {"hospital-a": {"organisation": 7}}}')
    with pytest.raises(ConfigError, match="which sites were heard of"):
        read_sites_heard(tmp_path)
    SitesHeardNote(tmp_path).heard("hospital-b", "hospital_b")
    assert set(read_sites_heard(tmp_path).sites) == {"hospital-b"}


def test_a_full_disk_keeps_no_site_from_anything(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def put_in_place(*args: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    clock = Clock()
    note = SitesHeardNote(tmp_path, clock)
    with monkeypatch.context() as full:
        full.setattr(atomic, "_put_in_place", put_in_place)
        for _ in range(3):
            note.heard("hospital-a", "hospital_a")
            clock.now_s += WRITE_EVERY_S
    assert caplog.text.count("sites_heard_not_written") == 1 and not (tmp_path / HEARD_FILE).exists()
    note.heard("hospital-a", "hospital_a")
    assert set(read_sites_heard(tmp_path).sites) == {"hospital-a"}
