"""The reports that were handed in for a promotion, each with the person who stands for it.

A file without a signature that counts, or that is not what the command writes, is a fault and no report: it is named by
its place on the command line, never by its path.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Generic, Literal, TypeVar

from pydantic import ConfigDict, StrictBool

from fedvoxel.config import FrozenModel, json_of, parse_config
from fedvoxel.errors import ConfigError, PackageError
from fedvoxel.evaluation.attacks.findings import AUDIT_FILE, PrivacyAudit
from fedvoxel.export.trust import Trust
from fedvoxel.formats import current
from fedvoxel.governance.evidence.vouching import Vouched, vouched

SHARED_FILE = "to_share.json"
_EVALUATION = "evaluation.judgement.judgement.Judgement"


class _Part(FrozenModel):
    """Is what a gate looks at of an object that holds more."""

    model_config = ConfigDict(extra="ignore")


class Estimate(_Part):
    """Is a mean with its 95 % interval; None where nothing can be said."""

    value: float | None
    low: float | None
    high: float | None


class Difference(_Part):
    """Is this package's score minus the other's."""

    structure: str
    difference: Estimate
    verdict: Literal["better", "worse", "not told apart"]


class Paired(_Part):
    """Is the comparison of one structure."""

    whole: Difference
    non_inferior: StrictBool | None


class Comparison(_Part):
    """Is the comparison with another; `package_sha256` is None for a reader, and in files of older releases."""

    kind: Literal["model", "reader"]
    package_sha256: str | None = None
    metric: str
    margin: float | None
    stated_at: str | None
    tests: tuple[Paired, ...]
    groups: tuple[Difference, ...]


class Structure(_Part):
    """Is how well one structure is found."""

    name: str
    dice: Estimate
    nsd: Estimate


class _Model(_Part):
    package_sha256: str


class _Data(_Part):
    split: str | None
    hospitals: tuple[str, ...]


class _Settings(_Part):
    tolerance_mm: float


class SharedReport(_Part):
    """Is what a gate looks at of `to_share.json`; a report about too few patients has no more than that it is."""

    model: _Model
    data: _Data
    settings: _Settings
    below_minimum: StrictBool
    structures: tuple[Structure, ...] = ()
    comparison: Comparison | None = None


Told = TypeVar("Told", SharedReport, PrivacyAudit)


@dataclass(frozen=True)
class Report(Generic[Told]):
    """Is a report that somebody stands for.

    Attributes:
        number: Its folder's place on the command line, from 1.
        organisation: That of who stands for it.
        at: When that was signed.
        sha256: Of its bytes.
        told: What it says.
    """

    number: int
    organisation: str
    at: datetime
    sha256: str
    told: Told


@dataclass(frozen=True)
class Fault:
    """Says why something that was handed in does not count; `number` is as in `Report`."""

    number: int
    why: str

    def __str__(self) -> str:
        return f"report {self.number}: {self.why}"


@dataclass(frozen=True)
class HandedIn:
    """Is all that was handed in; a fault is about what is no report."""

    evaluations: tuple[Report[SharedReport], ...]
    audits: tuple[Report[PrivacyAudit], ...]
    faults: tuple[Fault, ...]


def read_handed_in(folders: Sequence[Path], trust: Trust, now: datetime) -> HandedIn:
    """Reads the evaluation and the privacy audit of each folder, where there is one.

    Raises:
        ConsortiumError: The revocation list is out of date.
    """
    evaluations: list[Report[SharedReport]] = []
    audits: list[Report[PrivacyAudit]] = []
    faults = []
    for number, folder in enumerate(folders, start=1):
        names = [name for name in (SHARED_FILE, AUDIT_FILE) if (folder / name).is_file()]
        if not names:
            faults.append(Fault(number, f"the folder has neither {SHARED_FILE} nor {AUDIT_FILE}"))
        for name in names:
            try:
                found = _vouched(folder / name, trust, now)
                if name == SHARED_FILE:
                    evaluations.append(_report(number, found, _shared(found.content)))
                else:
                    audits.append(_report(number, found, _audit(found.content)))
            except (PackageError, ConfigError) as problem:
                faults.append(Fault(number, f"{name}: {problem}"))
    return HandedIn(tuple(evaluations), tuple(audits), tuple(faults))


def _vouched(path: Path, trust: Trust, now: datetime) -> Vouched:
    found = vouched(path, trust, now)
    if found is None:
        raise PackageError("nobody stands for it; a person of the hospital does with `fedvoxel evidence vouch`")
    return found


def _report(number: int, found: Vouched, told: Told) -> Report[Told]:
    return Report(number, found.signer.organisation, found.at, hashlib.sha256(found.content).hexdigest(), told)


def _shared(content: bytes) -> SharedReport:
    values = current(_EVALUATION, json_of(content, "the report"), "the report")
    return parse_config(SharedReport, values, "the report")


def _audit(content: bytes) -> PrivacyAudit:
    return parse_config(PrivacyAudit, json_of(content, "the audit"), "the audit")
