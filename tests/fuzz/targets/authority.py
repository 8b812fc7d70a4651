"""What a consortium's authority keeps on its disk, and its certificates of withdrawal."""

import json
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any

from hypothesis import strategies as st

from fedvoxel.errors import ConsortiumError, FedVoxelError, LedgerError
from fedvoxel.export.signature import sign
from fedvoxel.governance.authority_store import KEY_FILE, ROOT_FILE, open_authority
from fedvoxel.governance.certificate_register import Register
from fedvoxel.governance.withdrawal_certificate import PURPOSE
from fedvoxel.governance.withdrawal_issue import verify_certificate
from fedvoxel.records.canonical import canonical_json
from fedvoxel.records.chain_entry import HEAD_FILE
from fedvoxel.records.identity import Identity, load_root
from tests.consortium_kits import PASSPHRASE
from tests.export.package_sample import sample_root, sample_trust
from tests.export.throwaway_root import NOW
from tests.fuzz.chains import rechained
from tests.fuzz.mutation import mutated_text, mutated_value, plain
from tests.fuzz.spoiled import Spoiled, files_of, lay_out, spoiled
from tests.fuzz.target import Target, UnwantedError
from tests.fuzz.targets.certificates import given


@st.composite
def _registers(draw: st.DrawFn) -> Spoiled | bytes:
    files = files_of(given()[1].folder)
    lines = _lines_in(files)
    if draw(st.booleans()):
        return draw(spoiled(files, (lines, lines.replace("certificates.jsonl", HEAD_FILE), ROOT_FILE, KEY_FILE)))
    bodies = [json.loads(line)["body"] for line in files[lines].splitlines()]
    bodies += [{"event": "revoked", "reason": "left", "since": None, "serial": "1"}]
    return rechained(draw(mutated_value((bodies,))))


def _lines_in(files: dict[str, bytes]) -> str:
    (lines,) = (path for path in files if path.endswith("certificates.jsonl"))
    return lines


def _register(change: Spoiled | bytes, folder: Path) -> None:
    origin = given()[1].folder
    lines = _lines_in(files_of(origin))
    copied = lay_out(origin, (lines, change) if isinstance(change, bytes) else change, folder)
    if isinstance(change, bytes):
        (copied / lines).with_name(HEAD_FILE).write_bytes((change.splitlines() or [b""])[-1] + b"\n")
    register = Register(copied)
    for one, _ in register.states(datetime.now(UTC)):
        register.of(one.holder.name, datetime.now(UTC))
    register.lists()
    register.is_compromised(load_root(origin / ROOT_FILE).public_key())
    open_authority(copied, copied, PASSPHRASE)


# ------------------------------------------------------------------ certificates of withdrawal

_STATEMENT: dict[str, Any] = {
    "schema_version": 1,
    "site": "hospital-c",
    "revoked": [{"serial": "AB12", "revoked": "2026-03-01T09:30:00Z"}],
    "runs": [
        {
            **{"run_key": "a_run", "jobs": ["job-1"], "status": "finished", "part": "trained", "joined_round": 2},
            **{"trained_round": 2, "contaminated": ["1" * 64], "may_hold": [], "none_because": None},
            "excluding": [
                {
                    **{"round": 2, "sha256": "2" * 64, "sites": ["hospital-a"]},
                    "log": {
                        "entries": 5,
                        "head": "3" * 64,
                        "countersigned": {"hospital-a": {"entries": 6, "head": "4" * 64}},
                    },
                }
            ],
        }
    ],
    "lost_runs": [{"run_key": "old", "jobs": ["job-0"], "contaminated": ["5" * 64], "may_hold": []}],
    "releases": None,
    "unclear_releases": [],
    "log": {"entries": 9, "head": "6" * 64},
    "not_undone": ["copies that others have made"],
    "re_aggregation": "none",
    "fedvoxel": "0.2.0",
}


@cache
def _operator() -> Identity:
    return sample_root().issue("admin@consortium.example", "project_admin")


@st.composite
def _withdrawals(draw: st.DrawFn) -> bytes:
    """A statement that was edited and signed anew, or a file that was edited."""
    statement = plain(draw(mutated_value((_STATEMENT,)))) if draw(st.booleans()) else _STATEMENT
    try:
        content = canonical_json(statement)
    except (ValueError, RecursionError):
        content = b"{}"
    signature = sign(_operator(), PURPOSE, content, NOW).model_dump(mode="json")
    if statement is _STATEMENT:
        return draw(mutated_text(({"statement": statement, "signature": signature},)))
    return b'{"statement": %s, "signature": %s}' % (content, json.dumps(signature).encode())


def _withdrawal(content: bytes, folder: Path) -> None:
    certificate, _ = verify_certificate(content, sample_trust(), NOW)
    if list(certificate.statement.contaminated) and certificate.statement.content == b"":
        raise UnwantedError("a statement without content")


TARGETS = (
    Target("register", "certificates", st.deferred(_registers), _register, (ConsortiumError, LedgerError)),
    Target("withdrawals", "certificates", st.deferred(_withdrawals), _withdrawal, (FedVoxelError,)),
)
