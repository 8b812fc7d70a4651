"""A compressed job over real processes: few bytes, one model everywhere, and a site that lost it is brought back."""

from pathlib import Path

import numpy as np
import pytest

from fedvoxel.federation.absences import Absences
from fedvoxel.federation.broadcast import fingerprint
from fedvoxel.flare.run_files import GLOBAL_MODEL_FILE

from .conftest import SystemUnderTest, job_variant

STEPPED = {"name": "stepped", "step": 1.0, "levels": 3}


@pytest.mark.slow
def test_a_compressed_job_sends_little_and_all_hold_the_same_model(system: SystemUnderTest, tmp_path: Path) -> None:
    section = {"compression": {"up": STEPPED, "down": STEPPED}}
    job_id = system.submit(job_variant(tmp_path, "compressed", 4, rounds_section=section, epochs=8))
    system.wait_until_training(job_id, 1, ["hospital-a"])
    lost = next(system.state("hospital-a", "compressed").glob("held_model.*.npz"))
    lost.unlink()
    system.wait(job_id)
    outcome = system.outcome(job_id)
    assert (outcome.status, outcome.rounds_committed) == ("finished", 4), outcome.reason
    assert all(set(record.contributed) == set(outcome.sites) for record in outcome.rounds)

    model = dict(np.load(system.state("server", "compressed") / GLOBAL_MODEL_FILE))
    whole = sum(array.nbytes for array in model.values())
    sites = len(outcome.sites)
    up, down = [record.bytes_up for record in outcome.rounds], [record.bytes_down for record in outcome.rounds]
    assert all(0 < size < sites * whole / 4 for size in up)
    assert down[0] == 0, "the sites draw the first model themselves"
    assert 0 < down[1] < sites * whole / 4 and 0 < down[3] < sites * whole / 4
    assert whole < down[2] < whole + sites * whole / 4, "one site was sent the whole"
    held = [
        dict(np.load(next(system.state(site, "compressed").glob("held_model.*"))).items()) for site in outcome.sites
    ]
    assert len({fingerprint(arrays) for arrays in held}) == 1

    beside, last = outcome.beside_rounds, outcome.best_round == 3
    assert beside.first_model_up == whole
    assert 0 < beside.validation_down < sites * whole / 4, "the last model came as a change"
    assert beside.test_down == (0 if last else sites * whole), "nothing where all hold the tested model"
    assert set(outcome.test) == set(outcome.sites) and outcome.unvalidated == outcome.untested == Absences()
