"""Which run a package's model is of and what is guaranteed of it, read from its provenance without the rest."""

from pydantic import AwareDatetime, NonNegativeInt

from fedvoxel.config import FrozenModel, parse_config
from fedvoxel.errors import ConfigError, PackageError
from fedvoxel.export.signature import read_versioned
from fedvoxel.federation.attempts import RunStatus
from fedvoxel.privacy.guarantee import Guarantee
from fedvoxel.records.names import Sha256

PROVENANCE = "provenance.json"

_NEWEST_PROVENANCE = 1


class Origin(FrozenModel):
    """Says which job the model is of.

    Attributes:
        model_sha256: Of the run's own file.
        round: After which the model stood, from 0.
        tested: Whether the test scores are of this model.
        outcome_sha256: Of the run's outcome.json.
        audit_head: Hash of the last entry of the server's audit log, as the exporter gave it.
    """

    job_name: str
    job_id: str
    run_key: str
    status: RunStatus
    started: AwareDatetime
    finished: AwareDatetime
    rounds_committed: NonNegativeInt
    model_sha256: Sha256
    round: NonNegativeInt | None
    tested: bool
    outcome_sha256: Sha256
    audit_head: Sha256 | None


class ModelOrigin(FrozenModel):
    """Is what tells which model a package was made of, and what that one began with.

    Attributes:
        start_sha256: Of the model of an earlier run that the run began with; None for none.
        is_last: Whether it is the run's last model, with which another run can begin.
    """

    run_key: str
    job_id: str
    model_sha256: Sha256
    start_sha256: Sha256 | None
    is_last: bool = False


def read_model_origin(provenance: bytes) -> ModelOrigin:
    """Reads it from the bytes of a package's `provenance.json`.

    Raises:
        PackageError: They are no such thing, or of a newer version.
    """
    values = read_versioned(provenance, _NEWEST_PROVENANCE, f"the package's {PROVENANCE}")
    try:
        origin = parse_config(Origin, values.get("origin"), "its origin")
        start = (values["privacy"]["start_from"] or {}).get("sha256")
        said = {name: getattr(origin, name) for name in ("run_key", "job_id", "model_sha256")}
        said["is_last"] = origin.round == origin.rounds_committed - 1
        return parse_config(ModelOrigin, said | {"start_sha256": start}, "its origin")
    except (ConfigError, KeyError, TypeError, AttributeError):
        raise PackageError(f"the package's {PROVENANCE} does not say which run it is of") from None


def read_guarantee(provenance: bytes) -> Guarantee | None:
    """Reads what a package's `provenance.json` guarantees about privacy; None where that is nothing.

    Raises:
        PackageError: The bytes are no such thing, or of a newer version.
    """
    values = read_versioned(provenance, _NEWEST_PROVENANCE, f"the package's {PROVENANCE}")
    try:
        privacy = values["privacy"]
        said, channels = privacy.get("guarantee"), privacy.get("open_channels")
        return None if said is None or channels else parse_config(Guarantee, said, "its guarantee")
    except (ConfigError, KeyError, AttributeError):
        raise PackageError(f"what the package's {PROVENANCE} says of privacy cannot be read") from None
