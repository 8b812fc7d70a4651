"""Hospitals calibrate a model together on real processes: sums leave them, and a calibration comes of it."""

from pathlib import Path

import pytest

from fedvoxel.config import load_json_config
from fedvoxel.federation.calibration.answers import MINIMUM_PATIENTS
from fedvoxel.federation.calibration.calibration import Calibration
from fedvoxel.flare.calibration import CALIBRATION_FILE
from fedvoxel.flare.job_kinds import understand, variant
from fedvoxel.governance.job_folder import read_job_folder, write_job_folder
from fedvoxel.records.canonical import sha256_of_file

from .conftest import SITES, SystemUnderTest, job_variant
from .tiny_cohorts import blob_rows, describe_cohort

JOB = Path(__file__).resolve().parents[2] / "jobs" / "hippocampus_calibration"
SMALL = {"name": "UNet", "arguments": {"channels": [4, 8], "strides": [2], "num_res_units": 0}}
FEW, ENOUGH = {"training": 7, "validation": 4}, {"training": 7, "validation": 5}


@pytest.mark.slow
def test_hospitals_calibrate_a_model_together(system: SystemUnderTest, tmp_path: Path) -> None:
    for seed, site in enumerate(SITES):
        (tmp_path / site).mkdir()
        rows = blob_rows(tmp_path / site, site, seed, FEW if site == SITES[-1] else ENOUGH)
        describe_cohort(system.kit(site), "calibrated", rows)
    system.run(job_variant(tmp_path, "calibrated", rounds=1, cohort="calibrated"))
    changes = {"run_key": "calibrated", "cohort": "calibrated", "training.network": SMALL}
    write_job_folder(variant(understand(read_job_folder(JOB)), changes).folder, tmp_path / "calibration")
    job_id = system.submit(tmp_path / "calibration")
    system.wait(job_id)
    found = load_json_config(Calibration, system.download(job_id) / CALIBRATION_FILE, "the calibration")
    assert found.hospitals == len(SITES) - 1 and found.patients == 5 * found.hospitals
    assert found.plan.reference.cases == 7 * len(SITES)
    assert not found.distances.has_small_cells(MINIMUM_PATIENTS)
    assert found.plan.structures == ("anterior", "posterior") and all(found.quality.values())
    state = system.state("server", "calibrated")
    best = state / "best_model.npz"
    assert found.model_sha256 == sha256_of_file(best if best.is_file() else state / "global_model.npz")
