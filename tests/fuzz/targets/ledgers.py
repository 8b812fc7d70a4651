"""Privacy ledgers of sites and of the server, audit logs, readers' records, and the chain below all of them."""

import json
from collections.abc import Callable
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from tempfile import mkdtemp
from typing import Any

from hypothesis import strategies as st

from fedvoxel.privacy.ledger import Ledger
from fedvoxel.privacy.server_ledger import ServerLedger
from fedvoxel.privacy.server_record import verify_server
from fedvoxel.records.audit import AuditLog
from fedvoxel.records.audit_event import AuditEvent
from fedvoxel.records.chain import Chain
from fedvoxel.records.chain_entry import HEAD_FILE, verified_entries
from fedvoxel.review.case_record import CaseRecord
from fedvoxel.review.events import Begun, Visited
from tests.fuzz.chains import rechained
from tests.fuzz.mutation import HOSTILE, mutated_bytes, mutated_value
from tests.fuzz.spoiled import Spoiled, files_of, lay_out, spoiled
from tests.fuzz.target import Target
from tests.privacy.ledger_processes import BUDGET, COHORT, plan_of
from tests.privacy.test_server_record import Both

_NOW = datetime(2027, 1, 1, tzinfo=UTC)


@cache
def _kept() -> dict[str, Path]:
    """One record of each kind, by the name of the file with its lines."""
    folder = Path(mkdtemp(prefix="fedvoxel_fuzz_"))
    ledger = Ledger(folder / "site", COHORT, BUDGET)
    for index in range(2):
        reservation = ledger.reserve("run", "job", index, plan_of(3))
        ledger.keep(reservation, b"noised")
        ledger.bytes_to_send(reservation.release_id)
    Both(folder / "both").rounds(2)
    log = AuditLog(folder / "audited")
    log.record(
        [
            AuditEvent(
                kind="answer", outcome="refused", run_key="run", task="train", round=0, site="hospital-a", reason="0s"
            )
        ]
        * 3
    )
    record = CaseRecord(folder / "case")
    for event in (Visited(visit="a" * 16, read_from="a" * 64), Begun(candidate="model")):
        record.append(event, record.read())
    return {
        "ledger.jsonl": folder / "site",
        "server.jsonl": folder / "both/server/state",
        "audit.jsonl": folder / "audited",
        "events.jsonl": folder / "case",
    }


def _site(folder: Path) -> None:
    ledger = Ledger(folder, COHORT, BUDGET)
    ledger.status()
    ledger.verify(())
    ledger.reserve("run2", "job", 0, plan_of(3))


def _server(folder: Path) -> None:
    verify_server(folder)
    ServerLedger(folder).check_unreleased("other")


def _audit(folder: Path) -> None:
    log = AuditLog(folder)
    for _, event in log.read():
        hash((event.run_key, event.site, event.kind))
    log.record([AuditEvent(kind="answer", outcome="missing", run_key="run", task="train", round=1, site="hospital-b")])


def _case(folder: Path) -> None:
    record = CaseRecord(folder)
    record.append(Visited(visit="b" * 16, read_from="a" * 64), record.read())


_READ: dict[str, Callable[[Path], None]] = {
    "ledger.jsonl": _site,
    "server.jsonl": _server,
    "audit.jsonl": _audit,
    "events.jsonl": _case,
}


@st.composite
def _spoilt(draw: st.DrawFn, name: str) -> Spoiled:
    files = files_of(_kept()[name])
    (lines,) = (path for path in files if path.endswith(name))
    head = lines.replace(name, HEAD_FILE)
    return draw(spoiled(files, (lines, head)))


@st.composite
def _forged(draw: st.DrawFn, name: str) -> bytes:
    files = files_of(_kept()[name])
    (lines,) = (path for path in files if path.endswith(name))
    bodies = [json.loads(line)["body"] for line in files[lines].splitlines()]
    fields: dict[str, Any] = {}
    if draw(st.integers(0, 4)) == 0:
        fields[draw(st.sampled_from(("at", "clock_behind_s", "index", "previous")))] = draw(st.sampled_from(HOSTILE))
    return rechained(draw(mutated_value((bodies,))), **fields)


def _reading(name: str) -> Callable[[Any, Path], None]:
    def read(change: Spoiled | bytes, folder: Path) -> None:
        if isinstance(change, bytes):
            (lines,) = (path for path in files_of(_kept()[name]) if path.endswith(name))
            copied = lay_out(_kept()[name], (lines, change), folder)
            (copied / lines).with_name(HEAD_FILE).write_bytes((change.splitlines() or [b""])[-1] + b"\n")
        else:
            copied = lay_out(_kept()[name], change, folder)
        _READ[name](copied)

    return read


def _inputs(name: str) -> st.SearchStrategy[Any]:
    return st.deferred(lambda: st.one_of(_spoilt(name), _forged(name), _forged(name)))


_LINES = rechained([{"a": 1}, {"b": [None, 0.5]}, {"c": "é"}])


def _lines(content: bytes, folder: Path) -> None:
    entries = verified_entries(content, "lines")
    place = folder / "chain" / "lines"
    place.parent.mkdir()
    place.write_bytes(content)
    if entries:
        place.with_name(HEAD_FILE).write_bytes(entries[-1].line + b"\n")
    chain = Chain(place, clock=lambda: _NOW)
    chain.append({"next": True})
    chain.read()


TARGETS = (
    Target("chain", "ledgers", mutated_bytes((_LINES,)), _lines, bytes_origins=(_LINES,)),
    *(Target(name.split(".")[0], "ledgers", _inputs(name), _reading(name)) for name in _READ),
)
