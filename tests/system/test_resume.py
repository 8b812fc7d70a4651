"""A server that dies in the middle of a round: the run goes on by itself, and ends with the same model, bit for bit."""

import subprocess
import sys
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

import pytest
from nvflare.fuel.flare_api.flare_api import Session

from fedvoxel.federation.outcome import OUTCOME_FILE, RunOutcome, load_outcome
from fedvoxel.flare.consortium_processes import CONSOLE, RunningConsortium
from fedvoxel.flare.provisioning import create_consortium
from fedvoxel.flare.round_journal import RoundJournal
from fedvoxel.flare.session import flare_session, job_meta, submit
from fedvoxel.ops.job_session import JobSession

from .conftest import CONSORTIUM_FILE, SCIENTIST, SITES, free_port, job_variant, processes_of, trainers_of, wait_until
from .tiny_cohorts import blob_rows, describe_cohort

pytestmark = pytest.mark.slow

ROUNDS, EPOCHS = 4, 6
CODEC = {"name": "int8"}
KINDS = {
    "moments": ({}, {"optimizer": {"name": "AdamW", "learning_rate": 0.002, "keep_state": True}}),
    "controls": (
        {"correction": {"name": "scaffold"}, "compression": {"up": CODEC, "down": CODEC}},
        {"optimizer": {"name": "SGD", "learning_rate": 0.01, "keep_state": False}},
    ),
}
"""Jobs by what their sites carry from round to round: moments; control variates, and what codecs have left."""

TWO = SITES[:2]
JOB_PROCESS = "nvflare.private.fed.app.server.runner_process"
SERVER_PROCESS = "nvflare.private.fed.app.server.server_train"


class Supervised:
    """Is some hospitals and a server that `fedvoxel server run` keeps alive."""

    def __init__(self, running: RunningConsortium) -> None:
        self.running, self.consortium = running, running.consortium
        self.kit = self.consortium.server_kit

    def submit(self, job: Path) -> str:
        """Submits a job and returns its id."""
        with self._session() as session:
            return submit(session, job)

    def meta(self, job_id: str) -> dict[str, object]:
        """Returns what FLARE says of a job."""
        with self._session() as session:
            return dict(job_meta(session, job_id))

    def state_of(self, job_id: str, site: str) -> str | None:
        """Returns what the server says that a site does."""
        with self._session() as session:
            progress = JobSession(session).look(job_id).progress
        return progress.sites[site].state if progress and site in progress.sites else None

    @contextmanager
    def _session(self) -> Iterator[Session]:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # FLARE's connection is given up at a warning that is an error
            with flare_session(self.consortium.kit(SCIENTIST)) as session:
                yield session

    def folder(self, run_key: str) -> Path:
        """Returns what the server keeps of a run."""
        return self.kit / "state" / "runs" / run_key

    def wait_for_round(self, run_key: str, index: int) -> None:
        """Waits until a round has begun, for which all before it are committed."""

        def begun() -> bool:
            entry = RoundJournal(self.folder(run_key) / "journal").read()
            return entry is not None and entry.values is not None and entry.committed >= index

        wait_until(begun, 300, f"round {index} of {run_key}")

    def outcome(self, run_key: str) -> RunOutcome:
        """Waits until a run has ended and returns its outcome."""

        def ended() -> RunOutcome | None:
            path = self.folder(run_key) / OUTCOME_FILE
            outcome = load_outcome(path) if path.is_file() else None
            return outcome if outcome and outcome.status != "unfinished" else None

        return wait_until(ended, 400, f"{run_key} has ended")

    def kill(self, naming: str) -> None:
        """Ends a process of the server's as a power cut would."""
        for process in processes_of(self.kit, naming):
            process.kill()


@contextmanager
def supervised(folder: Path, sites: Sequence[str] = TWO) -> Iterator[Supervised]:
    """Starts the server by its command, and some hospitals."""
    made = create_consortium(CONSORTIUM_FILE, folder / "consortium", free_port())
    for seed, site in enumerate(sites):
        describe_cohort(made.kit(site), "hippocampus", blob_rows(folder, site, seed))
    running, command = RunningConsortium(made, {}), [sys.executable, "-m", "fedvoxel.cli.main", "server", "run"]
    with (made.server_kit / CONSOLE).open("w") as console:
        server = subprocess.Popen([*command, str(made.server_kit)], stdout=console, stderr=console)
    try:
        for site in sites:
            running.start(site)
        running.wait_until_registered(sites, 120)
        yield Supervised(running)
    finally:
        running.stop_all()
        server.terminate()
        server.wait(60)
        left = processes_of(made.workspace)
        for process in left:
            process.kill()
        assert not left, "processes of the consortium were left running"


@pytest.fixture(scope="module")
def consortium(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Supervised]:
    with supervised(tmp_path_factory.mktemp("resume")) as running:
        yield running


Wholes = dict[str, RunOutcome]


@pytest.fixture(scope="module")
def whole(consortium: Supervised, tmp_path_factory: pytest.TempPathFactory) -> Wholes:
    """The same runs without a fault."""
    outcomes = {}
    for kind in KINDS:
        consortium.submit(variant(tmp_path_factory.mktemp(kind), f"whole_{kind}", kind))
        outcomes[kind] = consortium.outcome(f"whole_{kind}")
        assert (outcomes[kind].status, len(outcomes[kind].attempts)) == ("finished", 1), outcomes[kind].reason
    return outcomes


def variant(folder: Path, run_key: str, kind: str) -> Path:
    """Writes a job whose sites carry something from round to round."""
    rounds, training = KINDS[kind]
    return job_variant(folder, run_key, ROUNDS, epochs=EPOCHS, training=training, rounds_section=rounds)


def check_same(outcome: RunOutcome, whole: RunOutcome, repeated: int) -> None:
    """Fails if a run that was interrupted in a round did not end as one that was not."""
    assert (outcome.status, outcome.rounds_committed) == ("finished", ROUNDS), outcome.reason
    assert outcome.repeated_rounds == (repeated,) and [one.first_round for one in outcome.attempts] == [0, repeated]
    assert [record.round for record in outcome.rounds] == list(range(ROUNDS))
    assert [record.contributed for record in outcome.rounds] == [record.contributed for record in whole.rounds]
    assert [record.validation for record in outcome.rounds] == [record.validation for record in whole.rounds]
    assert outcome.model and whole.model and outcome.model.sha256 == whole.model.sha256
    assert outcome.test == whole.test


def test_a_killed_job_process_costs_the_round_in_flight(consortium: Supervised, whole: Wholes, tmp_path: Path) -> None:
    first = consortium.submit(variant(tmp_path, "killed_job", "moments"))
    consortium.wait_for_round("killed_job", 1)
    kept = consortium.folder("killed_job") / OUTCOME_FILE
    said = "the run has not ended: at least 1 of 4 rounds are committed"
    # The journal commits a round before the outcome says so.
    wait_until(lambda: load_outcome(kept).reason == said, 60, "the outcome has the round")
    consortium.kill(JOB_PROCESS)
    unfinished = load_outcome(kept)
    assert (unfinished.status, unfinished.reason) == ("unfinished", said)
    outcome = consortium.outcome("killed_job")
    check_same(outcome, whole["moments"], 1)
    assert outcome.attempts[0].job_id == first != outcome.job_id == outcome.attempts[1].job_id
    assert consortium.meta(first)["resumed_as"] == outcome.job_id


def test_a_killed_server_is_started_again_and_goes_on(consortium: Supervised, whole: Wholes, tmp_path: Path) -> None:
    first = consortium.submit(variant(tmp_path, "killed_server", "controls"))
    consortium.wait_for_round("killed_server", 2)
    died = datetime.now(UTC)
    consortium.kill(SERVER_PROCESS)
    consortium.kill(JOB_PROCESS)
    outcome = consortium.outcome("killed_server")
    check_same(outcome, whole["controls"], 2)
    again = outcome.attempts[1].started
    sys.stdout.write(f"next round {(again - died).total_seconds():.1f} s after the server died\n")
    assert consortium.meta(first)["status"] == "FINISHED:ABNORMAL"


def test_a_site_that_had_answered_does_not_train_again(consortium: Supervised, whole: Wholes, tmp_path: Path) -> None:
    quick, slow = (consortium.consortium.kit(site) for site in TWO)
    first = consortium.submit(variant(tmp_path, "answered", "moments"))
    consortium.wait_for_round("answered", 1)
    trainers = wait_until(lambda: trainers_of(slow), 60, "the slow site trains")
    for trainer in trainers:
        trainer.suspend()
    wait_until(lambda: consortium.state_of(first, TWO[0]) == "replied", 120, "the quick site has answered")
    assert "event=trained round=1" in told(quick, first) and "event=trained round=1" not in told(slow, first)
    consortium.kill(JOB_PROCESS)
    outcome = consortium.outcome("answered")
    check_same(outcome, whole["moments"], 1)
    sent_again, trained = "event=answer_sent_again round=1", "event=trained round=1"
    assert sent_again in told(quick, outcome.job_id) and trained not in told(quick, outcome.job_id)
    assert trained in told(slow, outcome.job_id) and sent_again not in told(slow, outcome.job_id)


def told(kit: Path, job_id: str) -> str:
    """Returns what a site's job process has logged."""
    return (kit / job_id / "log.txt").read_text(errors="replace")
