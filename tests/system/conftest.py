"""One consortium of four hospitals for all system tests: real processes from real kits, mutual TLS, tiny cohorts."""

import json
import os
import socket
import time
import warnings
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil
import pytest

from fedvoxel.federation.outcome import OUTCOME_FILE, RunOutcome, load_outcome
from fedvoxel.flare.consortium_processes import RunningConsortium, running_consortium
from fedvoxel.flare.provisioning import create_consortium
from fedvoxel.flare.session import COMMAND_TIMEOUT_S, LOGIN_TIMEOUT_S
from fedvoxel.governance.consortium import Consortium
from fedvoxel.ops.job_session import JobSession
from fedvoxel.volumes.hippocampus import find_hippocampus, hippocampus_tables

from .tiny_cohorts import blob_rows, choose, describe_cohort

ROOT = Path(__file__).resolve().parents[2]
CONSORTIUM_FILE = ROOT / "provisioning" / "consortium.yml"
HIPPOCAMPUS_JOB = ROOT / "jobs" / "hippocampus_fedavg"
SCIENTIST = "scientist@consortium.example"
SITES = ("hospital-a", "hospital-b", "hospital-c", "hospital-d")


def wait_until(condition: Callable[[], Any], timeout_s: float, what: str) -> Any:
    """Returns the first true answer of `condition`; fails after `timeout_s` seconds."""
    deadline = time.monotonic() + timeout_s
    while time.monotonic() < deadline:
        if answer := condition():
            return answer
        time.sleep(0.2)
    pytest.fail(f"not within {timeout_s:.0f} s: {what}")


def free_port() -> int:
    """Returns a port of this suite's range that nobody listens on."""
    for port in range(29500, 30000):
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                continue
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port
    pytest.fail("no free port between 29500 and 29999")


def processes_of(folder: Path, naming: str = "") -> list[psutil.Process]:
    """Returns the living processes whose command names `folder` (and `naming`)."""
    found = []
    for process in psutil.process_iter():
        try:
            command = " ".join(process.cmdline())
            if str(folder) in command and naming in command and process.status() != psutil.STATUS_ZOMBIE:
                found.append(process)
        except psutil.NoSuchProcess:
            continue
    return found


def trainers_of(kit: Path) -> list[psutil.Process]:
    """Returns a site's trainer processes: they name no folder, but descend from the site's own process."""
    parents = processes_of(kit)
    found = []
    for parent in parents:
        try:
            found += [child for child in parent.children() if "fedvoxel.training.worker" in child.cmdline()]
        except psutil.NoSuchProcess:
            continue
    return found


@dataclass
class SystemUnderTest:
    """Is the running consortium together with the data scientist's session."""

    running: RunningConsortium
    session: Any
    downloads: Path
    jobs: list[str] = field(default_factory=list)

    def kit(self, name: str) -> Path:
        """Returns a participant's kit."""
        return self.running.consortium.kit(name)

    def submit(self, job: Path) -> str:
        """Submits a job folder and returns the job's id."""
        self.jobs.append(self.session.submit_job(str(job)))
        return self.jobs[-1]

    def meta(self, job_id: str) -> dict[str, Any]:
        """Returns what FLARE knows of a job."""
        return dict(self.session.get_job_meta(job_id))

    def ended(self, job_id: str) -> bool:
        """Says whether FLARE has ended the job, well or badly."""
        return str(self.meta(job_id)["status"]).startswith(("FINISHED", "FAILED"))

    def wait(self, job_id: str, timeout_s: float = 240.0) -> dict[str, Any]:
        """Waits until FLARE has ended the job and returns what it knows of it."""
        wait_until(lambda: self.ended(job_id), timeout_s, f"job {job_id} has ended")
        return self.meta(job_id)

    def outcome(self, job_id: str) -> RunOutcome:
        """Downloads an ended job and returns its outcome."""
        return load_outcome(self.download(job_id) / OUTCOME_FILE)

    def download(self, job_id: str) -> Path:
        """Downloads an ended job and returns the folder of its result."""
        return Path(self.session.download_job_result(job_id, str(self.downloads))) / "workspace"

    def run(self, job: Path, timeout_s: float = 240.0) -> RunOutcome:
        """Submits a job, waits for it, and returns its outcome."""
        job_id = self.submit(job)
        self.wait(job_id, timeout_s)
        return self.outcome(job_id)

    def state(self, name: str, run_key: str) -> Path:
        """Returns the folder that a site, or the `server`, keeps of a run."""
        participant = self.running.consortium.record.server if name == "server" else name
        return self.kit(participant) / "state" / "runs" / run_key

    def wait_until_training(self, job_id: str, round_index: int, sites: Iterable[str]) -> None:
        """Waits until all of `sites` are in the middle of a round's training."""

        def in_the_middle() -> bool:
            seen = JobSession(self.session).look(job_id)
            assert not seen.finished, f"job {job_id} ended before round {round_index}: {seen.status}"
            if seen.progress is None or (seen.progress.round, seen.progress.phase) != (round_index, "training"):
                return False
            return all(site in seen.steps and seen.steps[site].step < seen.steps[site].steps for site in sites)

        wait_until(in_the_middle, 120, f"round {round_index} is under way")

    def bring_up(self) -> None:
        """Starts the sites that a test before has stopped, and waits until the server has them back."""
        missing = [site for site in SITES if not self.running.alive().get(site)]
        since = time.time()
        for site in missing:
            self.running.start(site)
        wait_until(lambda: set(missing) <= self._connected_since(since), 60, f"{missing} are back")

    def settle(self) -> None:
        """Aborts what still runs and waits until only the server's and the sites' own processes are left."""
        for job_id in self.jobs:
            if not self.ended(job_id):
                self.session.abort_job(job_id)
        self.jobs.clear()
        workspace = self.running.consortium.workspace
        expected = {process.pid for process in self.running.processes.values()}
        wait_until(lambda: {p.pid for p in processes_of(workspace)} <= expected, 60, "all job processes have ended")

    def connected(self) -> set[str]:
        """Returns the sites that the server has."""
        return {client.name for client in self.session.get_system_info().client_info}

    def _connected_since(self, moment: float) -> set[str]:
        clients = self.session.get_system_info().client_info
        return {client.name for client in clients if client.last_connect_time > moment}


def job_variant(folder: Path, run_key: str, rounds: int, **changes: Any) -> Path:
    """Writes a small variant of the hippocampus job and returns its folder.

    Args:
        folder: Where the job's folder goes.
        run_key: Names the job and its run.
        rounds: Number of rounds.
        changes: `cohort`, `classes`; `rounds_section` and `training` are merged into the job's sections; `epochs`.
    """
    client = json.loads((HIPPOCAMPUS_JOB / "app/config/config_fed_client.json").read_text())
    server = json.loads((HIPPOCAMPUS_JOB / "app/config/config_fed_server.json").read_text())
    meta = json.loads((HIPPOCAMPUS_JOB / "meta.json").read_text())
    task = client["executors"][0]["executor"]["args"]
    task |= {"run_key": run_key} | {key: changes[key] for key in ("cohort", "classes") if key in changes}
    small = {"name": "UNet", "arguments": {"channels": [4, 8], "strides": [2], "num_res_units": 0}}
    task["training"] |= {"network": small, "epochs_per_round": changes.get("epochs", 1)} | changes.get("training", {})
    controller = server["workflows"][0]["args"]
    controller |= {"run_key": run_key, "plan_source": "fixed", "choices": "public"}
    controller["rounds"] |= {"num_rounds": rounds} | changes.get("rounds_section", {})
    config = folder / run_key / "app" / "config"
    config.mkdir(parents=True)
    (config / "config_fed_client.json").write_text(json.dumps(client))
    (config / "config_fed_server.json").write_text(json.dumps(server))
    (folder / run_key / "meta.json").write_text(json.dumps(meta | {"name": run_key}))
    return folder / run_key


@pytest.fixture(scope="session")
def cohort_rows(tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[str]]:
    """Eight cases a hospital, as lines of its table: hippocampi where they are at hand, else made-up blobs."""
    folder = tmp_path_factory.mktemp("cohorts")
    named = os.environ.get("FEDVOXEL_DATA")
    place = find_hippocampus(Path(named)) if named else None
    if place is None:
        return {site: blob_rows(folder, site, seed) for seed, site in enumerate(SITES)}
    tables = hippocampus_tables(place, folder)
    return {site: choose(table.read_text().splitlines()[1:]) for site, table in tables.items()}


@pytest.fixture(scope="session")
def provisioned(tmp_path_factory: pytest.TempPathFactory, cohort_rows: dict[str, list[str]]) -> Consortium:
    """The kits of the four hospitals of provisioning/consortium.yml, each with its tiny cohort."""
    made = create_consortium(CONSORTIUM_FILE, tmp_path_factory.mktemp("consortium"), free_port())
    for site in SITES:
        describe_cohort(made.kit(site), "hippocampus", cohort_rows[site])
    return made


@pytest.fixture(scope="session")
def _system(provisioned: Consortium, tmp_path_factory: pytest.TempPathFactory) -> Iterator[SystemUnderTest]:
    try:
        with running_consortium(provisioned.workspace) as running:
            session = log_in(provisioned)
            try:
                yield SystemUnderTest(running, session, tmp_path_factory.mktemp("downloads"))
            finally:
                session.close()
    finally:
        left = processes_of(provisioned.workspace)
        for process in left:
            process.kill()
        assert not left, "processes of the consortium were left running"


PASSPHRASE = "correct horse battery"


@pytest.fixture(scope="module")
def own_system(
    tmp_path_factory: pytest.TempPathFactory, cohort_rows: dict[str, list[str]]
) -> Iterator[SystemUnderTest]:
    """The four hospitals once more, for a module whose changes of certificates are for good."""
    made = create_consortium(CONSORTIUM_FILE, tmp_path_factory.mktemp("certificates"), free_port(), PASSPHRASE)
    for site in SITES:
        describe_cohort(made.kit(site), "hippocampus", cohort_rows[site])
    with running_consortium(made.workspace) as running:
        system = SystemUnderTest(running, log_in(made), tmp_path_factory.mktemp("downloads"))
        try:
            yield system
        finally:
            with suppress(Exception):  # the server may have ended the session
                system.session.close()


@pytest.fixture(scope="module")
def made(own_system: SystemUnderTest) -> Consortium:
    """Whose kit is where in the consortium of `own_system`."""
    return own_system.running.consortium


def try_log_in(made: Consortium, person: str = SCIENTIST) -> Any:
    """Opens a person's session, or returns None where the server does not let them in."""
    with suppress(Exception):
        return log_in(made, person, patience_s=5.0)
    return None


def log_in(provisioned: Consortium, person: str = SCIENTIST, patience_s: float = COMMAND_TIMEOUT_S) -> Any:
    """Opens a person's session with the server, which may take so long; who opens it closes it."""
    from nvflare.fuel.flare_api.flare_api import new_secure_session

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # FLARE's connection is given up at a warning that is an error
        kit = str(provisioned.kit(person))
        return new_secure_session(person, kit, timeout=min(patience_s, LOGIN_TIMEOUT_S), command_timeout=patience_s)


@pytest.fixture
def system(_system: SystemUnderTest) -> Iterator[SystemUnderTest]:
    """The running consortium with all four hospitals up; no job and no trainer outlives the test."""
    _system.bring_up()
    try:
        yield _system
    finally:
        _system.settle()
