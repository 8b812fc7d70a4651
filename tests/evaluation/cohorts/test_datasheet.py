"""The datasheet: patients are its unit, and nothing in it is about few of them."""

import itertools
import json
import re
import stat
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pytest

from fedvoxel.evaluation.cohorts.answers import HospitalAnswers
from fedvoxel.evaluation.cohorts.case_record import CaseRecord, CohortRecords, RefusedRecord, read_records
from fedvoxel.evaluation.cohorts.cells import Cell, cells_of, told_cases
from fedvoxel.evaluation.cohorts.datasheet import Datasheet, make_datasheet, write_datasheet
from fedvoxel.evaluation.cohorts.datasheet_page import render_datasheet
from fedvoxel.evaluation.cohorts.patients import patients_of
from fedvoxel.volumes.case_facts import CaseFacts, facts_of
from fedvoxel.volumes.site import SiteConfig
from fedvoxel.volumes.volume import LabelledVolume, Volume
from tests.evaluation.cohorts.cohort_folders import HOSTILE, NAME, site_of
from tests.volumes.scans import CLASSES, cohort_config, image_voxels, label_voxels

MINIMUM = 5
RARE = "Neverseen Rare 9000"


def facts(number: int) -> CaseFacts:
    affine = np.diag([1.0 + 0.01 * number, 1.0, 2.0, 1.0])
    return facts_of(LabelledVolume("case", Volume(image_voxels(seed=number), affine), label_voxels()), CLASSES, "test")


def record(number: int, patient: int | None = None, **known: str | float) -> CaseRecord:
    owner = f"case-{number if patient is None else patient:012d}"
    return CaseRecord(f"case-{number:012d}", owner, facts(number % 7), known, (f"{number:064x}",))


def sheet_of(cases: Iterable[CaseRecord], refused: Iterable[RefusedRecord] = (), minimum: int = MINIMUM) -> Datasheet:
    records = CohortRecords(tuple(cases), tuple(refused), patients_named=True)
    return make_datasheet(cohort_config(), "hippocampus", Path(), records, minimum, HospitalAnswers())


def tables(sheet: Datasheet) -> list[tuple[Cell, ...]]:
    made = sheet.composition
    assert made is not None
    return [made.splits, made.scanners, made.sexes, made.ages, made.marked]


def scanners(cases: Iterable[CaseRecord]) -> tuple[Cell, ...]:
    made = sheet_of(cases).composition
    assert made is not None
    return made.scanners


def small_in(sheet: Datasheet) -> list[int]:
    """All sums of a table's cells, and the total minus each, that are about few patients."""
    assert sheet.composition is not None
    total = sheet.composition.patients
    found = []
    for cells in tables(sheet):
        shown = [cell.patients for cell in cells]
        sums = {sum(some) for size in range(len(shown) + 1) for some in itertools.combinations(shown, size)}
        found += [count for part in sums for count in (part, total - part) if 0 < count < sheet.minimum_patients]
    return found


# ------------------------------------------------------------------ what is told


@pytest.mark.parametrize("seed", range(30))
def test_nothing_small_is_shown_or_can_be_computed(seed: int) -> None:
    random = np.random.default_rng(seed)
    makers = ("Siemens", "Philips", "GE MEDICAL SYSTEMS")
    cases = [
        record(
            number,
            int(random.integers(0, 25)),
            Modality="MR",
            Manufacturer=makers[int(random.choice(3, p=[0.7, 0.2, 0.1]))],
            ManufacturersModelName=f"model {int(random.geometric(0.4))}",
            PatientSex=str(random.choice(["F", "M", "O"], p=[0.6, 0.35, 0.05])),
            PatientAge=float(random.integers(1, 100)),
        )
        for number in range(40)
    ]
    sheet = sheet_of(cases)
    assert small_in(sheet) == []
    assert sheet.composition is not None
    assert {sum(cell.patients for cell in cells) for cells in tables(sheet) if cells} == {sheet.composition.patients}


def test_the_search_for_small_groups_finds_one_if_nothing_is_suppressed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("fedvoxel.evaluation.cohorts.cells.merged_counts", lambda counts, _: dict(counts))
    cases = [record(number, PatientSex="F" if number else "M") for number in range(9)]
    assert small_in(sheet_of(cases)) != []


def test_five_scans_of_one_patient_are_one_patient() -> None:
    cases = [record(number, PatientSex="F") for number in range(8)]
    cases += [record(100 + number, 99, PatientSex="M", Manufacturer=RARE) for number in range(5)]
    sheet = sheet_of(cases)
    assert sheet.composition is not None
    assert sheet.composition.patients == 9
    # 13 cases of 9 patients would tell that one has several.
    assert sheet.composition.cases is None
    assert sheet.composition.sexes == ()
    assert RARE not in sheet.model_dump_json()


def test_cases_are_told_where_they_tell_of_no_few() -> None:
    once = [record(number) for number in range(8)]
    several = [record(50 + number, number) for number in range(6)]
    assert told_cases(patients_of(once), MINIMUM) == 8
    assert told_cases(patients_of(once[:6] + several), MINIMUM) == 12
    assert told_cases(patients_of(once + several), MINIMUM) is None
    more = [record(200 + number) for number in range(8)]
    assert told_cases(patients_of(once + several + more), MINIMUM) == 22
    cells = cells_of(patients_of(once + several), lambda patient: (patient.cases[0].case[-1] < "6" and "a") or "b", 2)
    assert [(cell.name, cell.patients, cell.cases) for cell in cells] == [("a", 6, 12), ("b", 2, 2)]


def test_a_rare_scanner_is_not_named_and_a_maker_is_told_where_models_are_few() -> None:
    known = {"Modality": "MR", "Manufacturer": "Siemens", "MagneticFieldStrength": 3.0}
    cases = [record(number, ManufacturersModelName="Prisma", **known) for number in range(9)]
    cases += [record(20 + number, ManufacturersModelName=f"model {number}", **known) for number in range(6)]
    cases += [record(60 + number) for number in range(6)]
    told = [(cell.name, cell.patients) for cell in scanners(cases)]
    assert told == [("MR · Siemens · Prisma, 3 T", 9), ("MR · Siemens · other", 6), ("not known", 6)]
    # The one of a rare maker would be the total minus the rest: the smallest line goes with it.
    told = [(cell.name, cell.patients) for cell in scanners([*cases, record(40, Modality="MR", Manufacturer=RARE)])]
    assert told == [("MR · Siemens · Prisma, 3 T", 9), ("not known", 6), ("other", 7)]


def test_ages_are_in_bands_of_enough_patients_and_nobody_is_older_than_ninety() -> None:
    ages = [25, 26, 27, 28, 29, 45, 46, 47, 48, 49, 91, 92, 97, 99, 93]
    made = sheet_of([record(number, PatientAge=float(age)) for number, age in enumerate(ages)]).composition
    assert made is not None
    assert [(cell.name, cell.patients) for cell in made.ages] == [
        ("under 30", 5),
        ("30 to 49", 5),
        ("50 and older", 5),
    ]


def test_ages_of_few_are_neither_told_nor_said_to_be_unknown() -> None:
    made = sheet_of([record(0, PatientAge=50.0), *(record(number) for number in range(1, 9))]).composition
    assert made is not None
    assert made.ages == ()


def test_a_volume_is_told_where_enough_have_it() -> None:
    few = [record(number) for number in range(9)]
    for case in few[:6]:
        case.facts.voxels_per_class["posterior"] = 0
    made = sheet_of(few).composition
    assert made is not None
    assert [spread.name for spread in made.spreads if spread.subject == "volume"] == ["anterior"]
    assert made.spreads[0].quantiles.keys() == {"q05", "q25", "q50", "q75", "q95"}
    # Nine patients make one group: five results, one number.
    assert len(set(made.spreads[0].quantiles.values())) == 1


def test_below_the_minimum_nothing_but_that_is_told() -> None:
    sheet = sheet_of([record(number, number % 4, Manufacturer=RARE) for number in range(20)], refused=[])
    assert (sheet.composition, sheet.refused, sheet.hashes) == (None, None, None)
    page = render_datasheet(sheet)
    assert "fewer than 5 patients with a usable case" in page
    assert RARE not in page + sheet.model_dump_json()


@pytest.mark.parametrize(
    ("patients", "told", "cells"),
    [([], "none", []), ([1, 2, 3, 3, 3, 3], "few", []), ([1, 2, 3, 4, 5, 5], "counted", [("unreadable", 5)])],
)
def test_refusals_are_counted_by_patient(patients: list[int], told: str, cells: list[tuple[str, int]]) -> None:
    refused = [RefusedRecord(f"case-{patient:012d}", "unreadable") for patient in patients]
    found = sheet_of([record(number) for number in range(6)], refused).refused
    assert found is not None
    assert (found.told, [(cell.name, cell.patients) for cell in found.cells]) == (told, cells)
    page = render_datasheet(sheet_of([record(number) for number in range(6)], refused))
    assert {"none": "No case was refused", "few": "Fewer than 5 patients", "counted": "unreadable"}[told] in page


def test_the_hash_names_the_cohort_whatever_the_order() -> None:
    cases = [record(number) for number in range(6)]
    one, other = sheet_of(cases).hashes, sheet_of(reversed(cases)).hashes
    assert one == other
    assert one != sheet_of([*cases[:5], record(77)]).hashes


# ------------------------------------------------------------------ files


def read(site: SiteConfig, folder: Path) -> Datasheet:
    records = read_records(site, "hippocampus", folder)
    return make_datasheet(site.cohort("hippocampus"), "hippocampus", folder, records, MINIMUM, HospitalAnswers())


def test_files_hold_no_name_path_date_or_institution(tmp_path: Path) -> None:
    hidden = {"InstitutionName": NAME, "SeriesDescription": NAME, "AcquisitionDateTime": "2019-03-04T05:06:07"}
    site = site_of(tmp_path, 7, {0: "twice", 1: "twice"}, Manufacturer="Siemens", PatientAge=91, **hidden)
    page = write_datasheet(read(site, tmp_path), tmp_path / "out")
    for path in (page, page.with_suffix(".json")):
        text = path.read_text()
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        assert all(secret not in text for secret in (NAME, str(tmp_path), "2019", "case-", "PatientName"))
    told = json.loads(page.with_suffix(".json").read_text())
    assert (told["composition"]["patients"], told["composition"]["cases"]) == (6, None)
    assert told["patients_named"] is True


def test_hostile_text_is_escaped_and_the_page_has_no_script() -> None:
    answers = HospitalAnswers(motivation=HOSTILE)
    sheet = sheet_of([record(number, Manufacturer=HOSTILE) for number in range(6)])
    page = render_datasheet(sheet.model_copy(update={"cohort": HOSTILE, "answers": answers, "classes": (HOSTILE,)}))
    assert "<script" not in page
    assert page.count("&lt;script&gt;") >= 4
    assert "script-src" not in page and "default-src 'none'" in page
    assert re.findall(r"""(?:src|href)=["']""", page) == []
    assert " style=" not in page


def test_the_page_shows_what_the_json_holds_and_says_whom_it_is_for(tmp_path: Path) -> None:
    site = site_of(tmp_path, 9, Modality="MR", Manufacturer="Siemens", PatientSex="F", MagneticFieldStrength=1.5)
    sheet = read(site, tmp_path)
    page = render_datasheet(sheet)
    assert "For the consortium." in page
    assert "only by a person’s hand" in page
    assert "MR · Siemens · not known, 1.5 T" in page
    assert "Datasheets for Datasets" in page
    assert sheet.hashes is not None
    assert sheet.hashes.cohort_sha256 in page


def test_real_scans_of_one_hospital(data_folder: Path, tmp_path: Path) -> None:
    from fedvoxel.volumes.hippocampus import hippocampus_cohort, hippocampus_tables
    from tests.volumes.scans import site_config

    table = hippocampus_tables(data_folder, tmp_path)["hospital-a"]
    site = site_config(hippocampus=hippocampus_cohort(table))
    sheet = read(site, tmp_path)
    assert sheet.composition is not None
    assert sheet.composition.patients == 42
    assert small_in(sheet) == []
    volumes = {spread.name: spread.quantiles for spread in sheet.composition.spreads if spread.subject == "volume"}
    assert 1.0 < volumes["anterior"]["q05"] < volumes["anterior"]["q95"] < 2.5
