"""Who may be in no round at the moment, each with the reason: by the list of revoked certificates, or by quarantine."""

from pathlib import Path

from fedvoxel.governance.incidents.switches import QUARANTINED, quarantined
from fedvoxel.governance.shut_out import REVOKED, read_shut_out


def kept_out(state: Path) -> dict[str, str]:
    """Returns the reason for each site.

    Args:
        state: The server's `state/` folder.

    Raises:
        JobError: Nobody can tell who is in quarantine.
    """
    return dict.fromkeys(quarantined(state), QUARANTINED) | dict.fromkeys(read_shut_out(state), REVOKED)
