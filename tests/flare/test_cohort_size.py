"""Whether a budget's delta means anything for a cohort's patients, as its lists have them."""

from pathlib import Path

import pytest

from fedvoxel.errors import CohortError
from fedvoxel.flare.cohort_size import budget_problem, training_patients
from fedvoxel.privacy.policy import CohortBudget
from fedvoxel.volumes.site import CohortConfig


def cohort(folder: Path, patients: int, test: float = 0.0) -> CohortConfig:
    """A table of two scans for each patient, all in place."""
    rows = ["case,patient,image,label"]
    for index in range(2 * patients):
        for kind in ("image", "label"):
            (folder / f"{kind}{index}.nii.gz").write_bytes(b"never opened")
        rows.append(f"case{index},Meier{index // 2},image{index}.nii.gz,label{index}.nii.gz")
    (folder / "cases.csv").write_text("\n".join(rows) + "\n")
    split = {"validation": 0.0, "test": test}
    values = {"source": {"layout": "csv", "table": "cases.csv"}, "classes": {"blob": 1}, "split": split}
    return CohortConfig.model_validate(values)


def budget(delta: float, unit: str = "patient") -> CohortBudget:
    return CohortBudget.model_validate({"unit": unit, "epsilon": 8.0, "delta": delta})


def test_patients_are_counted_and_not_scans_and_only_those_trained_on(tmp_path: Path) -> None:
    assert training_patients(cohort(tmp_path, 20), tmp_path) == 20
    assert 0 < training_patients(cohort(tmp_path, 20, test=0.5), tmp_path) < 20
    assert training_patients(cohort(tmp_path, 20, test=1.0), tmp_path) == 0
    described = cohort(tmp_path, 20)
    for scan in (0, 1):
        (tmp_path / f"image{scan}.nii.gz").unlink()
    assert training_patients(described, tmp_path) == 19


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
