"""One run, and all of it upgraded: the server between two rounds, then the hospitals one after another; it goes on.

Release 0.1.0 kept no journal, so that nothing goes on from it: here this release is upgraded to the next, which is its
copy under another number.
"""

import json
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from fedvoxel.federation.outcome import OUTCOME_FILE, RunOutcome, load_outcome
from fedvoxel.flare.consortium_processes import running_consortium
from fedvoxel.flare.provisioning import create_consortium
from fedvoxel.flare.round_journal import RoundJournal
from fedvoxel.flare.session import flare_session, submit
from tests.consortium_kits import free_port

from .conftest import CONSORTIUM_FILE, SCIENTIST, job_variant, processes_of, wait_until
from .test_upgrade import NEW, TAKING_PART, Consortium, numbered
from .tiny_cohorts import blob_rows, describe_cohort

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1800)]

RUN_KEY, ROUNDS = "upgraded_run", 12
NEXT = "0.3.0"


@pytest.fixture
def consortium(tmp_path: Path) -> Iterator[Consortium]:
    """Three hospitals and a server, all of this release."""
    made = create_consortium(CONSORTIUM_FILE, tmp_path / "consortium", free_port())
    trees = {NEXT: numbered(tmp_path / "releases", NEXT).parent}
    for seed, site in enumerate(TAKING_PART):
        describe_cohort(made.kit(site), "hippocampus", blob_rows(tmp_path, site, seed))
    with running_consortium(made.workspace, TAKING_PART, 200) as running:
        yield Consortium(running, trees, tmp_path / "downloads")
    assert not processes_of(made.workspace)


class Run:
    """Is the run as its server's state has it."""

    def __init__(self, consortium: Consortium) -> None:
        self._consortium = consortium.running.consortium
        self._folder = self._consortium.server_kit / "state" / "runs" / RUN_KEY

    def committed(self) -> int:
        entry = RoundJournal(self._folder / "journal").read()
        return entry.committed if entry else 0

    def wait_for(self, committed: int) -> None:
        wait_until(lambda: self.committed() >= committed, 600, f"{committed} rounds are committed")

    def wait_until_trained_by(self, site: str, since: int) -> None:
        """Waits until a site has trained a round from `since` on."""
        kit = self._consortium.kit(site)
        lines = [f"event=trained round={index}" for index in range(since, ROUNDS)]

        def trained() -> bool:
            logs = [log.read_text(errors="replace") for log in kit.glob("*-*/log.txt")]
            return any(line in log for line in lines for log in logs)

        wait_until(trained, 300, f"{site} trains again")

    def outcome(self) -> RunOutcome:
        def ended() -> RunOutcome | None:
            outcome = load_outcome(self._folder / OUTCOME_FILE)
            return outcome if outcome.status != "unfinished" else None

        return wait_until(ended, 600, "the run has ended")


def job(folder: Path) -> Path:
    """Writes a job for which two hospitals are enough while a third one is being upgraded."""
    made = job_variant(folder, RUN_KEY, ROUNDS, epochs=4)
    path = made / "app/config/config_fed_server.json"
    document: Any = json.loads(path.read_text())
    document["workflows"][0]["args"]["rounds"] |= {"min_sites": 2, "grace_s": 60}
    path.write_text(json.dumps(document))
    return made


def test_a_run_goes_on_while_everybody_is_upgraded(consortium: Consortium, tmp_path: Path) -> None:
    run, made = Run(consortium), consortium.running.consortium
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # FLARE's connection is given up at a warning that is an error
        with flare_session(made.kit(SCIENTIST)) as session:
            submit(session, job(tmp_path))
    run.wait_for(1)
    assert NEXT != NEW
    consortium.upgrade(made.record.server, NEXT)
    run.wait_for(run.committed() + 1)
    assert {NEXT in process.environ()["PYTHONPATH"] for process in processes_of(made.server_kit)} == {True}
    for site in TAKING_PART:
        begun = run.committed() + 1
        consortium.upgrade(site, NEXT)
        run.wait_until_trained_by(site, begun)

    outcome = run.outcome()
    assert (outcome.status, outcome.rounds_committed) == ("finished", ROUNDS), outcome.reason
    assert len(outcome.attempts) == 2 and outcome.attempts[1].first_round >= 1
    assert [one.round for one in outcome.rounds] == list(range(ROUNDS))
    assert all(len(one.contributed) >= 2 for one in outcome.rounds)
    assert set(outcome.rounds[0].contributed) == set(outcome.rounds[-1].contributed) == set(TAKING_PART)
    assert outcome.site_versions == dict.fromkeys(TAKING_PART, NEXT)
