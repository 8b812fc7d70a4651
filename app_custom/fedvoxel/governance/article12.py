"""An audit log in a documented form for who keeps records under the EU's AI Act (Regulation (EU) 2024/1689).

Article 12(2) asks that events be recorded which are relevant for (a) identifying situations of risk or a substantial
modification, (b) post-market monitoring, and (c) monitoring the operation. Each record says for which it is apt.
Article 12(3) is about remote biometric identification (Annex III, point 1(a)) and does not apply here. FedVoxel records
how a model was trained; what is logged while a model is in clinical use is the deployed product's own matter.
"""

from collections.abc import Sequence
from typing import Literal

from fedvoxel.config import FrozenModel
from fedvoxel.governance.audit_check import Checked, Line
from fedvoxel.records.audit_event import Actor, AuditEvent, HashName, Kind, Outcome, Spent
from fedvoxel.records.names import Sha256

SCHEMA_FILE = "article12.schema.json"
"""The JSON Schema of `Article12Log`, beside this module."""

Purpose = Literal["risk_or_modification", "post_market_monitoring", "monitoring_of_operation"]
"""Article 12(2), points (a), (b) and (c)."""

_MODIFIES: tuple[Purpose, ...] = ("risk_or_modification", "post_market_monitoring")
_PURPOSES: dict[Kind, tuple[Purpose, ...]] = {
    "job": _MODIFIES,
    "run": _MODIFIES,
    "round": _MODIFIES,
    "release": _MODIFIES,
    "answer": ("post_market_monitoring",),
    "command": ("monitoring_of_operation",),
    "registration": ("monitoring_of_operation",),
    "connection": ("monitoring_of_operation",),
    "countersignature": ("monitoring_of_operation",),
    "gap": ("monitoring_of_operation",),
}


class Countersigned(FrozenModel):
    """Is what a site signed, or had signed before it refused."""

    entries: int | None
    has_signature: bool


class Article12Record(FrozenModel):
    """Is one recorded event.

    Attributes:
        sequence: Its place in the log, from 0.
        time: When it was recorded, UTC, ISO 8601.
        record_hash: SHA-256 of the log's entry.
        previous_hash: That of the entry before it.
        purposes: For which points of Article 12(2) it is apt.
        event: What happened; `Kind` in the package's documentation.
        outcome: What became of it.
        actor: The person or participant who did or asked for it; null where that is the keeper of the log.
        run: The training run; empty for none.
        job: The attempt at it.
        task: What a site was asked for, or the command.
        round: The round, from 0.
        site: The participant that it is about.
        cohort: The name of the reference data in the participant's own description.
        reason: Why.
        hashes: SHA-256 by what they are of.
        size_bytes: Of the arrays.
        privacy_spent: The privacy loss charged so far, and whom it protects.
    """

    sequence: int
    time: str
    record_hash: Sha256
    previous_hash: Sha256
    purposes: tuple[Purpose, ...]
    event: Kind
    outcome: Outcome
    actor: Actor | None
    run: str
    job: str
    task: str
    round: int | None
    site: str
    cohort: str
    reason: str
    hashes: dict[HashName, Sha256]
    size_bytes: int | None
    privacy_spent: Spent | None
    countersigned: Countersigned | None


class Article12Log(FrozenModel):
    """Is an exported log.

    Attributes:
        keeper: "server", or the site whose log it is; empty where the log does not tell.
        first: Time of the first record that is exported; null for none.
        last: Time of the last.
        log_entries: How many entries the whole log has.
        log_head: Hash of its last entry.
        covered: How many of its entries sites have signed for, as far as that was checked.
    """

    schema_name: Literal["fedvoxel-article-12-v1"] = "fedvoxel-article-12-v1"
    regulation: Literal["Regulation (EU) 2024/1689, Article 12"] = "Regulation (EU) 2024/1689, Article 12"
    keeper: str
    first: str | None
    last: str | None
    log_entries: int
    log_head: Sha256 | None
    covered: int
    records: tuple[Article12Record, ...]


def article12(checked: Checked, chosen: Sequence[Line]) -> Article12Log:
    """Returns a log's chosen lines in the documented form.

    Args:
        checked: The whole log, as it was checked.
        chosen: The lines to export.
    """
    whole = checked.lines
    return Article12Log(
        keeper=checked.keeper,
        first=chosen[0][0].at if chosen else None,
        last=chosen[-1][0].at if chosen else None,
        log_entries=len(whole),
        log_head=whole[-1][0].hash if whole else None,
        covered=checked.covered,
        records=tuple(map(_record, chosen)),
    )


def _record(line: Line) -> Article12Record:
    entry, event = line
    return Article12Record(
        sequence=entry.index,
        time=entry.at,
        record_hash=entry.hash,
        previous_hash=entry.previous,
        purposes=_PURPOSES[event.kind],
        event=event.kind,
        outcome=event.outcome,
        actor=event.actor,
        run=event.run_key,
        job=event.job_id,
        task=event.task,
        round=event.round,
        site=event.site,
        cohort=event.cohort,
        reason=event.reason,
        hashes=event.hashes,
        size_bytes=event.size_bytes,
        privacy_spent=event.spent,
        countersigned=_countersigned(event),
    )


def _countersigned(event: AuditEvent) -> Countersigned | None:
    if event.kind != "countersignature":
        return None
    return Countersigned(entries=event.log_entries, has_signature=event.signature is not None)
