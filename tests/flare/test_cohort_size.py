"""Whether a budget's delta means anything for a cohort's patients, as its lists have them."""

from pathlib import Path

import pytest

from fedvoxel.errors import CohortError, ConfigError
from fedvoxel.flare.cohort_size import budget_problem, check_declared_size, training_patients
from fedvoxel.privacy.policy import CohortBudget, NoBudget, PrivacyPolicy, write_privacy_policy
from fedvoxel.privacy.sections import PatientMechanismConfig
from fedvoxel.volumes.site import SiteConfig
from tests.private_section import PRIVACY


def cohort(folder: Path, patients: int, test: float = 0.0) -> SiteConfig:
    """A site with a table of two scans for each patient, all in place."""
    rows = ["case,patient,image,label"]
    for index in range(2 * patients):
        for kind in ("image", "label"):
            (folder / f"{kind}{index}.nii.gz").write_bytes(b"never opened")
        rows.append(f"case{index},Meier{index // 2},image{index}.nii.gz,label{index}.nii.gz")
    (folder / "cases.csv").write_text("\n".join(rows) + "\n")
    split = {"validation": 0.0, "test": test}
    values = {"source": {"layout": "csv", "table": "cases.csv"}, "classes": {"blob": 1}, "split": split}
    site = {"schema_version": 1, "pseudonym_key": "ab" * 32, "cohorts": {"blobs": values}}
    return SiteConfig.model_validate(site)


def budget(delta: float, unit: str = "patient", **more: int) -> CohortBudget:
    return CohortBudget.model_validate({"unit": unit, "epsilon": 8.0, "delta": delta} | more)


def test_patients_are_counted_and_not_scans_and_only_those_trained_on(tmp_path: Path) -> None:
    assert training_patients(cohort(tmp_path, 20), "blobs", tmp_path) == 20
    assert 0 < training_patients(cohort(tmp_path, 20, test=0.5), "blobs", tmp_path) < 20
    assert training_patients(cohort(tmp_path, 20, test=1.0), "blobs", tmp_path) == 0
    described = cohort(tmp_path, 20)
    for scan in (0, 1):
        (tmp_path / f"image{scan}.nii.gz").unlink()
    assert training_patients(described, "blobs", tmp_path) == 19


def test_a_delta_that_would_publish_a_patient_is_said(tmp_path: Path) -> None:
    described = cohort(tmp_path, 20)
    assert budget_problem("blobs", budget(0.01), described, tmp_path) is None
    said = budget_problem("blobs", budget(0.05), described, tmp_path)
    assert said and "cohort blobs: delta 0.05 is not below 1/20" in said and "choose at most 0.005" in said
    assert "Meier" not in said


def test_where_nobody_is_promised_nothing_is_said(tmp_path: Path) -> None:
    assert budget_problem("blobs", budget(0.05, "hospital"), cohort(tmp_path, 20), tmp_path) is None
    assert budget_problem("blobs", budget(0.05), cohort(tmp_path, 20, test=1.0), tmp_path) is None


def test_a_list_that_cannot_be_used_is_an_error(tmp_path: Path) -> None:
    described = cohort(tmp_path, 2)
    (tmp_path / "cases.csv").unlink()
    with pytest.raises(CohortError):
        budget_problem("blobs", budget(0.05), described, tmp_path)


def test_more_patients_declared_than_there_are_is_said(tmp_path: Path) -> None:
    described = cohort(tmp_path, 20)
    assert budget_problem("blobs", budget(0.01, patients_at_least=20), described, tmp_path) is None
    said = budget_problem("blobs", budget(0.01, patients_at_least=21), described, tmp_path)
    assert said and "patients_at_least is 21, it has 20 to train on" in said
    assert budget_problem("blobs", budget(0.01, patients_at_least=1), cohort(tmp_path, 20, test=1.0), tmp_path)


def test_a_job_is_held_against_the_declared_number_alone(tmp_path: Path) -> None:
    """Neither list nor scan is there to be looked at: what is answered follows from the policy."""
    section = PatientMechanismConfig.model_validate(PRIVACY | {"expected_batch": 10, "delta": 0.01})

    def check(entry: CohortBudget | NoBudget, **changes: float) -> None:
        write_privacy_policy(tmp_path, PrivacyPolicy(schema_version=1, cohorts={"blobs": entry}))
        check_declared_size(tmp_path, "blobs", section.model_copy(update=changes))

    check(budget(0.01, patients_at_least=10))
    with pytest.raises(ConfigError, match="larger than the cohort of 10"):
        check(budget(0.01, patients_at_least=10), expected_batch=11)
    with pytest.raises(ConfigError, match=r"delta 0\.2 is not below 1/10"):
        check(budget(0.01, patients_at_least=10), delta=0.2)
    check(budget(0.01), expected_batch=1000, delta=0.9)
    check(NoBudget(), expected_batch=1000)
    check_declared_size(tmp_path, "blobs", None)
