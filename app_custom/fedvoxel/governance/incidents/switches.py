"""The switches that processes go by: all jobs are stopped here, or a site is kept out. Files, looked at all the time.

A switch is on before anything is written about it, and a switch that cannot be read is on: to stop must not need a
disk with room, a signature that still counts, or a process that answers.
"""

import json
import os
from collections.abc import Iterable
from pathlib import Path

from fedvoxel.errors import JobError
from fedvoxel.plain_file import read_plain
from fedvoxel.records.atomic import sync_folder, write_json

HALTED, _QUARANTINED = "halted", "quarantined.json"
"""Files in `state/` itself, so that no folder has to be made where a disk is full."""

QUARANTINED = "it is in quarantine, for an incident"
"""Why a site is missing from a round, as the outcome says it."""


def is_halted(state: Path) -> bool:
    """Says whether all jobs are stopped; also where nobody can tell.

    Args:
        state: The kit's `state/` folder.
    """
    try:
        (state / HALTED).lstat()
    except (FileNotFoundError, NotADirectoryError):
        return False
    except OSError:
        return True
    return True


def check_not_halted(state: Path) -> None:
    """Refuses to do anything for a job while all jobs are stopped.

    Raises:
        JobError: They are.
    """
    if is_halted(state):
        raise JobError("all jobs are stopped here for an incident; see: fedvoxel incident show")


def halt(state: Path) -> None:
    """Stops all jobs.

    Raises:
        OSError: The switch cannot be made.
    """
    state.mkdir(parents=True, exist_ok=True, mode=0o700)
    os.close(os.open(state / HALTED, os.O_CREAT | os.O_WRONLY, 0o600))
    sync_folder(state)


def lift(state: Path) -> None:
    """Lets jobs run again.

    Raises:
        OSError: The switch cannot be removed.
    """
    (state / HALTED).unlink(missing_ok=True)
    sync_folder(state)


def quarantined(state: Path) -> frozenset[str]:
    """Returns the sites that are kept out.

    Raises:
        JobError: Nobody can tell, which stops a job.
    """
    try:
        names = json.loads(read_plain(state / _QUARANTINED))
    except FileNotFoundError:
        return frozenset()
    except (OSError, ValueError, RecursionError):
        names = None
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise JobError(
            "nobody can tell which sites are in quarantine: the server's list is damaged; put it right with "
            "fedvoxel incident quarantine or release"
        )
    return frozenset(names)


def set_quarantined(state: Path, sites: Iterable[str]) -> None:
    """Has these sites, and no others, be kept out.

    Raises:
        OSError: It cannot be written.
    """
    write_json(state / _QUARANTINED, sorted(sites), mode=0o600)
