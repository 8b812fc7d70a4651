"""SCAFFOLD, FedDyn, FedBN, Ditto and fine-tuning as jobs over real processes, each for two rounds."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fedvoxel.flare.run_files import GLOBAL_MODEL_FILE

from .conftest import SystemUnderTest, job_variant

NORMALISED = {
    "name": "UNet",
    "arguments": {"channels": [4, 8], "strides": [2], "num_res_units": 0, "norm": ["instance", {"affine": True}]},
}
RULES: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "scaffold": ({"correction": {"name": "scaffold"}}, {}),
    "feddyn": ({"correction": {"name": "feddyn", "alpha": 0.05}}, {}),
    "fedbn": ({}, {"network": NORMALISED, "site_local": ["*.adn.N.*"]}),
    "ditto": ({}, {"personal": {"name": "ditto", "strength": 0.1}}),
    "fine_tuned": ({}, {"personal": {"name": "fine_tuned", "steps": 5}}),
}


@pytest.mark.slow
@pytest.mark.parametrize("rule", RULES)
def test_each_algorithm_runs_over_real_processes(rule: str, system: SystemUnderTest, tmp_path: Path) -> None:
    rounds, training = RULES[rule]
    outcome = system.run(job_variant(tmp_path, rule, 2, rounds_section=rounds, training=training))
    assert (outcome.status, outcome.rounds_committed) == ("finished", 2), outcome.reason
    sites = set(outcome.sites)
    assert all(set(record.contributed) == sites for record in outcome.rounds)
    model = np.load(system.state("server", rule) / GLOBAL_MODEL_FILE)
    assert not [name for name in model.files if name.startswith("control:")], "the model alone is what is kept"
    assert set(outcome.personal) == (sites if "personal" in training else set())
    for site in sites:
        kept = {path.name.split(".")[0] for path in system.state(site, rule).glob("*.npz")}
        own = {"personal_model"} if "personal" in training else {"site_state", "site_state_1"}
        own |= {"personal_start_0", "personal_start_1"} if rule == "ditto" else set()
        assert kept == {"local_model", *own}
    if rule == "fedbn":
        local = [name for name in model.files if ".adn.N." in name]
        assert local and all(np.all(model[name] == (1.0 if name.endswith("weight") else 0.0)) for name in local)
