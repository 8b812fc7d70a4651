"""A server that dies in rounds of secure aggregation: they are begun again, and the model is the same, bit for bit."""

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from fedvoxel.config import load_json_config
from fedvoxel.updates.secure.attempts import SummedRound

from .conftest import SITES, trainers_of, wait_until
from .test_resume import JOB_PROCESS, SERVER_PROCESS, Supervised, supervised
from .test_secure_job import secure_job

pytestmark = pytest.mark.slow

THREE, ROUNDS = SITES[:3], 4


@pytest.fixture(scope="module")
def consortium(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Supervised]:
    with supervised(tmp_path_factory.mktemp("secure"), THREE) as running:
        yield running


def noted(consortium: Supervised, site: str, run_key: str) -> SummedRound:
    """Returns a site's note of the last round that it has sent a masked message in."""
    path = consortium.consortium.kit(site) / "state" / "runs" / run_key / "summed_rounds.json"
    return load_json_config(SummedRound, path, "the note") if path.is_file() else SummedRound()


def test_a_server_that_dies_in_two_secure_rounds_costs_neither(consortium: Supervised, tmp_path: Path) -> None:
    consortium.submit(secure_job(tmp_path, "secure_whole", ROUNDS, epochs=6))
    whole = consortium.outcome("secure_whole")
    assert (whole.status, len(whole.attempts)) == ("finished", 1), whole.reason

    consortium.submit(secure_job(tmp_path, "secure_killed", ROUNDS, epochs=6))
    deadline = time.monotonic() + 300
    while noted(consortium, THREE[0], "secure_killed").last < 1:  # its masked update of round 1 is about to leave
        assert time.monotonic() < deadline, "no round 1"
        time.sleep(0.01)
    consortium.kill(JOB_PROCESS)
    consortium.wait_for_round("secure_killed", 2)
    assert [one.stay for one in noted(consortium, THREE[0], "secure_killed").attempts] == [3, 3]
    kit = consortium.consortium.kit(THREE[0])
    wait_until(lambda: trainers_of(kit), 120, "a trainer is there in round 2")
    consortium.kill(SERVER_PROCESS)
    consortium.kill(JOB_PROCESS)

    outcome = consortium.outcome("secure_killed")
    assert (outcome.status, outcome.rounds_committed) == ("finished", ROUNDS), outcome.reason
    assert outcome.repeated_rounds == (1, 2) and len(outcome.attempts) == 3
    assert all(set(record.contributed) == set(THREE) for record in outcome.rounds)
    assert outcome.model and whole.model and outcome.model.sha256 == whole.model.sha256
    last = noted(consortium, THREE[0], "secure_killed")
    assert (last.last, last.attempt) == (ROUNDS - 1, 1), "nothing was begun again in the last round"
