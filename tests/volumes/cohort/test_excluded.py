"""A build leaves out who is out: not opened, not pulled, and what was built before is removed."""

from pathlib import Path
from typing import Any

import pytest

from fedvoxel.dicom.query import FoundSeries
from fedvoxel.volumes.build_config import BuildConfig
from fedvoxel.volumes.cohort.build import BuildReport, build_cohort
from fedvoxel.volumes.cohort.selection import Selection
from fedvoxel.volumes.exclusions import Exclusions, admitted_cases
from tests.volumes.cohort.studies import cohort_values, generated_study, site_of

SITE = site_of(cohort_values({"folder": "dicom"}))
OUT = SITE.pseudonym_of("PID-0000")


@pytest.fixture
def local(tmp_path: Path) -> Path:
    made = tmp_path / "kit" / "local"
    for number in range(2):
        generated_study(made / "dicom", number)
    return made


def build(local: Path) -> BuildReport:
    return build_cohort(SITE, "main", local, 1)


def patients(report: BuildReport) -> set[str]:
    return {entry.patient for entry in (*report.manifest.cases, *report.manifest.refused)}


def test_what_was_built_of_the_patient_is_not_used_and_the_next_build_removes_it(local: Path) -> None:
    first = build(local)
    assert OUT in patients(first) and len(first.manifest.cases) == 2
    Exclusions(SITE, local).exclude([OUT])
    assert len(admitted_cases(SITE, SITE.cohort("main"), local)) == 1

    second = build(local)
    assert patients(second) == {SITE.pseudonym_of("PID-0001")}
    assert (second.built, second.reused, second.dropped) == (0, 1, 1)
    assert len(list((local / "built" / "images").iterdir())) == 1
    Exclusions(SITE, local).readmit([OUT], "consent")
    assert patients(build(local)) == patients(first)


def test_a_patients_files_are_not_even_opened(local: Path) -> None:
    Exclusions(SITE, local).exclude([OUT])
    report = build(local)
    assert report.built == 1 and OUT not in patients(report)


@pytest.mark.parametrize(
    ("excluded", "out"), [({OUT}, True), ({SITE.pseudonym_of("1.2.3")}, True), ({"case-0"}, False), (set(), False)]
)
def test_a_series_at_a_pacs_is_told_by_its_patient_or_itself(excluded: set[str], out: bool) -> None:
    described: Any = SITE.cohort("main").build
    assert isinstance(described, BuildConfig)
    selection = Selection(described, SITE.pseudonym_of, None, frozenset(excluded))
    assert selection.is_excluded(FoundSeries(" PID-0000", "1.2", "1.2.3", "MR", 5)) is out
