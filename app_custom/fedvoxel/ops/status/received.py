"""What a server's ledger has of private runs, as claims of what that cost; a hospital's own ledger may have more."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path

from fedvoxel.privacy.events import GaussianEvent
from fedvoxel.privacy.guarantee import Guarantee
from fedvoxel.privacy.server_record import ServerRun, verify_server

Events = tuple[GaussianEvent, ...]


@dataclass(frozen=True)
class ReceivedOfRun:
    """Is what the ledger has of one run.

    Attributes:
        by_site: What each site's private updates have cost, one event for each update that was accepted.
        released: What models with the server's own noise have cost every hospital; none where the sites add it.
    """

    by_site: Mapping[str, Events] = field(default_factory=dict)
    released: Events = ()


def received_by_run(state: Path) -> dict[str, ReceivedOfRun]:
    """Reads the ledger; nothing where there is none.

    Args:
        state: The server's `state/` folder.

    Raises:
        LedgerError: It cannot be trusted.
    """
    folder = state / "privacy"
    files = [path.stat() for path in sorted(folder.iterdir())] if folder.is_dir() else []
    return _read(state, tuple((file.st_mtime_ns, file.st_size) for file in files))


@lru_cache(maxsize=1)
def _read(state: Path, _: tuple[tuple[int, int], ...]) -> dict[str, ReceivedOfRun]:
    """Verifies the ledger, which takes seconds where it is long, only if one of its files has changed."""
    return {run_key: _of_run(run) for run_key, run in verify_server(state).runs.items()}


def spent(events: Sequence[GaussianEvent], planned: Guarantee) -> Guarantee | None:
    """Returns the claim for what the ledger has so far, in the terms of the run's own; None where it has nothing.

    Args:
        events: What it has.
        planned: The claim for the whole run.
    """
    return _claim(tuple(events), planned) if events else None


@lru_cache(maxsize=256)
def _claim(events: Events, planned: Guarantee) -> Guarantee | None:
    from fedvoxel.privacy.accounting import claim  # the accountant behind it takes a second to import

    said = f"the {len(events)} round{'s' * (len(events) > 1)} that the server's ledger has received so far"
    return claim(planned.unit, events, planned.delta, adversary=planned.adversary, composition=said)


def _of_run(run: ServerRun) -> ReceivedOfRun:
    # A release that came again in a later attempt is the same bytes, and costs nothing again.
    by_site = {site: tuple({one.release_id: one.event for one in run.of(site)}.values()) for site in run.sites}
    return ReceivedOfRun(by_site, tuple(one.event for one in run.released))
