"""The status page beside a real server: a run while it goes on, which sites are online, and then the outcome."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from fedvoxel.flare.consortium_processes import running_consortium
from fedvoxel.flare.provisioning import create_consortium
from fedvoxel.governance.kit import open_kit
from tests.consortium_kits import FILE
from tests.ops.status.status_server import client_with, pair_of, served

from .conftest import SystemUnderTest, free_port, job_variant, log_in, wait_until
from .tiny_cohorts import blob_rows, describe_cohort

pytestmark = pytest.mark.slow

HOSPITALS = ("hospital-a", "hospital-b")
ADMIN = "admin@consortium.example"


@pytest.fixture
def system(tmp_path: Path) -> Iterator[SystemUnderTest]:
    """Two hospitals with a tiny cohort each."""
    (tmp_path / "consortium.yml").write_text(FILE.format(port=free_port()))
    made = create_consortium(tmp_path / "consortium.yml", tmp_path / "workspace")
    for seed, site in enumerate(HOSPITALS):
        describe_cohort(made.kit(site), "hippocampus", blob_rows(tmp_path, site, seed))
    with running_consortium(made.workspace) as running:
        session = log_in(made)
        try:
            yield SystemUnderTest(running, session, tmp_path / "downloads")
        finally:
            session.close()


def test_a_run_is_shown_while_it_goes_on_and_when_it_is_over(system: SystemUnderTest, tmp_path: Path) -> None:
    server = open_kit(system.kit(system.running.consortium.record.server))
    root = server.root_certificate
    with (
        served(server) as url,
        client_with(pair_of(system.kit(ADMIN) / "startup"), root, url) as operator,
        client_with(pair_of(system.kit("hospital-a") / "startup"), root, url) as hospital,
    ):

        def seen(client: Any = operator) -> dict[str, Any]:
            return dict(client.get("/status.json").json())

        wait_until(lambda: {line["site"] for line in seen()["sites"] if line["online"]} == set(HOSPITALS), 60, "online")
        assert {line["organisation"] for line in seen()["sites"]} == {"hospital_a", "hospital_b"}
        job = job_variant(tmp_path, "shown", 3, rounds_section={"min_sites": 2}, epochs=3)
        job_id = system.submit(job)

        def training() -> Any:
            runs = seen()["runs"]
            return (
                runs and runs[0]["goes_on"] and any(one["state"] == "training" for one in runs[0]["sites"]) and runs[0]
            )

        run = wait_until(training, 120, "a site is shown training")
        assert (run["run_key"], run["rounds_planned"], run["now"]["phase"]) == ("shown", 3, "training")
        mine = seen(hospital)
        assert [line["site"] for line in mine["sites"]] == ["hospital-a"]
        assert "hospital-b" not in hospital.get("/").text + hospital.get("/status.json").text
        system.wait(job_id)
        (over,) = wait_until(lambda: seen()["past_runs"], 30, "the run is over")
    outcome = system.outcome(job_id)
    assert seen_of(over) == ("finished", 3, outcome.best_round)
    assert {line["site"]: line["rounds_contributed"] for line in over["sites"]} == dict.fromkeys(HOSPITALS, 3)
    assert over["bytes_up"] > 0 and over["privacy"]["said"] == outcome.privacy


def seen_of(run: dict[str, Any]) -> tuple[str, int, int]:
    return run["status"], run["rounds_committed"], run["best_round"]
