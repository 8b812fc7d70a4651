"""Says whether a kit's process runs: a file lock, which ends with the process even when it is killed."""

import fcntl
import os

from fedvoxel.errors import ConsortiumError
from fedvoxel.governance.kit import Kit


def lock_kit(kit: Kit) -> int:
    """Returns an open, locked file; whoever inherits it holds the lock.

    Raises:
        ConsortiumError: The kit already runs.
    """
    kit.state.mkdir(mode=0o700, exist_ok=True)
    handle = os.open(kit.state / "running.lock", os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(handle)
        raise ConsortiumError(f"kit {kit.name} is already running; stop that process first") from None
    return handle


def is_running(kit: Kit) -> bool:
    """Says whether the kit's process, or one that it left behind, runs on this machine."""
    try:
        os.close(lock_kit(kit))
    except ConsortiumError:
        return True
    return False
