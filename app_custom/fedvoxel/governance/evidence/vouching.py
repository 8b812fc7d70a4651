"""A person's signature beside a report: that this file is what the command wrote about their own run or cohort."""

import json
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from fedvoxel.errors import ConfigError, PackageError
from fedvoxel.export.signature import LARGEST_BYTES, read_signature, sign, verify
from fedvoxel.export.trust import Signer, Trust
from fedvoxel.plain_file import NotPlainError, read_plain
from fedvoxel.records.atomic import write_bytes
from fedvoxel.records.canonical import canonical_json
from fedvoxel.records.identity import Identity

PURPOSE = "report"
"""What such a signature is for."""

REPORTS = {
    "report.json": "fedvoxel results",
    "audit.json": "fedvoxel privacy audit",
    "to_share.json": "fedvoxel evaluate",
    "drift.json": "fedvoxel drift",
}
"""The files that a person may stand for, and the commands that write them."""


def signature_of(report: Path) -> Path:
    """Returns where the signature of a report lies."""
    return report.with_name(f"{report.name}.signature")


def vouch(report: Path, identity: Identity, now: datetime) -> Signer:
    """Signs a report, and returns who has.

    Args:
        report: The file.
        identity: Who signs.
        now: The present (aware).

    Raises:
        ConfigError: It is none of the reports that a person may stand for, or cannot be read.
        PackageError: The certificate does not count, or the signature cannot be written.
    """
    content = _content(report)
    signature = sign(identity, PURPOSE, content, now)
    signer = _person(verify(signature, PURPOSE, content, Trust(identity.root), now))
    try:
        write_bytes(signature_of(report), canonical_json(signature.model_dump(mode="json")))
    except OSError as error:
        raise PackageError(f"the signature cannot be written ({error.strerror or type(error).__name__})") from None
    return signer


@dataclass(frozen=True)
class Vouched:
    """Is a report that a person stands for.

    Attributes:
        content: Its bytes, those that were signed.
        signer: Who stands for it.
        at: When that was signed.
    """

    content: bytes
    signer: Signer
    at: datetime


def vouched(report: Path, trust: Trust, now: datetime) -> Vouched | None:
    """Returns a report that somebody stands for; None where nobody does.

    Raises:
        ConfigError: The report cannot be read.
        PackageError: There is a signature, and it does not count.
        ConsortiumError: The revocation list is out of date.
    """
    place = signature_of(report)
    if not place.is_file():
        return None
    try:
        signature = read_signature(read_plain(place, LARGEST_BYTES), "the report's signature")
    except NotPlainError:
        raise PackageError("the report's signature cannot be read") from None
    content = _content(report)
    return Vouched(content, _person(verify(signature, PURPOSE, content, trust, now)), signature.at)


def voucher_of(report: Path, trust: Trust, now: datetime) -> Signer | None:
    """Returns who stands for a report; None where nobody does. Raises what `vouched` does."""
    found = vouched(report, trust, now)
    return None if found is None else found.signer


def _person(signer: Signer) -> Signer:
    if signer.role is None:
        raise PackageError("a site has signed it: a person stands for a report, with a kit of their own")
    return signer


def _content(report: Path) -> bytes:
    if report.name not in REPORTS:
        raise ConfigError(f"expected one of {', '.join(REPORTS)}, got {report.name}")
    try:
        content = read_plain(report)
        json.loads(content)
    except (OSError, ValueError, RecursionError):
        raise ConfigError(f"{report.name} is missing, cannot be read, or is no JSON") from None
    return content
