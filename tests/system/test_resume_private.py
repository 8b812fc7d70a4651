"""A server of private jobs dies in a round and after a commit: what left is charged once, what was lost again."""

import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from fedvoxel.privacy.ledger import Ledger, open_ledger
from fedvoxel.privacy.policy import CohortBudget, grant
from fedvoxel.privacy.reconcile import RunMatch, reconcile, site_releases
from fedvoxel.privacy.server_record import verify_server
from fedvoxel.privacy.spending import planned_epsilon

from .conftest import processes_of, trainers_of, wait_until
from .test_private_job import HOSPITAL_PRIVACY, PRIVACY, plan, private_job
from .test_resume import JOB_PROCESS, TWO, Supervised, supervised
from .tiny_cohorts import blob_rows, describe_cohort, of_others

pytestmark = pytest.mark.slow

ROUNDS = 3
QUICK, SLOW = TWO
SECTIONS: dict[str, dict[str, Any]] = {"patient": PRIVACY, "hospital": HOSPITAL_PRIVACY | {"sites": 2}}
COHORTS = SECTIONS | {"spare": PRIVACY | {"spare_draws": 1}}
"""Whose patients a job of each section is about: a cohort, and a ledger, for each."""


@pytest.fixture(scope="module")
def consortium(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Supervised]:
    folder = tmp_path_factory.mktemp("private")
    with supervised(folder) as running:
        for seed, site in enumerate(TWO):
            kit, rows = running.consortium.kit(site), blob_rows(folder, site, seed)
            for cohort, section in COHORTS.items():
                describe_cohort(kit, cohort, of_others(kit / "local", rows, cohort))
                grant(kit / "local", cohort, CohortBudget(unit=section["unit"], epsilon=100.0, delta=1e-3))
        yield running


def job(folder: Path, cohort: str) -> Path:
    """Writes a job of three rounds for which one site is enough, and which waits for the other one."""
    made = private_job(folder, f"run_{cohort}", cohort, COHORTS[cohort])
    path = made / "app/config/config_fed_server.json"
    document = json.loads(path.read_text())
    document["workflows"][0]["args"]["rounds"] |= {"num_rounds": ROUNDS, "min_sites": 1, "grace_s": 60}
    path.write_text(json.dumps(document))
    return made


def ledger(consortium: Supervised, site: str, cohort: str) -> Ledger:
    kit = consortium.consortium.kit(site)
    return open_ledger(kit / "local", kit / "state", cohort)


def counted(consortium: Supervised, site: str, cohort: str) -> tuple[int, int, int]:
    """Returns how many draws a site's ledger has of the run: charged, kept and sent."""
    runs = ledger(consortium, site, cohort).status().runs
    return (runs[0].drawn, runs[0].kept, runs[0].sent) if runs else (0, 0, 0)


def suspend(trainers: list[psutil.Process]) -> bool:
    for trainer in trainers:
        trainer.suspend()
    return bool(trainers)


def kill_at_the_last_commit(consortium: Supervised, run_key: str) -> None:
    """Kills the server's job process as soon as the journal has the last round, before anything is made of it."""
    journal = consortium.folder(run_key) / "journal" / "journal.json"
    said, until = f'"committed": {ROUNDS},', time.monotonic() + 300
    found: list[psutil.Process] = []
    while said not in (entry := journal.read_text()):
        assert time.monotonic() < until, "no last round"
        if not found and f'"committed": {ROUNDS - 1},' in entry:
            found = processes_of(consortium.kit, JOB_PROCESS)
        time.sleep(0.001)
    for process in found:
        process.kill()


def kill_while_the_slow_site_trains(consortium: Supervised, cohort: str) -> None:
    """Kills the server's job process in round 1, whose draw is charged at the slow site and not kept."""
    wait_until(lambda: counted(consortium, SLOW, cohort)[1] == 1, 300, "the slow site's first round is kept")
    assert suspend(trainers_of(consortium.consortium.kit(SLOW)))
    wait_until(lambda: counted(consortium, QUICK, cohort) == (2, 2, 2), 120, "the quick site has sent round 1")
    wait_until(lambda: counted(consortium, SLOW, cohort) == (2, 1, 1), 120, "the slow site is in round 1")
    consortium.kill(JOB_PROCESS)


@pytest.mark.parametrize("unit", SECTIONS)
def test_both_ledgers_agree_whenever_the_server_dies(consortium: Supervised, unit: str, tmp_path: Path) -> None:
    run_key = f"run_{unit}"
    consortium.submit(job(tmp_path, unit))
    kill_while_the_slow_site_trains(consortium, unit)
    kill_at_the_last_commit(consortium, run_key)

    outcome = consortium.outcome(run_key)
    assert (outcome.status, outcome.rounds_committed) == ("finished", ROUNDS), outcome.reason
    assert [one.first_round for one in outcome.attempts] == [0, 1, ROUNDS] and outcome.repeated_rounds == (1,)
    assert [set(one.contributed) for one in outcome.rounds] == [set(TWO), set(TWO), {QUICK}]
    assert "declined" in outcome.rounds[2].missing[SLOW], "the draw that was lost is charged as one of the planned ones"

    assert counted(consortium, QUICK, unit) == (3, 3, 3)
    assert counted(consortium, SLOW, unit) == (3, 2, 2)
    server = verify_server(consortium.kit / "state")
    assert server.problems == ()
    for site, sent in ((QUICK, 3), (SLOW, 2)):
        releases = site_releases(consortium.consortium.kit(site) / "state")
        found = reconcile(server, site, releases)
        assert found.problems == () and RunMatch(run_key, sent, sent) in found.runs
        assert ledger(consortium, site, unit).verify() == ()
        spent = ledger(consortium, site, unit).status().spent_epsilon
        assert spent == pytest.approx(planned_epsilon(plan(ROUNDS, SECTIONS[unit])))
        times = [one.times_sent for one in releases.values() if one.reserved.run_key == run_key]
        assert times == ([1, 2, 1] if site == QUICK else [1, 0, 1]), "the same bytes twice, and no others"
    assert outcome.guarantee and outcome.guarantee.epsilon == pytest.approx(spent)
    released = server.runs[run_key].released
    assert [one.round for one in released] == (list(range(ROUNDS)) if unit == "hospital" else [])
    if released:
        assert outcome.model and released[-1].sha256 == outcome.model.sha256


def test_with_a_spare_draw_the_site_that_lost_one_answers_every_round(consortium: Supervised, tmp_path: Path) -> None:
    run_key, section = "run_spare", COHORTS["spare"]
    consortium.submit(job(tmp_path, "spare"))
    kill_while_the_slow_site_trains(consortium, "spare")

    outcome = consortium.outcome(run_key)
    assert (outcome.status, outcome.rounds_committed) == ("finished", ROUNDS), outcome.reason
    assert [one.first_round for one in outcome.attempts] == [0, 1] and outcome.repeated_rounds == (1,)
    assert [set(one.contributed) for one in outcome.rounds] == [set(TWO)] * ROUNDS
    assert counted(consortium, QUICK, "spare") == (3, 3, 3)
    assert counted(consortium, SLOW, "spare") == (4, 3, 3)
    server, charged = verify_server(consortium.kit / "state"), planned_epsilon(plan(ROUNDS + 1, section))
    assert server.problems == () and outcome.guarantee and outcome.guarantee.epsilon == pytest.approx(charged)
    for site in TWO:
        found = reconcile(server, site, site_releases(consortium.consortium.kit(site) / "state"))
        assert found.problems == () and RunMatch(run_key, 3, 3) in found.runs
        assert ledger(consortium, site, "spare").status().spent_epsilon == pytest.approx(charged), "lost or not"
