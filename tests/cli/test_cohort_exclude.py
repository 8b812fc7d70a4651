"""`fedvoxel cohort exclude`: an identifier comes from a prompt or a file, and is neither shown nor written."""

import errno
import json
from pathlib import Path
from typing import Any

import pytest
import typer

from fedvoxel.cli.main import main
from fedvoxel.errors import LedgerError
from fedvoxel.records.audit import AuditLog
from fedvoxel.volumes import exclusions
from fedvoxel.volumes.cohort.manifest import MANIFEST
from fedvoxel.volumes.site import load_site_config
from fedvoxel.volumes.used_patients import UsedPatients
from tests.volumes.cohort.studies import cohort_values
from tests.volumes.scans import csv_cohort, pairs_table, site_values

Capture = pytest.CaptureFixture[str]
PATIENT = "patient1"


@pytest.fixture
def site(tmp_path: Path) -> Path:
    local = tmp_path / "kit" / "local"
    local.mkdir(parents=True)
    pairs_table(local, 3)
    (local / "fedvoxel_site.json").write_text(json.dumps(site_values(main=csv_cohort())))
    pseudonym = load_site_config(local / "fedvoxel_site.json").pseudonym_of(PATIENT)
    runs = tmp_path / "kit" / "state" / "runs"
    UsedPatients(runs / "spring").note("trained", "main", [pseudonym, "case-000000000000"])
    (runs / "last_year").mkdir()
    return local / "fedvoxel_site.json"


def file_with(tmp_path: Path, text: str = f"{PATIENT}\n") -> list[str]:
    path = tmp_path / "patient.txt"
    path.write_text(text)
    return ["--patient-file", str(path)]


def exclude(site: Path, *words: str) -> int:
    return main(["cohort", "exclude", "--site", str(site), *words])


def usable(site: Path, capsys: Capture) -> int:
    capsys.readouterr()
    assert main(["cohort", "check", "--site", str(site), "--json"]) == 0
    return len(json.loads(capsys.readouterr().out)["cohorts"]["main"]["usable"])


def test_a_patient_is_taken_out_and_the_runs_are_named(site: Path, tmp_path: Path, capsys: Capture) -> None:
    assert usable(site, capsys) == 3
    assert exclude(site, *file_with(tmp_path)) == 0
    said = capsys.readouterr().out
    assert "run spring: trained on cohort main" in said and "last_year" in said and "listed today in: main" in said
    assert "keeps what it learnt" in said and "cannot be called back" in said
    assert PATIENT not in said
    assert usable(site, capsys) == 2


def test_a_damaged_record_of_a_run_keeps_nobody_in(site: Path, tmp_path: Path, capsys: Capture) -> None:
    record = tmp_path / "kit" / "state" / "runs" / "spring" / "patients" / "used.jsonl"
    record.write_bytes(record.read_bytes().replace(b"trained", b"tr4ined"))
    assert exclude(site, *file_with(tmp_path), "--json") == 0
    told = json.loads(capsys.readouterr().out)
    assert told["changed"] and told["runs"] == [] and told["runs_unknown"] == ["last_year", "spring"]
    assert usable(site, capsys) == 2


def test_an_exclusion_that_was_cut_off_is_completed_and_on_record(
    site: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Capture
) -> None:
    def full(*given: Any, **named: Any) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    audit = tmp_path / "kit" / "state" / "audit"
    with monkeypatch.context() as patch:
        patch.setattr(exclusions, "write_json", full)
        assert exclude(site, *file_with(tmp_path)) == 12
        assert not audit.exists()
    for changed in (True, False):
        capsys.readouterr()
        assert exclude(site, *file_with(tmp_path), "--json") == 0
        assert json.loads(capsys.readouterr().out)["changed"] == changed
    assert len((audit / "audit.jsonl").read_text().splitlines()) == 1


def test_what_a_cut_kept_from_the_sites_log_is_noted_with_the_next_change(
    site: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*given: Any) -> None:
        raise LedgerError("the disk is full")

    with monkeypatch.context() as patch:
        patch.setattr(AuditLog, "writing", full)
        assert exclude(site, *file_with(tmp_path)) == 12
    assert exclude(site, *file_with(tmp_path)) == 0
    back = ["--undo", "--reason", "consent of 3 March"]
    with monkeypatch.context() as patch:
        patch.setattr(AuditLog, "writing", full)
        assert exclude(site, *file_with(tmp_path), *back) == 12
    assert exclude(site, *file_with(tmp_path, "somebody\n")) == 0
    noted = [(event.task, event.reason) for _, event in AuditLog(tmp_path / "kit" / "state").read()]
    out = ("cohort exclude", "")
    assert noted == [out, ("cohort exclude --undo", "consent of 3 March"), out]


def test_a_patient_may_object_before_a_cohort_is_built_for_the_first_time(
    site: Path, tmp_path: Path, capsys: Capture
) -> None:
    site.write_text(json.dumps(site_values(main=csv_cohort(), later=cohort_values({"folder": "dicom"}, "later"))))
    assert exclude(site, *file_with(tmp_path)) == 0
    said = capsys.readouterr().out
    assert "listed today in: main" in said and "another name: later; give this command again once" in said
    assert exclude(site, *file_with(tmp_path), "--json") == 0
    assert json.loads(capsys.readouterr().out)["cohorts_not_built"] == ["later"]
    built = site.parent / "later"
    built.mkdir()
    (built / MANIFEST).write_text("{")
    assert exclude(site, *file_with(tmp_path)) == 5


def test_the_identifier_may_be_typed_and_is_not_echoed(
    site: Path, monkeypatch: pytest.MonkeyPatch, capsys: Capture
) -> None:
    asked: dict[str, Any] = {}

    def typed(text: str, **options: Any) -> str:
        asked.update(options)
        return f" {PATIENT} "

    monkeypatch.setattr(typer, "prompt", typed)
    assert exclude(site) == 0
    assert asked == {"hide_input": True}
    assert PATIENT not in capsys.readouterr().out
    assert usable(site, capsys) == 2


def test_an_identifier_on_the_command_line_is_refused_and_not_repeated(site: Path, capsys: Capture) -> None:
    assert exclude(site, "--pseudonym", "Meier-1957") == 3
    said = capsys.readouterr()
    assert "never given on the command line" in said.err and "Meier" not in said.err + said.out
    pseudonym = load_site_config(site).pseudonym_of(PATIENT)
    assert exclude(site, "--pseudonym", pseudonym, "--json") == 0
    told = json.loads(capsys.readouterr().out)
    assert told["patient"] == [pseudonym] and told["changed"] and told["runs"][0]["run_key"] == "spring"


def test_a_way_back_needs_a_reason_and_is_listed(site: Path, tmp_path: Path, capsys: Capture) -> None:
    named = file_with(tmp_path)
    assert exclude(site, *named) == 0
    assert exclude(site, *named, "--undo") == 5
    assert usable(site, capsys) == 2
    assert exclude(site, *named, "--undo", "--reason", "consent of 3 March") == 0
    assert usable(site, capsys) == 3
    assert main(["cohort", "exclusions", "--site", str(site), "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["excluded"] == [] and [each["reason"] for each in told["changes"]] == ["", "consent of 3 March"]
    assert main(["cohort", "exclusions", "--site", str(site)]) == 0
    assert "0 pseudonyms are out" in capsys.readouterr().out


def test_a_patient_whom_no_cohort_lists_is_out_of_future_ones(site: Path, tmp_path: Path, capsys: Capture) -> None:
    assert exclude(site, *file_with(tmp_path, "somebody\n")) == 0
    assert "no cohort lists this patient today" in capsys.readouterr().out
    assert usable(site, capsys) == 3


@pytest.mark.parametrize(("text", "code"), [("", 5), ("\n\n", 5), ("Meier\nMueller\n", 5)])
def test_a_file_that_does_not_name_one_patient_is_refused(
    site: Path, tmp_path: Path, capsys: Capture, text: str, code: int
) -> None:
    assert exclude(site, *file_with(tmp_path, text)) == code
    said = capsys.readouterr()
    assert "Meier" not in said.err + said.out
    assert usable(site, capsys) == 3


def test_a_cohort_that_cannot_be_listed_hides_nobody(site: Path, tmp_path: Path, capsys: Capture) -> None:
    (site.parent / "cases.csv").unlink()
    assert exclude(site, *file_with(tmp_path)) == 5
