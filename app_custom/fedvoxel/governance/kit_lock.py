"""Says whether a kit's process runs: a file lock, which ends with the process even when it is killed."""

import fcntl
import os

from fedvoxel.errors import ConsortiumError
from fedvoxel.governance.kit import Kit
from fedvoxel.records.chain_lock import require_owner

_LOCK_FILE = "running.lock"


def lock_kit(kit: Kit) -> int:
    """Returns an open, locked file; whoever inherits it holds the lock.

    Raises:
        ConsortiumError: The kit already runs.
        LedgerError: The kit's state/ is another account's.
    """
    require_owner(kit.state, f"state/ of kit {kit.name}")
    kit.state.mkdir(mode=0o700, exist_ok=True)
    handle = os.open(kit.state / _LOCK_FILE, os.O_RDWR | os.O_CREAT, 0o600)
    if not _is_free(handle):
        os.close(handle)
        raise ConsortiumError(f"kit {kit.name} is already running; stop that process first")
    return handle


def is_running(kit: Kit) -> bool:
    """Says whether the kit's process, or one that it left behind, runs on this machine; writes nothing."""
    try:
        handle = os.open(kit.state / _LOCK_FILE, os.O_RDWR)
    except FileNotFoundError:
        return False
    try:
        return not _is_free(handle)
    finally:
        os.close(handle)


def _is_free(handle: int) -> bool:
    """Says whether nobody else held a lock, which is held from now on."""
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
