"""A patient who is out is in no list of cases, whatever the cohort, until the hospital says why not."""

import ast
import errno
import json
from pathlib import Path
from typing import Any

import pytest

from fedvoxel.errors import CohortError, DiskFullError
from fedvoxel.volumes import exclusions
from fedvoxel.volumes.exclusions import ANCHOR_FILE, Exclusions, admitted_cases, list_mark
from fedvoxel.volumes.known_patient import Known, known_names
from fedvoxel.volumes.site import SiteConfig
from fedvoxel.volumes.used_patients import UsedPatients, uses_of
from tests.volumes.scans import csv_cohort, site_config, site_values

PACKAGE = Path(__file__).parents[2] / "app_custom" / "fedvoxel"


class Hospital:
    """Has two cohorts whose lists name patients by case; no scan is ever opened."""

    def __init__(self, folder: Path, **cohorts: list[tuple[str, str, str]]) -> None:
        self.local = folder / "local"
        self.local.mkdir()
        for name, rows in cohorts.items():
            lines = [f"{case},{patient},{image},{image}" for case, patient, image in rows]
            (self.local / f"{name}.csv").write_text("\n".join(["case,patient,image,label", *lines]) + "\n")
        self.site: SiteConfig = site_config(**{name: csv_cohort(f"{name}.csv") for name in cohorts})
        self.list = Exclusions(self.site, self.local)

    def name(self, patient: str) -> str:
        return self.site.pseudonym_of(patient)

    def cases(self, cohort: str) -> list[str]:
        return [files.case for files in admitted_cases(self.site, self.site.cohort(cohort), self.local)]


@pytest.fixture
def hospital(tmp_path: Path) -> Hospital:
    one = [("a1", "A", "a1"), ("a2", "A", "a2"), ("b1", "B", "b1")]
    return Hospital(tmp_path, one=one, two=[("x", "A", "x"), ("y", "C", "b1"), ("z", "", "z")])


# ------------------------------------------------------------------ the list


def test_all_cases_of_the_patient_are_out_of_all_cohorts(hospital: Hospital) -> None:
    assert (hospital.cases("one"), hospital.cases("two")) == (["a1", "a2", "b1"], ["x", "y", "z"])
    assert hospital.list.exclude([hospital.name("A")])
    assert (hospital.cases("one"), hospital.cases("two")) == (["b1"], ["y", "z"])
    assert not hospital.list.exclude([hospital.name("A")])
    assert hospital.list.exclude([hospital.name("z")])  # a case that stands for a patient whom nobody names
    assert hospital.cases("two") == ["y"]


def test_who_is_back_in_is_so_for_a_reason_that_stays(hospital: Hospital) -> None:
    hospital.list.exclude([hospital.name("A")])
    with pytest.raises(CohortError, match="for a reason only"):
        hospital.list.readmit([hospital.name("A")], " ")
    assert hospital.cases("one") == ["b1"]
    assert hospital.list.readmit([hospital.name("A")], "consent of 3 March")
    assert len(hospital.cases("one")) == 3
    assert not hospital.list.readmit([hospital.name("A")], "again")
    assert [(change.kind, change.reason) for change in hospital.list.changes()] == [
        ("excluded", ""),
        ("readmitted", "consent of 3 March"),
    ]


def test_one_image_file_is_one_patient_whatever_the_lists_say(hospital: Hospital) -> None:
    known = known_names(hospital.site, hospital.name("B"), hospital.local)
    names, cohorts = known.names, known.cohorts
    assert names == {hospital.name("B"), hospital.name("C")} and cohorts == ("one", "two")
    assert known_names(hospital.site, hospital.name("nobody"), hospital.local) == Known(
        frozenset({hospital.name("nobody")}), (), ()
    )


def test_nothing_that_is_written_names_the_patient(hospital: Hospital, tmp_path: Path) -> None:
    hospital.list.exclude([hospital.name("A")])
    written = [path for path in tmp_path.rglob("*") if path.is_file() and path.suffix != ".csv"]
    assert len(written) == 4
    assert all('"A"' not in path.read_text() for path in written)
    assert all(path.stat().st_mode & 0o077 == 0 for path in written)


def test_a_site_where_nobody_objected_has_no_list(hospital: Hospital, tmp_path: Path) -> None:
    assert hospital.list.patients() == frozenset() and list_mark(hospital.local) == b""
    assert not (tmp_path / "state").exists()


def test_the_mark_changes_with_the_list(hospital: Hospital) -> None:
    marks = [list_mark(hospital.local)]
    hospital.list.exclude([hospital.name("A")])
    marks.append(list_mark(hospital.local))
    hospital.list.readmit([hospital.name("A")], "consent")
    marks.append(list_mark(hospital.local))
    assert len(set(marks)) == 3


# ------------------------------------------------------------------ a list that cannot be trusted


def lose_folder(lines: Path, anchor: Path) -> None:
    for path in lines.parent.iterdir():
        path.unlink()
    lines.parent.rmdir()


def lose_last(lines: Path, anchor: Path) -> None:
    kept = lines.read_bytes().splitlines(keepends=True)[:-1]
    lines.write_bytes(b"".join(kept))
    (lines.parent / "head.json").write_bytes(kept[-1])


def change_line(lines: Path, anchor: Path) -> None:
    lines.write_bytes(lines.read_bytes().replace(b"case-", b"case_", 1))


def change_anchor(lines: Path, anchor: Path) -> None:
    anchor.write_text(json.dumps(json.loads(anchor.read_text()) | {"head": "0" * 64}))


def spoil_anchor(lines: Path, anchor: Path) -> None:
    anchor.write_text("{")


@pytest.mark.parametrize("spoil", [lose_folder, lose_last, change_line, change_anchor, spoil_anchor])
def test_no_case_is_used_where_the_list_was_lost_or_changed(hospital: Hospital, tmp_path: Path, spoil: Any) -> None:
    hospital.list.exclude([hospital.name("B")])
    hospital.list.exclude([hospital.name("A")])
    spoil(tmp_path / "state" / "exclusions" / "exclusions.jsonl", hospital.local / ANCHOR_FILE)
    with pytest.raises(CohortError, match="cannot be trusted, so no case is used"):
        hospital.cases("one")
    with pytest.raises(CohortError):
        hospital.list.exclude([hospital.name("C")])


def test_after_a_cut_before_the_note_was_written_the_patient_is_out(hospital: Hospital) -> None:
    hospital.list.exclude([hospital.name("A")])
    (hospital.local / ANCHOR_FILE).unlink()
    assert hospital.cases("one") == ["b1"]


@pytest.mark.parametrize("before", [0, 1])
def test_a_change_whose_note_was_cut_off_is_noted_when_it_is_repeated(
    hospital: Hospital, monkeypatch: pytest.MonkeyPatch, before: int
) -> None:
    def full(*given: Any, **named: Any) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    if before:
        hospital.list.exclude([hospital.name("B")])
    mark = list_mark(hospital.local)
    with monkeypatch.context() as patch:
        patch.setattr(exclusions, "write_json", full)
        with pytest.raises(DiskFullError, match="give the same command again"):
            hospital.list.exclude([hospital.name("A")])
        assert list_mark(hospital.local) == mark
    assert hospital.list.exclude([hospital.name("A")])
    assert list_mark(hospital.local) != mark and hospital.cases("one") == ([] if before else ["b1"])
    assert not hospital.list.exclude([hospital.name("A")])


def test_a_list_under_another_key_does_not_pass_for_an_empty_one(hospital: Hospital) -> None:
    hospital.list.exclude([hospital.name("A")])
    values = site_values(one=csv_cohort("one.csv")) | {"pseudonym_key": "1" * 64}
    site = SiteConfig.model_validate(values)
    with pytest.raises(CohortError, match="another pseudonym_key"):
        admitted_cases(site, site.cohort("one"), hospital.local)


def test_nobody_lists_cases_past_the_list() -> None:
    """Cases are listed in one place; who writes the key file, or looks for a patient's names, lists all of them."""
    users = set()
    for path in PACKAGE.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ImportFrom) and any(alias.name == "list_cases" for alias in node.names):
                users.add(path.relative_to(PACKAGE).as_posix())
    assert users == {"volumes/exclusions.py", "volumes/key_file.py", "volumes/known_patient.py"}


# ------------------------------------------------------------------ who was used


def test_the_runs_that_used_a_patient_are_known(tmp_path: Path) -> None:
    local, runs = tmp_path / "local", tmp_path / "state" / "runs"
    for run, use, patients in (("r1", "trained", "AB"), ("r1", "scored", "C"), ("r2", "trained", "B")):
        for _ in range(2):
            UsedPatients(runs / run).note(use, "one", patients)  # type: ignore[arg-type]
    (runs / "older").mkdir()
    found = uses_of(["A"], local)
    assert [(run.run_key, run.use, run.cohort) for run in found.runs] == [("r1", "trained", "one")]
    assert found.unknown == ("older",)
    assert {(run.run_key, run.use) for run in uses_of(["B", "C"], local).runs} == {
        ("r1", "trained"),
        ("r1", "scored"),
        ("r2", "trained"),
    }
    assert len((runs / "r1" / "patients" / "used.jsonl").read_text().splitlines()) == 2


def test_a_changed_record_of_use_makes_its_run_unknown_and_hides_no_other(tmp_path: Path) -> None:
    runs = tmp_path / "state" / "runs"
    for run in ("r1", "r2"):
        UsedPatients(runs / run).note("trained", "one", ["case-0123456789ab"])
    path = runs / "r1" / "patients" / "used.jsonl"
    path.write_text(path.read_text().replace("0123456789ab", "0123456789ac"))
    found = uses_of(["case-0123456789ab"], tmp_path / "local")
    assert [run.run_key for run in found.runs] == ["r2"] and found.unknown == ("r1",)
