"""Holds a site's ledgers against the server's: everything that the server received must be sent in the site's.

A site's chain of hashes shows that nobody changed a line, but not that a whole folder was put back from yesterday's
backup. The server has noted every release that it accepted, under the site's own id and with the hash of its bytes; a
ledger that lacks one of them is older than what has left, and its budget would be spent a second time.

What a site has sent and the server has not received is no problem: replies are late, refused, or lost on the way.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from fedvoxel.privacy.ledger import LEDGER_FILE
from fedvoxel.privacy.ledger_run import Release
from fedvoxel.privacy.server_ledger import Received
from fedvoxel.privacy.server_record import ServerRecord, ServerRun
from fedvoxel.privacy.spending import spending_of
from fedvoxel.records.chain import Chain


@dataclass(frozen=True)
class RunMatch:
    """Is one run, as both sides have it.

    Attributes:
        run_key: The run.
        received: Releases of this site that the server has received.
        sent: Releases that the site's ledgers have as sent.
    """

    run_key: str
    received: int
    sent: int


@dataclass(frozen=True)
class Reconciliation:
    """Is what holding one site's ledgers against the server's has shown.

    Attributes:
        site: The site's name.
        runs: Every run that either side knows of this site.
        problems: What does not fit, a line each; none where everything adds up.
    """

    site: str
    runs: tuple[RunMatch, ...]
    problems: tuple[str, ...]


def site_releases(state: Path) -> dict[str, Release]:
    """Returns every draw of all of a site's ledgers, by release id.

    Args:
        state: The `state/` folder of the site's kit.

    Raises:
        LedgerError: A ledger cannot be read or trusted.
    """
    found: dict[str, Release] = {}
    for path in sorted((state / "privacy").glob(f"*/{LEDGER_FILE}")):
        found |= spending_of(Chain(path).read()).releases
    return found


def reconcile(server: ServerRecord, site: str, releases: Mapping[str, Release]) -> Reconciliation:
    """Holds one site's releases against what the server has received of it.

    Args:
        server: See `verify_server`.
        site: The site's name in the consortium.
        releases: See `site_releases`.
    """
    sent = {key: release for key, release in releases.items() if release.times_sent}
    keys = {release.reserved.run_key for release in sent.values()} | set(server.runs)
    runs, problems = [], []
    for run_key in sorted(keys):
        run = server.runs.get(run_key, ServerRun())
        received = {one.release_id: one for one in run.of(site)}
        count = sum(release.reserved.run_key == run_key for release in sent.values())
        if received or count:
            runs.append(RunMatch(run_key, len(received), count))
        found = [_problem(run, one, releases.get(key)) for key, one in received.items()]
        problems += [problem for problem in found if problem]
        if not any(found) and len(received) > count:
            problems.append(f"run {run_key}: {len(received)} releases were received and {count} sent")
    return Reconciliation(site, tuple(runs), tuple(problems))


def _problem(run: ServerRun, received: Received, release: Release | None) -> str | None:
    """Returns why a received update does not fit the site's ledger, or None."""
    what = f"run {received.run_key}, round {received.round}, release {received.release_id}:"
    if release is None:
        return f"{what} the server received it and this ledger does not know it; it is an older copy, or another's"
    if not release.times_sent or release.kept is None:
        return f"{what} the server received it and it is not sent here; the ledger is an older copy"
    place = release.reserved.run_key, release.reserved.round
    if place != (received.run_key, received.round):
        return f"{what} here it belongs to run {place[0]}, round {place[1]}"
    if release.kept.sha256 != received.sha256:
        return f"{what} the server received other bytes than were kept here"
    if release.reserved.event != received.event:
        return f"{what} the server took it for a round with another noise, sampling or steps than were charged here"
    charged = [one for one in run.released if one.round == received.round and one.event != release.reserved.event]
    if charged:
        return f"{what} the server released the round with another noise than was charged here"
    return None
