"""Each hospital upgrades on its own day: the server first, then the sites, over real processes of two releases.

The release before is this package under its number, without what it did not know: it tells nothing of versions and asks
for nothing. Each kit's own `local/environment` says which release it runs, as a virtual environment of its own would.
"""

import json
import shutil
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from fedvoxel import __version__
from fedvoxel.federation.outcome import RunOutcome
from fedvoxel.flare.consortium_processes import RunningConsortium, running_consortium
from fedvoxel.flare.provisioning import create_consortium
from fedvoxel.records.audit import AuditLog
from tests.consortium_kits import free_port

from .conftest import CONSORTIUM_FILE, ROOT, SystemUnderTest, log_in, processes_of, wait_until
from .test_start_from import job_from
from .tiny_cohorts import blob_rows, describe_cohort

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1800)]

TAKING_PART = ("hospital-a", "hospital-b", "hospital-c")
OLD, NEW, NEWEST = "0.1.0", __version__, "0.9.0"
TWO_AHEAD = ('"rounds": Spoken(oldest=1, newest=1)', '"rounds": Spoken(oldest=3, newest=4)')


def numbered(folder: Path, number: str) -> Path:
    """Writes a source tree of this release under another number and returns its package."""
    package = folder / number / "fedvoxel"
    shutil.copytree(ROOT / "app_custom" / "fedvoxel", package, ignore=shutil.ignore_patterns("__pycache__"))
    said = package / "__init__.py"
    said.write_text(said.read_text().replace(f'"{NEW}"', f'"{number}"'))
    assert number in said.read_text()
    return package


def release(folder: Path, number: str) -> Path:
    """Writes a source tree of another release and returns it."""
    package = numbered(folder, number)
    rules, telling = package / "federation" / "versions.py", package / "flare" / "versions.py"
    if number == OLD:
        rules.write_text(rules.read_text() + "\n\ndef why_declined(*_):\n    return None\n")
        telling.write_text(telling.read_text() + "\n\ndef tell_versions(fl_ctx):\n    pass\n")
    else:
        rules.write_text(rules.read_text().replace(*TWO_AHEAD))
    return package.parent


class Consortium:
    """Is a running consortium in which anybody can be put to another release."""

    def __init__(self, running: RunningConsortium, trees: dict[str, Path], downloads: Path) -> None:
        self.running, self._trees, self._downloads = running, trees, downloads

    def upgrade(self, name: str, number: str) -> None:
        """Stops a participant, gives it another release, and starts it again."""
        kit = self.running.consortium.kit(name)
        self.running.stop(name)
        put(kit, self._trees.get(number))
        self.running.start(name)

    def run(self, job: Path) -> RunOutcome:
        """Runs a job on everybody who takes part, once they are all there."""
        with closing(wait_until(self._logged_in, 120, "the server lets the data scientist in")) as session:
            since = time.time()
            wait_until(lambda: self._connected(session, since), 120, "all sites are connected")
            system = SystemUnderTest(self.running, session, self._downloads)
            outcome = system.run(job, 600)
            system.settle()
            return outcome

    def _logged_in(self) -> Any:
        try:
            return log_in(self.running.consortium)
        except Exception:
            return None  # FLARE has many words for a server that is not up yet.

    @staticmethod
    def _connected(session: Any, since: float) -> bool:
        clients = session.get_system_info().client_info
        return {one.name for one in clients if one.last_connect_time > since} >= set(TAKING_PART)


def put(kit: Path, tree: Path | None) -> None:
    """Has a kit's process import FedVoxel from a source tree; from the tests' own when None."""
    path = kit / "local" / "environment"
    lines = [line for line in path.read_text().splitlines() if not line.startswith("PYTHONPATH=")]
    path.write_text("\n".join([*lines, *([f"PYTHONPATH={tree}"] if tree else [])]) + "\n")


@pytest.fixture
def consortium(tmp_path: Path) -> Iterator[Consortium]:
    """Three hospitals: everybody runs the release before, and hospital-c one that is two ahead."""
    made = create_consortium(CONSORTIUM_FILE, tmp_path / "consortium", free_port())
    trees = {number: release(tmp_path / "releases", number) for number in (OLD, NEWEST)}
    for seed, site in enumerate(TAKING_PART):
        describe_cohort(made.kit(site), "hippocampus", blob_rows(tmp_path, site, seed))
        put(made.kit(site), trees[NEWEST if site == "hospital-c" else OLD])
    put(made.server_kit, trees[OLD])
    with running_consortium(made.workspace, TAKING_PART, 200) as running:
        yield Consortium(running, trees, tmp_path / "downloads")
    assert not processes_of(made.workspace)


def job(folder: Path, run_key: str, earlier: str | None) -> Path:
    """Writes a round's job that goes on from an earlier one, and waits for all that may still come."""
    made = job_from(folder, run_key, earlier)
    path = made / "app/config/config_fed_server.json"
    document = json.loads(path.read_text())
    document["workflows"][0]["args"]["rounds"]["grace_s"] = 60
    path.write_text(json.dumps(document))
    return made


def test_the_server_is_upgraded_and_then_the_sites(consortium: Consortium, tmp_path: Path) -> None:
    server = consortium.running.consortium.record.server
    before = consortium.run(job(tmp_path, "all_old", None))
    # A server of the release before knows no versions; the far newer site declines it, by name.
    assert (before.status, before.rounds_committed) == ("finished", 1), before.reason
    assert set(before.rounds[0].contributed) == {"hospital-a", "hospital-b"}
    assert f"the server runs FedVoxel {OLD}" in before.rounds[0].missing["hospital-c"]

    consortium.upgrade(server, NEW)
    mixed = consortium.run(job(tmp_path, "server_new", "all_old"))
    assert (mixed.status, mixed.rounds_committed) == ("finished", 1), mixed.reason
    assert set(mixed.rounds[0].contributed) == {"hospital-a", "hospital-b"}
    assert mixed.rounds[0].missing["hospital-c"].startswith(f"declined: hospital-c runs FedVoxel {NEWEST}, which")
    assert mixed.site_versions == {"hospital-a": OLD, "hospital-b": OLD, "hospital-c": NEWEST}
    assert mixed.start_from and before.model and mixed.start_from.sha256 == before.model.sha256

    for site in TAKING_PART:
        consortium.upgrade(site, NEW)
    after = consortium.run(job(tmp_path, "all_new", "server_new"))
    assert (after.status, after.rounds_committed) == ("finished", 1), after.reason
    assert set(after.rounds[0].contributed) == set(TAKING_PART)
    assert after.site_versions == dict.fromkeys(TAKING_PART, NEW)

    log = AuditLog(consortium.running.consortium.kit(server) / "state")
    told = {(event.run_key, event.site) for _, event in log.read() if event.outcome == "missing"}
    assert told == {("all_old", "hospital-c"), ("server_new", "hospital-c")}
