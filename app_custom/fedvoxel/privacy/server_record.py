"""What a server's ledger adds up to, and whether its entries fit together; see `server_ledger`."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from fedvoxel.errors import LedgerError
from fedvoxel.privacy.server_ledger import Received, Released, ServerLedger


@dataclass
class ServerRun:
    """Is what the server knows of one private run.

    Attributes:
        jobs: Its attempts, in order.
        received: What was accepted, in order; the same release once for each attempt.
        released: Rounds whose noised model may have left, in order; none where the sites add the noise.
    """

    jobs: list[str] = field(default_factory=list)
    received: list[Received] = field(default_factory=list)
    released: list[Released] = field(default_factory=list)

    def of(self, site: str) -> list[Received]:
        """Returns what was received of one site."""
        return [one for one in self.received if one.site == site]

    @property
    def sites(self) -> list[str]:
        """Are the sites that something was received of."""
        return sorted({one.site for one in self.received})


@dataclass(frozen=True)
class ServerRecord:
    """Is the sum of a server's ledger.

    Attributes:
        entries: Number of entries.
        head: Hash of the last one, to be noted outside; None for an empty ledger.
        runs: By run key, in order.
        problems: What a site has sent under a release id that stands for something else, a line each.
    """

    entries: int
    head: str | None
    runs: dict[str, ServerRun]
    problems: tuple[str, ...]


def verify_server(state: Path, noted: str | None = None) -> ServerRecord:
    """Checks every line and the head, adds the entries up, and says which updates contradict those before them.

    Args:
        state: The `state/` folder of the server's kit.
        noted: An entry's hash, or the id of a release, as somebody outside has noted it.

    Raises:
        LedgerError: The ledger cannot be read or trusted, has a round released twice, or does not know what was
            noted.
    """
    lines, entries = ServerLedger(state).read()
    known = {line.hash for line in lines} | {entry.release_id for entry in entries if isinstance(entry, Received)}
    if noted is not None and noted not in known:
        raise LedgerError(
            f"the server's ledger does not know {noted}: it is an older copy, or another; put the newest copy back"
        )
    runs, problems = _runs_of(entries)
    return ServerRecord(len(lines), lines[-1].hash if lines else None, runs, problems)


def _runs_of(entries: Iterable[Received | Released]) -> tuple[dict[str, ServerRun], tuple[str, ...]]:
    runs: dict[str, ServerRun] = {}
    releases: dict[str, Received] = {}
    problems = []
    for number, entry in enumerate(entries, start=1):
        run = runs.setdefault(entry.run_key, ServerRun())
        if entry.round in {one.round for one in run.released}:
            raise LedgerError(
                f"line {number} of the server's ledger should not be there: round {entry.round} of run {entry.run_key} "
                "was released before"
            )
        if entry.job_id not in run.jobs:
            run.jobs.append(entry.job_id)
        if isinstance(entry, Released):
            run.released.append(entry)
            continue
        wrong = _contradiction(run, releases.setdefault(entry.release_id, entry), entry)
        problems += [f"line {number}: {wrong}"] if wrong else []
        run.received.append(entry)
    return runs, tuple(problems)


def _contradiction(run: ServerRun, first: Received, entry: Received) -> str | None:
    """Returns why an update does not fit what was received before it, or None.

    Args:
        run: The run, without the entry.
        first: The first that was received under its release id; may be the entry itself.
        entry: The update.
    """
    if first.model_copy(update={"job_id": entry.job_id}) != entry:
        return f"release {entry.release_id} came before with other bytes, for another round, or from another site"
    place = entry.job_id, entry.site, entry.round
    if any((one.job_id, one.site, one.round) == place for one in run.received):
        return f"a second update of {entry.site} in round {entry.round} of run {entry.run_key}"
    return None
