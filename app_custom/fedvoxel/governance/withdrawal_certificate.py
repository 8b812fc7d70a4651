"""A certificate of withdrawal: what a hospital that has left a consortium gets in writing, and anybody can verify.

It says which models hold updates of the site, which alone exclude it, and what cannot be undone. Only a model from
before the site joined its run may stand there as excluding it: the statement itself refuses any other. It is signed by
the consortium's operator like a package, and verified offline as of the time of signing.
"""

import json
from collections.abc import Iterator
from typing import Annotated, Literal, Self

from pydantic import Field, NonNegativeInt, PositiveInt, StringConstraints, model_validator

from fedvoxel.config import FrozenModel, parse_config
from fedvoxel.errors import ConfigError, PackageError
from fedvoxel.export.signature import Moment, Signature, read_object, read_versioned
from fedvoxel.federation.absences import SiteName
from fedvoxel.federation.attempts import RunStatus
from fedvoxel.records.canonical import canonical_json
from fedvoxel.records.names import RunKey, Sha256

PURPOSE = "certificate of withdrawal"
"""What its signature is for."""

LARGEST_BYTES = 16 * 1024**2
"""Most bytes of a certificate's file."""

SCHEMA_VERSION = 1

Words = Annotated[str, StringConstraints(min_length=1, max_length=1000)]
JobId = Annotated[str, StringConstraints(min_length=1, max_length=200)]

RunPart = Literal["trained", "inherited", "unknown", "beside"]
"""trained: updates of the site are in the run's models from a round on; inherited: the run began with such a model;
unknown: it began with a model of which that cannot be said any more; beside: no update of the site is in a model, but
its scores were taken, or it gave the first model."""


class LogHead(FrozenModel):
    """Is a server's log up to an entry.

    Attributes:
        entries: How many entries that are.
        head: Hash of the last of them.
    """

    entries: PositiveInt
    head: Sha256


class LogPlace(LogHead):
    """Is where the server's log names a model.

    Attributes:
        countersigned: By site, the first head signed by it that covers that place; at least one.
    """

    countersigned: Annotated[dict[SiteName, LogHead], Field(min_length=1)]


class ExcludingModel(FrozenModel):
    """Is a model that is certified to hold nothing of the site.

    Attributes:
        round: The round before which it stood.
        sha256: Of the model file's bytes.
        sites: The sites that had taken part in the run until then.
        log: Where the server's log names it.
    """

    round: NonNegativeInt
    sha256: Sha256
    sites: tuple[SiteName, ...]
    log: LogPlace


class WithdrawnRun(FrozenModel):
    """Is one run that has to do with the site.

    Attributes:
        jobs: The FLARE jobs that were attempts at it.
        part: The site's part.
        joined_round: The first round in which anything of it was taken; None where it gave the first model, or had no
            part in the rounds.
        trained_round: The first round whose model holds an update of it; None for none.
        contaminated: SHA-256 of every model that holds updates of the site, as far as outcome and log name them.
        may_hold: Where the part is unknown, the same of its other models, of which that cannot be said.
        excluding: The models that are certified, by round; the last one is where to begin again.
        none_because: Why there is none.
    """

    run_key: RunKey
    jobs: tuple[JobId, ...]
    status: RunStatus
    part: RunPart
    joined_round: NonNegativeInt | None
    trained_round: NonNegativeInt | None
    contaminated: tuple[Sha256, ...]
    may_hold: tuple[Sha256, ...] = ()
    excluding: tuple[ExcludingModel, ...] = ()
    none_because: Words | None = None

    @model_validator(mode="after")
    def _certifies_earlier_models_only(self) -> Self:
        if self.excluding and (self.joined_round is None or self.part in ("inherited", "unknown")):
            raise ValueError(f"a run whose part is {self.part} has no model from before the site joined")
        joined = min((one for one in (self.joined_round, self.trained_round) if one is not None), default=0)
        late = [model.round for model in self.excluding if model.round > joined]
        if late:
            raise ValueError(f"the model from before round {late[0]} is not from before round {joined}")
        if (self.none_because is None) != bool(self.excluding):
            raise ValueError("none_because goes with no certified model, and with none else")
        return self


class LostRun(FrozenModel):
    """Is a run that holds the site, or may, of which the log alone is left: it was removed, or another took its key.

    Attributes:
        jobs: The FLARE jobs that were attempts at it.
        contaminated: SHA-256 of its models that hold updates of the site, as the log names them.
        may_hold: Where it began with a model of which that cannot be said, the same of its other models.
    """

    run_key: str
    jobs: tuple[JobId, ...]
    contaminated: tuple[Sha256, ...]
    may_hold: tuple[Sha256, ...] = ()


class RevokedCertificate(FrozenModel):
    """Is a certificate of the site that is revoked.

    Attributes:
        serial: Its serial number, hexadecimal.
        revoked: Since when it counts for nothing.
    """

    serial: Annotated[str, StringConstraints(pattern=r"^[0-9A-F]{1,64}$")]
    revoked: Moment


class WithdrawnRelease(FrozenModel):
    """Is a release that came of a model which holds updates of the site, and is withdrawn.

    Attributes:
        package: Identity of the package.
        withdrawn: When its withdrawal was signed.
        reason: As the index says.
    """

    name: Words
    version: Words
    package: Sha256
    withdrawn: Moment
    reason: Words


class WithdrawalStatement(FrozenModel):
    """Is what a certificate says, and what is signed.

    Attributes:
        site: Who has left.
        revoked: Its revoked certificates.
        runs: Every run on the server that has to do with it.
        lost_runs: Runs with it of which only the log is left.
        releases: Releases that are withdrawn; None where no index of releases was looked at.
        unclear_releases: Name and version of releases of which it cannot be said what they came of.
        log: The server's log when this was issued; None where there is none.
        not_undone: What cannot be undone, and what this does not cover.
        re_aggregation: What is said of models computed anew without the site's updates.
        fedvoxel: The release of FedVoxel that made this.
    """

    schema_version: Literal[1] = 1
    site: SiteName
    revoked: tuple[RevokedCertificate, ...]
    runs: tuple[WithdrawnRun, ...]
    lost_runs: tuple[LostRun, ...] = ()
    releases: tuple[WithdrawnRelease, ...] | None = None
    unclear_releases: tuple[Words, ...] = ()
    log: LogHead | None
    not_undone: Annotated[tuple[Words, ...], Field(min_length=1)]
    re_aggregation: Words
    fedvoxel: str

    @model_validator(mode="after")
    def _certifies_no_model_of_the_site(self) -> Self:
        held = {*self.contaminated, *self.may_hold}
        for run in self.runs:
            for model in run.excluding:
                if self.site in model.sites or self.site in model.log.countersigned:
                    raise ValueError(f"a model of {run.run_key} that {self.site} took part in excludes nobody")
                if model.sha256 in held:
                    raise ValueError(f"a model of {run.run_key} cannot both hold updates of {self.site} and exclude it")
        return self

    @property
    def contaminated(self) -> Iterator[str]:
        """Are the hashes of all models that hold updates of the site."""
        for run in self._all_runs:
            yield from run.contaminated

    @property
    def may_hold(self) -> Iterator[str]:
        """Are the hashes of all models of which that cannot be said."""
        for run in self._all_runs:
            yield from run.may_hold

    @property
    def _all_runs(self) -> tuple[WithdrawnRun | LostRun, ...]:
        return (*self.runs, *self.lost_runs)

    @property
    def content(self) -> bytes:
        """Is what is signed."""
        return canonical_json(self.model_dump(mode="json"))


class WithdrawalCertificate(FrozenModel):
    """Is the content of a certificate's file."""

    statement: WithdrawalStatement
    signature: Signature

    @property
    def file_content(self) -> bytes:
        """Is what stands in the file: JSON that people can read."""
        return json.dumps(self.model_dump(mode="json"), indent=2, ensure_ascii=False).encode("utf-8") + b"\n"


def read_certificate(content: bytes) -> WithdrawalCertificate:
    """Reads a certificate; its signature is not verified.

    Raises:
        PackageError: It is none, certifies what may not be certified, or is of a newer version.
    """
    what = "the certificate of withdrawal"
    values = read_object(content, what)
    inner = values.get("statement")
    try:
        read_versioned(canonical_json(inner if isinstance(inner, dict) else {}), SCHEMA_VERSION, what)
        return parse_config(WithdrawalCertificate, values, what)
    except ConfigError as error:
        raise PackageError(str(error)) from None
    except ValueError:
        raise PackageError(f"{what} holds text or numbers that nobody can write; ask for another copy") from None
