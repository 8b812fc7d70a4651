"""Says in words of ours why a tracker's client failed: its own may hold an address with a password, or a token."""

from collections.abc import Iterator
from contextlib import contextmanager

from fedvoxel.errors import FedVoxelError, TrackerError, causes_of

_NOTHING_LOST = "Nothing is lost: give the command again, and what is missing there is sent"


@contextmanager
def in_our_words(tracker: str) -> Iterator[None]:
    """Turns whatever a tracker's client raises into one error that quotes nothing of it.

    Args:
        tracker: What people call it.

    Raises:
        TrackerError: The client raised something.
    """
    try:
        yield
    except FedVoxelError:
        raise
    # A client raises whatever it likes, with whatever it likes in its text.
    except Exception as error:
        raise TrackerError(f"{tracker} did not take it: {reason_of(error)}. {_NOTHING_LOST}") from None


def reason_of(error: BaseException) -> str:
    """Returns why a client failed, as its error and those behind it tell by their kinds and numbers alone."""
    chain = list(causes_of(error))
    kinds = [type(one).__name__ for one in chain]
    status = next((found for found in map(_status_of, chain) if found), None)
    if status in (401, 403):
        return f"it refused the login or token (HTTP {status}); look at what the environment sets"
    if any("Timeout" in kind for kind in kinds):
        return "it did not answer in time"
    if any("Connect" in kind for kind in kinds):
        return "it cannot be reached"
    if status:
        return f"it answered HTTP {status}"
    said = next((one.strerror for one in chain if isinstance(one, OSError) and one.strerror), None)
    return said or f"its client raised {kinds[0]}"


def _status_of(error: BaseException) -> int | None:
    """Returns the HTTP status that an error of `requests` or of MLflow's client carries."""
    ask = getattr(error, "get_http_status_code", None)
    found = getattr(getattr(error, "response", None), "status_code", None) or (ask() if callable(ask) else None)
    # MLflow's client has 500 for whatever it cannot name, also where no server answered.
    return found if isinstance(found, int) and found != 500 else None
