"""A site's record of incidents and its switches: whatever lies there, all jobs can be stopped, and it is said."""

import json
from contextlib import suppress
from datetime import timedelta
from functools import cache
from pathlib import Path
from tempfile import mkdtemp
from typing import Any

from hypothesis import strategies as st

from fedvoxel.cli.incident_view import incident_json
from fedvoxel.errors import ConsortiumError, JobError, LedgerError
from fedvoxel.export.signature import sign
from fedvoxel.governance.incidents.incident_log import IncidentLog, standing
from fedvoxel.governance.incidents.statement import PURPOSE, IncidentStatement
from fedvoxel.governance.incidents.switches import is_halted, lift
from fedvoxel.governance.kit import open_kit
from fedvoxel.records.canonical import canonical_json
from fedvoxel.records.chain_entry import HEAD_FILE
from fedvoxel.records.identity import Identity
from tests.approval_kits import NOW, Hospital
from tests.fuzz.chains import rechained
from tests.fuzz.mutation import mutated_value, plain
from tests.fuzz.spoiled import Spoiled, files_of, lay_out, spoiled
from tests.fuzz.target import Target, UnwantedError

_LINES = "state/incidents/incidents.jsonl"
_NAME = "20261130-3fa9c1"


@cache
def _declared() -> tuple[Path, Identity]:
    """A site at which its administrator has declared an incident, stopped all jobs and let them run again."""
    hospital = Hospital(Path(mkdtemp(prefix="fedvoxel_fuzz_")))
    person = hospital.person("it@hospital-a.example", role="org_admin")
    for word in ("declared", "halted", "lifted"):
        IncidentLog(hospital.kit).say(person, _said(word), NOW)
    return hospital.kit.folder, person


def _said(word: str, incident: str = _NAME) -> IncidentStatement:
    declared = {"kind": "intrusion", "severity": "high"} if word == "declared" else {}
    values = {"incident": incident, "keeper": "hospital-a", "word": word, "text": "a drill", **declared}
    return IncidentStatement.model_validate(values)


@st.composite
def _records(draw: st.DrawFn) -> Spoiled | bytes:
    """A file that was spoiled, or a record that was edited; what is said in it perhaps signed anew."""
    kit, person = _declared()
    files = files_of(kit)
    if draw(st.booleans()):
        return draw(spoiled(files, (_LINES, f"state/incidents/{HEAD_FILE}")))
    bodies = [json.loads(line)["body"] for line in files[_LINES].splitlines()]
    if draw(st.booleans()):
        place = draw(st.integers(0, len(bodies) - 1))
        bodies[place]["statement"] = said = plain(draw(mutated_value((bodies[place]["statement"],))))
        with suppress(ValueError, RecursionError):
            bodies[place]["signature"] = sign(person, PURPOSE, canonical_json(said), NOW).model_dump(mode="json")
        return rechained(bodies)
    return rechained(draw(mutated_value((bodies,))))


def _stop(change: Spoiled | bytes, folder: Path) -> None:
    """Whatever the record says, what is read of it can be shown, and who may stop all jobs does."""
    kit = open_kit(lay_out(_declared()[0], (_LINES, change) if isinstance(change, bytes) else change, folder))
    if isinstance(change, bytes):
        (kit.folder / _LINES).with_name(HEAD_FILE).write_bytes((change.splitlines() or [b""])[-1] + b"\n")
    log, now = IncidentLog(kit), NOW + timedelta(seconds=1)
    problem: Any = None
    try:
        incidents = log.read(now)
        json.dumps([incident_json(one) for one in incidents]).encode()
        standing(kit, incidents)
    except LedgerError as error:
        problem = error
    lift(kit.state)
    with suppress(LedgerError, JobError):
        log.say(_declared()[1], _said("declared", "20261130-000001"), now)
    with suppress(LedgerError):
        log.say(_declared()[1], _said("halted", "20261130-000001"), now)
    if not is_halted(kit.state):
        raise UnwantedError("all jobs were to be stopped, and are not")
    if problem:
        raise problem


TARGETS = (Target("incidents", "state", st.deferred(_records), _stop, (LedgerError, ConsortiumError)),)
