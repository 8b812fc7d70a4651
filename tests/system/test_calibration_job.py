"""Hospitals calibrate a model together on real processes; it is exported with the model, and predict uses it."""

import json
from pathlib import Path

import pytest

from fedvoxel.cli.main import main
from fedvoxel.config import load_json_config
from fedvoxel.federation.calibration.answers import MINIMUM_PATIENTS
from fedvoxel.federation.calibration.calibration import Calibration
from fedvoxel.flare.calibration import CALIBRATION_FILE
from fedvoxel.flare.job_kinds import understand, variant
from fedvoxel.governance.job_folder import read_job_folder, write_job_folder
from fedvoxel.records.atomic import write_json
from fedvoxel.records.canonical import sha256_of_file
from tests.export.package_sample import description_values

from .conftest import SCIENTIST, SITES, SystemUnderTest, job_variant
from .tiny_cohorts import blob_rows, describe_cohort

JOB = Path(__file__).resolve().parents[2] / "jobs" / "hippocampus_calibration"
SMALL = {"name": "UNet", "arguments": {"channels": [4, 8], "strides": [2], "num_res_units": 0}}
FEW, ENOUGH = {"training": 7, "validation": 4}, {"training": 7, "validation": 5}


@pytest.mark.slow
def test_hospitals_calibrate_a_model_together(
    system: SystemUnderTest, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for seed, site in enumerate(SITES):
        (tmp_path / site).mkdir()
        rows = blob_rows(tmp_path / site, site, seed, FEW if site == SITES[-1] else ENOUGH)
        describe_cohort(system.kit(site), "calibrated", rows)
    trained = system.submit(job_variant(tmp_path, "calibrated", rounds=1, cohort="calibrated"))
    system.wait(trained)
    changes = {"run_key": "calibrated", "cohort": "calibrated", "training.network": SMALL}
    write_job_folder(variant(understand(read_job_folder(JOB)), changes).folder, tmp_path / "calibration")
    job_id = system.submit(tmp_path / "calibration")
    system.wait(job_id)
    file = system.download(job_id) / CALIBRATION_FILE
    found = load_json_config(Calibration, file, "the calibration")
    assert found.hospitals == len(SITES) - 1 and found.patients == 5 * found.hospitals
    assert found.plan.reference.cases == 7 * len(SITES)
    assert not found.distances.has_small_cells(MINIMUM_PATIENTS)
    assert found.plan.structures == ("anterior", "posterior") and all(found.quality.values())
    state = system.state("server", "calibrated")
    best = state / "best_model.npz"
    assert found.model_sha256 == sha256_of_file(best if best.is_file() else state / "global_model.npz")

    package = _exported(tmp_path, system.download(trained).parent, file, system.kit(SCIENTIST))
    capsys.readouterr()
    image = min((tmp_path / SITES[0]).glob("*_image.nii.gz"))
    root = ["--root", str(system.kit(SITES[0]) / "startup" / "rootCA.pem")]
    assert main(["predict", str(package), str(image), *root, "--out", str(tmp_path / "found"), "--json"]) == 0
    (result,) = json.loads(capsys.readouterr().out)["results"]
    said = result["assessment"]
    assert said["verdict"] == "alike" and said["calibration_patients"] == found.patients
    assert [one["label"] for one in result["structures"]] == list(said["structures"])
    assert all(0 <= one["estimated_dice"] <= 1 for one in said["structures"].values())


def _exported(folder: Path, result: Path, calibration: Path, kit: Path) -> Path:
    """The package of a downloaded job, with a calibration in it."""
    described = {key: value for key, value in description_values().items() if key not in ("plan", "inference")}
    write_json(folder / "model.json", described)
    words = ["export", str(result), "--describe", str(folder / "model.json"), "--sign", str(kit)]
    assert main([*words, "--calibration", str(calibration), "--out", str(folder / "package")]) == 0
    (package,) = (folder / "package").glob("*.fvpkg")
    return package
