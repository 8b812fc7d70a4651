"""Which sites of a run are not in the present attempt at it, and why."""

from collections.abc import Collection
from pathlib import Path

from fedvoxel.governance.shut_out import REVOKED, read_shut_out

NOT_HERE = "not in this attempt at the run: it was not connected when the attempt began, or did not take the job"
"""Why a site of the run is missing from every round of an attempt; the attempt ends once one connects."""


def reasons_of(gone: Collection[str], state: Path) -> dict[str, str]:
    """Returns the reason for each of the sites that no message of this attempt reaches.

    Args:
        gone: The sites.
        state: The server's `state/` folder.
    """
    out = read_shut_out(state) if gone else ()
    return {site: REVOKED if site in out else NOT_HERE for site in sorted(gone)}
