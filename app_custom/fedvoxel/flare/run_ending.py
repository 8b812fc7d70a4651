"""How one attempt at a run ends: for good, or only until what has stopped it has passed."""

from fedvoxel.errors import DiskFullError, FedVoxelError, LockedError, SilentSitesError
from fedvoxel.federation.attempts import RunStatus
from fedvoxel.records.atomic import is_disk_full

NO_OUTCOME = "the outcome could not be written either"
"""What the reason ends with where no `outcome.json` says it."""

_GOES_ON = "the run goes on after its last committed round"

Ending = tuple[RunStatus, str | None]
"""How a run ended, and why where that needs a reason."""


def ending_of(error: FedVoxelError | OSError) -> Ending:
    """Returns how an attempt ends that met an error: one that passes has the run go on, see `resumption`."""
    trouble = write_trouble(error)
    if isinstance(error, DiskFullError) or (isinstance(error, OSError) and is_disk_full(error)):
        return "unfinished", f"{trouble}; {_GOES_ON} when there is room"
    if isinstance(error, LockedError):
        return "unfinished", f"{trouble}; {_GOES_ON} when it is free"
    if isinstance(error, SilentSitesError):
        return "unfinished", f"{trouble}; {_GOES_ON} when enough sites are connected"
    return "failed", trouble


def write_trouble(error: FedVoxelError | OSError) -> str:
    """Returns why files could not be written, without their names."""
    if isinstance(error, FedVoxelError):
        return str(error)
    return f"the server could not write its files ({error.strerror or type(error).__name__})"
