"""What a round's message says that decides a site's part of a secure sum: all sites have to be told the same."""

from typing import Any

from nvflare.app_common.abstract.fl_model import FLModel

from fedvoxel.errors import UpdateError
from fedvoxel.federation.broadcast import fingerprint
from fedvoxel.updates.secure.ring import Ring
from fedvoxel.updates.secure.session import agreement
from fedvoxel.updates.update import Arrays


def agreed_on(message: FLModel, arrays: Arrays) -> bytes:
    """Returns the hash that server and sites bind the pairs' masks to.

    Args:
        message: A round's message, as it was sent or as it came.
        arrays: The model that the sites train on, whole.
    """
    secure = message.meta["secure"]
    said = {
        "model": fingerprint(arrays),
        "bits": secure["bits"],
        "steps": {str(name): float(step) for name, step in secure["steps"].items()},
        "round": message.current_round,
        "rounds": message.total_rounds,
        "correction": message.meta.get("correction"),
    }
    return agreement(said)


def ring_of(message: FLModel) -> Ring:
    """Returns the ring that a round's message names.

    Raises:
        UpdateError: It is none that this version knows.
    """
    bits: Any = message.meta["secure"].get("bits")
    if not isinstance(bits, int) or not 8 <= bits <= 32:
        raise UpdateError("secure aggregation in a ring that this site does not know")
    return Ring(bits)
