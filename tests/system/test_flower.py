"""Hospitals' own Flower apps on FLARE's real processes: what leaves passed the same filter, ledger and server."""

import json
import os
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from fedvoxel.flare.consortium_processes import running_consortium
from fedvoxel.flare.job_kinds import understand, variant
from fedvoxel.flare.provisioning import create_consortium
from fedvoxel.governance.job_folder import read_job_folder, write_job_folder
from fedvoxel.privacy.ledger import open_ledger
from fedvoxel.privacy.policy import CohortBudget, grant
from fedvoxel.records.audit import AuditLog
from fedvoxel.volumes.site import SITE_FILE
from tests.flower_apps import MODULE, WHOLE, app_of_the_page, needs_flower, write_app

from .conftest import CONSORTIUM_FILE, ROOT, SITES, SystemUnderTest, free_port, log_in
from .tiny_cohorts import describe_cohort, of_others

pytestmark = [pytest.mark.slow, needs_flower]

APP, PAGE = "hippocampus-unet", "app_of_the_page"
HONEST_AT, WHOLE_AT, NOT_ALLOWED_AT = SITES[:2], SITES[2], SITES[3]
SMALL = {"name": "UNet", "arguments": {"channels": [4, 8], "strides": [2], "num_res_units": 0}}
PRIVACY = {"unit": "hospital", "clip_norm": 0.5, "noise_multiplier": 3.0, "sites": 3, "delta": 1e-3}


@pytest.fixture(scope="module")
def hospitals(tmp_path_factory: pytest.TempPathFactory, cohort_rows: dict[str, list[str]]) -> Iterator[SystemUnderTest]:
    """Two hospitals with the app of the page, one whose app answers with full weights, one that allows none."""
    installed = write_app(tmp_path_factory.mktemp("installed"), WHOLE)
    (installed / f"{PAGE}.py").write_text(app_of_the_page())
    made = create_consortium(CONSORTIUM_FILE, tmp_path_factory.mktemp("flower"), free_port())
    for site in SITES:
        local = made.kit(site) / "local"
        describe_cohort(made.kit(site), "hippocampus", cohort_rows[site])
        described = json.loads((local / SITE_FILE).read_text())
        if site != NOT_ALLOWED_AT:
            described["flower_apps"] = {APP: f"{MODULE if site == WHOLE_AT else PAGE}:app"}
        (local / SITE_FILE).write_text(json.dumps(described))
        # As if the app were installed in the site's environment; the package is importable as in all other tests.
        paths = [str(ROOT / "app_custom"), str(installed), os.environ.get("PYTHONPATH", "")]
        (local / "environment").write_text(f"PYTHONPATH={os.pathsep.join(filter(None, paths))}\n")
    with running_consortium(made.workspace) as running:
        system = SystemUnderTest(running, log_in(made), tmp_path_factory.mktemp("downloads"))
        try:
            yield system
        finally:
            with suppress(Exception):
                system.session.close()


def bridge_job(folder: Path, run_key: str, **values: Any) -> Path:
    """Writes a small variant of jobs/flower_bridge, as it stands otherwise."""
    job = understand(read_job_folder(ROOT / "jobs" / "flower_bridge"))
    small = {"run_key": run_key, "name": run_key, "training.network": SMALL, "rounds.num_rounds": 2}
    public = {"plan_source": "fixed", "choices": "public"}
    write_job_folder(variant(job, small | public | values).folder, folder / run_key)
    return folder / run_key


def test_apps_train_and_what_is_no_difference_or_not_allowed_stays_out(
    hospitals: SystemUnderTest, tmp_path: Path
) -> None:
    outcome = hospitals.run(bridge_job(tmp_path, "bridge"))
    assert outcome.status == "finished", outcome.reason
    for one in outcome.rounds:
        assert set(one.contributed) == set(HONEST_AT) == set(one.loss)
        assert "full weights" in one.missing[WHOLE_AT] and "send_update" in one.missing[WHOLE_AT]
        assert f"allows no Flower app '{APP}'" in one.missing[NOT_ALLOWED_AT]
    assert set(HONEST_AT) <= set(outcome.test)
    assert "no formal guarantee" in outcome.privacy
    for site in HONEST_AT:
        events = [event for _, event in AuditLog(hospitals.kit(site) / "state").read() if event.run_key == "bridge"]
        left = [event for event in events if event.task == "train" and event.outcome == "done"]
        assert [event.round for event in left] == [0, 1], "both updates passed the outbound filter"


def test_a_hospital_charges_its_ledger_for_an_apps_rounds(
    hospitals: SystemUnderTest, cohort_rows: dict[str, list[str]], tmp_path: Path
) -> None:
    for site in SITES[:3]:
        local = hospitals.kit(site) / "local"
        describe_cohort(hospitals.kit(site), "whole", of_others(local, cohort_rows[site], "whole"))
        grant(local, "whole", CohortBudget(unit="hospital", epsilon=100.0, delta=1e-3))
    section = {"privacy": PRIVACY, "cohort": "whole", "rounds.evaluate": False}
    whole = {"deploy_map": {"app": ["server", *SITES[:3]]}}
    outcome = hospitals.run(bridge_job(tmp_path, "protected_bridge", **section, **whole))
    assert outcome.status == "finished", outcome.reason
    assert outcome.guarantee and outcome.guarantee.unit == "hospital"
    for one in outcome.rounds:
        assert set(one.contributed) == set(HONEST_AT)
        assert "declined" in one.missing[WHOLE_AT] and "weights" not in one.missing[WHOLE_AT]
    for site in HONEST_AT:
        ledger = open_ledger(hospitals.kit(site) / "local", hospitals.kit(site) / "state", "whole")
        assert ledger.verify() == ()
        (run,) = ledger.status().runs
        assert (run.run_key, run.drawn, run.kept, run.sent) == ("protected_bridge", 2, 2, 2)
