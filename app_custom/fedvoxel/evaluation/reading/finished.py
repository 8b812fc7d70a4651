"""A reading that was declared finished: what it came to, bound to every record that it came from.

    finished/finished.jsonl          a chain (`records.chain`); its last entry counts

`fedvoxel review finish` writes it (`review.finishing`). Who reads it looks at all records again: one that was changed,
added or taken away since is refused, and so are other settings of the study.
"""

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, NonNegativeInt, StringConstraints

from fedvoxel.config import FrozenModel, parse_config
from fedvoxel.errors import CohortError, ConfigError, LedgerError
from fedvoxel.evaluation.reading.agreement import RATINGS, Verdict
from fedvoxel.records.canonical import sha256_of_file
from fedvoxel.records.chain import Chain
from fedvoxel.records.names import Sha256

STUDY_FILE = "study.json"
FINISHED_FILE = "finished/finished.jsonl"
_RECORDS = "readers/*/*/events/events.jsonl"

RecordPath = Annotated[str, StringConstraints(pattern=r"^readers/[A-Za-z0-9_-]+/[A-Za-z0-9_-]+/events/events\.jsonl$")]


class CaseReading(FrozenModel):
    """Is what one reader said of the model's outline of one case; neither is named.

    Attributes:
        verdict: accept, correct or reject.
        rating: 1 to 5.
        edit_dice: Before and after, of each structure that was there, if it was corrected.
        active_s: Time on the case.
        preferred: Whether the model's outline was the better one of two; None for no difference, or one only.
    """

    verdict: Verdict
    rating: Annotated[int, Field(ge=1, le=RATINGS)]
    edit_dice: tuple[Annotated[float, Field(ge=0, le=1)], ...] = ()
    active_s: Annotated[float, Field(ge=0)]
    preferred: bool | None = None


class FinishedReading(FrozenModel):
    """Is the body of an entry.

    Attributes:
        settings: SHA-256 of the study's file.
        package: Identity of the package that was read.
        structures: What its outlines mark.
        blinded: Whether readers did not know which outline was the model's.
        compared: Whether there was exactly one other outline beside it in every case.
        readers: How many.
        listed: How many cases there were to read.
        cases: Of each case that all readers have answered, what each of them said.
        records: Hash of the last entry of each record, by its path in the study's folder.
    """

    schema_version: Literal[1] = 1
    settings: Sha256
    package: Sha256
    structures: tuple[str, ...]
    blinded: bool
    compared: bool
    readers: Annotated[int, Field(ge=1, le=20)]
    listed: NonNegativeInt
    cases: tuple[tuple[CaseReading, ...], ...]
    records: dict[RecordPath, Sha256]


def read_finished(folder: Path) -> FinishedReading:
    """Reads a study's finished reading, having checked everything that it came from.

    Raises:
        LedgerError: A record cannot be trusted, or is not the one of which it speaks.
        CohortError: The study is not finished.
        ConfigError: It was finished by another version.
    """
    if not (folder / FINISHED_FILE).is_file():
        raise CohortError("the study is not finished, or its folder is not here: see `fedvoxel review finish`")
    entries = Chain(folder / FINISHED_FILE).read()
    if not entries:
        raise CohortError("the study is not finished: see `fedvoxel review finish`")
    try:
        finished = parse_config(FinishedReading, entries[-1].body, "the finished reading")
    except ConfigError:
        raise ConfigError("the study was finished by another version of fedvoxel; finish it again") from None
    check_settings(folder, finished.settings)
    if heads_of(folder) != finished.records:
        raise LedgerError("a case was read, or a record changed, after the study was finished; finish it again")
    return finished


def check_settings(folder: Path, sha256: str) -> None:
    """Checks that the study's file is the one that was meant.

    Raises:
        LedgerError: It is another, or cannot be read.
    """
    try:
        found = sha256_of_file(folder / STUDY_FILE)
    except OSError as error:
        raise LedgerError(f"the study's file cannot be read ({error.strerror or type(error).__name__})") from None
    if found != sha256:
        raise LedgerError("the study's file was changed after the study was finished")


def heads_of(folder: Path) -> dict[str, str]:
    """Returns the hash of the last entry of every record in a study's folder, each record verified.

    Raises:
        LedgerError: One cannot be read or trusted.
    """
    found = {}
    for path in sorted(folder.glob(_RECORDS)):
        entries = Chain(path).read()
        if entries:
            found[path.relative_to(folder).as_posix()] = entries[-1].hash
    return found
