"""Reads a kit's files into samples: what cannot be read is a sample of its own, and the rest is there all the same."""

import shutil
from collections import Counter
from collections.abc import Callable, Iterator, Sized
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

from fedvoxel.config import load_json_config
from fedvoxel.errors import FedVoxelError
from fedvoxel.federation.drift.result import DriftWatchResult
from fedvoxel.federation.mean_dice import mean_dice
from fedvoxel.federation.outcome import OUTCOME_FILE, RunOutcome, load_outcome
from fedvoxel.federation.sent_bytes import all_bytes_down, all_bytes_up
from fedvoxel.governance.incidents.incident_log import IncidentLog
from fedvoxel.governance.incidents.switches import is_halted, quarantined
from fedvoxel.governance.kit import Kit
from fedvoxel.ops.monitoring.sample import Sample
from fedvoxel.plain_file import read_plain
from fedvoxel.privacy.policy import load_privacy_policy
from fedvoxel.records.audit import AUDIT_FILE
from fedvoxel.records.chain_entry import HEAD_FILE, entry_of
from fedvoxel.records.identity import load_roots
from fedvoxel.records.pem import certificate_in
from fedvoxel.records.revocation import LIST_FILE, read_lists

MOST_RUNS = 20
"""So many runs, those that changed last, are told of: each label makes a series that Prometheus keeps for ever."""

_SEVERITIES = ("low", "medium", "high", "critical")
_STATUSES = ("unfinished", "finished", "stopped_early", "failed", "aborted")


def collect(kit: Kit) -> list[Sample]:
    """Returns all samples of a server's or a site's kit."""
    parts: dict[str, Callable[[Kit], Iterator[Sample]]] = {
        "certificates": _certificates,
        "disk": _disk,
        "halted": _halted,
        "incidents": _incidents,
        "audit": _audit,
    }
    parts |= (
        {"privacy": _privacy} if kit.kind == "site" else {"quarantine": _quarantine, "runs": _runs, "drift": _drift}
    )
    return [sample for name, read in parts.items() for sample in _carefully(name, partial(read, kit))]


def _carefully(what: str, read: Callable[[], Iterator[Sample]]) -> Iterator[Sample]:
    """Yields what is read, until something cannot be; and says whether that was so."""
    try:
        yield from read()
    except (FedVoxelError, OSError, ValueError):
        yield Sample("problem", 1.0, {"what": what})
    else:
        yield Sample("problem", 0.0, {"what": what})


def _certificates(kit: Kit) -> Iterator[Sample]:
    yield _ends("own", certificate_in(read_plain(kit.certificate)).not_valid_after_utc)
    for number, root in enumerate(load_roots(kit.root_certificate), 1):
        yield _ends(f"root {number}", root.not_valid_after_utc)
    if (kit.startup / LIST_FILE).is_file():
        named = [one.next_update_utc for one in read_lists(kit.startup / LIST_FILE) if one.next_update_utc]
        if named:
            yield _ends("revocation list", min(named))


def _ends(what: str, moment: datetime) -> Sample:
    return Sample("certificate_ends_timestamp_seconds", moment.timestamp(), {"what": what})


def _disk(kit: Kit) -> Iterator[Sample]:
    yield Sample("disk_free_bytes", float(shutil.disk_usage(kit.folder).free))


def _halted(kit: Kit) -> Iterator[Sample]:
    yield Sample("halted", float(is_halted(kit.state)))


def _quarantine(kit: Kit) -> Iterator[Sample]:
    yield Sample("quarantined_sites", float(len(quarantined(kit.state))))


def _incidents(kit: Kit) -> Iterator[Sample]:
    counts = Counter(one.severity for one in IncidentLog(kit).read(datetime.now(UTC)) if one.is_open)
    for severity in _SEVERITIES:
        yield Sample("incidents_open", float(counts[severity]), {"severity": severity})


def _audit(kit: Kit) -> Iterator[Sample]:
    head = (kit.state / "audit" / AUDIT_FILE).with_name(HEAD_FILE)
    if head.is_file():
        last = entry_of(read_plain(head).removesuffix(b"\n"))
        yield Sample("audit_last_timestamp_seconds", datetime.fromisoformat(last.at).timestamp())


def _privacy(kit: Kit) -> Iterator[Sample]:
    for cohort in load_privacy_policy(kit.local).budgets():
        yield from _carefully(f"privacy of {cohort}", partial(_budget, kit, cohort))


def _budget(kit: Kit, cohort: str) -> Iterator[Sample]:
    from fedvoxel.privacy.ledger import open_ledger  # the accountant behind it takes a second to import

    status = open_ledger(kit.local, kit.state, cohort).status()
    labels = {"cohort": cohort, "unit": status.unit}
    yield Sample("privacy_epsilon_spent", status.spent_epsilon, labels)
    yield Sample("privacy_epsilon_budget", status.budget.epsilon, labels)
    yield Sample("privacy_delta_spent", status.spent_delta, labels)
    yield Sample("privacy_delta_budget", status.budget.delta, labels)


def _drift(kit: Kit) -> Iterator[Sample]:
    for path in sorted((kit.state / "drift_watches").glob("*.json")):
        yield from _carefully(f"drift watch {path.stem}", partial(_watch, path))


def _watch(path: Path) -> Iterator[Sample]:
    found, labels = load_json_config(DriftWatchResult, path, "the last drift watch"), {"model": path.stem}
    yield Sample("drift_alarm", float(found.verdict == "drift"), labels)
    yield Sample("drift_last_timestamp_seconds", path.stat().st_mtime, labels)


def _runs(kit: Kit) -> Iterator[Sample]:
    for outcome in _newest(kit.state):
        yield from _carefully(f"run {outcome.parent.name}", partial(_run, outcome))


def _newest(state: Path) -> list[Path]:
    found = [path for path in (state / "runs").glob(f"*/{OUTCOME_FILE}") if path.is_file()]
    return sorted(found, key=lambda path: path.stat().st_mtime)[-MOST_RUNS:]


def _run(path: Path) -> Iterator[Sample]:
    outcome, labels = load_outcome(path), {"run": path.parent.name}
    for status in _STATUSES:
        yield Sample("run_status", float(outcome.status == status), labels | {"status": status})
    yield Sample("run_last_change_timestamp_seconds", path.stat().st_mtime, labels)
    yield Sample("run_rounds_planned", float(outcome.rounds_planned), labels)
    yield Sample("run_rounds_committed", float(outcome.rounds_committed), labels)
    for direction, count in (("up", all_bytes_up(outcome)), ("down", all_bytes_down(outcome))):
        yield Sample("run_bytes", float(count), labels | {"direction": direction})
    yield from _last_round(outcome, labels)


def _last_round(outcome: RunOutcome, labels: dict[str, str]) -> Iterator[Sample]:
    if not outcome.rounds:
        return
    last = outcome.rounds[-1]
    yield Sample("run_round_seconds", last.seconds, labels)
    sites: dict[str, Sized] = {"contributed": last.contributed, "missing": last.missing, "refused": last.refused}
    for became, named in sites.items():
        yield Sample("run_sites", float(len(named)), labels | {"became": became})
    scores = next((record.validation for record in reversed(outcome.rounds) if record.validation), None)
    dice = mean_dice(scores) if scores else None
    if dice is not None:
        yield Sample("run_validation_dice", dice, labels)
