"""Which faults strike which job, where and when: a pure function of a seed."""

import random
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

from fedvoxel.privacy.guarantee import PrivacyUnit

Kind = Literal[
    "kill", "power", "partition", "line", "rate", "clock", "disk_full", "corrupt", "duplicate", "replay", "both"
]

KILLED_AT = {
    "trainer": ("site_job.fetched", "trainer.begins", "trainer.trains", "trainer.has_trained", "trainer.renames"),
    "site_job": (
        "site_job.fetched", "trainer.trains", "site_job.answers", "site_job.sends", "site_job.has_sent",
        "site_job.renames", "site_job.has_appended",
    ),
    "site_parent": ("site_job.fetched", "trainer.trains", "site_job.sends", "site_job.has_sent"),
    "site": ("site_job.fetched", "trainer.trains", "site_job.sends", "site_job.has_sent"),
    "server_job": (
        "server_job.asks", "trainer.trains", "server_job.receives", "server_job.has_taken", "server_job.aggregates",
        "server_job.writes", "server_job.has_written", "server_job.renames", "server_job.has_appended",
    ),
    "server_parent": ("server_job.asks", "trainer.trains", "server_job.has_taken", "server_job.writes"),
    "server": (
        "server_job.asks", "trainer.trains", "server_job.aggregates", "server_job.writes", "server_job.has_written",
        "server_job.renames", "server_job.has_appended",
    ),
}  # fmt: skip
"""Whose processes are killed with -9, and the steps of a round at which that is tried."""

CORRUPTED = {
    "server": (
        "state/runs/{run}/*", "state/runs/{run}/journal/*.json", "state/runs/{run}/journal/*.npz",
        "state/audit/audit.jsonl", "state/audit/head.json", "state/certificates/*", "state/jobs/*/meta*",
        "local/privacy.json", "local/resources.json.default", "startup/fed_server.json", "startup/server.crt",
        "startup/server.key", "startup/rootCA.pem",
    ),
    "site": (
        "state/runs/{run}/*", "state/runs/{run}/patients/*.json*", "state/audit/audit.jsonl", "state/audit/head.json",
        "state/exclusions/*", "local/fedvoxel_site.json", "local/fedvoxel_privacy.json",
        "local/fedvoxel_exclusions.json", "local/resources.json.default", "startup/fed_client.json",
        "startup/client.crt", "startup/client.key", "startup/rootCA.pem",
    ),
}  # fmt: skip
"""The files in which a byte is changed, as patterns in a kit."""

PROTECTED_EVERY = 5
"""The last of so many jobs is one under a privacy section, and its last fault a byte of a ledger."""

LEDGERS: dict[PrivacyUnit, tuple[str, str]] = {
    "patient": ("state/privacy/protected_patient/ledger.jsonl", "state/privacy/protected_patient/releases/*"),
    "hospital": ("state/privacy/protected_hospital/head.json", "state/privacy/server.jsonl"),
}
"""What is changed at the end of a job under a privacy section, in turn."""

_OUT_UNTIL_PUT_BACK = (
    "state/audit/", "state/exclusions/", "state/privacy/protected_", "state/runs/{run}/patients/",
)  # fmt: skip
"""Files without which a hospital takes no part: what it did, whom it may not use, whom it has used, what it spent."""

_WEIGHTS: dict[Kind, int] = {
    "kill": 40, "power": 8, "partition": 8, "line": 5, "rate": 4, "clock": 8, "disk_full": 9, "corrupt": 26,
    "duplicate": 3, "replay": 3, "both": 4,
}  # fmt: skip


@dataclass(frozen=True)
class Fault:
    """Is one fault.

    Attributes:
        job: The job, from 0.
        number: Its place in the job, from 0.
        kind: What happens.
        machine: Where.
        step: The step at which it happens.
        at: The machine whose process passes that step.
        value: What else there is to say: whose processes, seconds, a file.
    """

    job: int
    number: int
    kind: Kind
    machine: str
    step: str
    at: str
    value: str = ""

    def as_json(self) -> dict[str, Any]:
        """Returns it as JSON values."""
        return asdict(self)

    @property
    def leaves_out(self) -> bool:
        """Says whether the hospital has to stay out until a person has put back what was changed."""
        out = self.value.startswith(_OUT_UNTIL_PUT_BACK) and "/releases/" not in self.value
        return self.kind == "corrupt" and self.machine != "server" and out

    @property
    def name(self) -> str:
        """Names it in a table."""
        return f"{self.kind} {self.value} {self.machine} at {self.step}".replace("  ", " ")


def plan(seed: int, jobs: int, faults: int, sites: Sequence[str], kinds: Sequence[Kind] = ()) -> list[list[Fault]]:
    """Returns the faults of each job, in order.

    Kinds come in shares, in a random order; of a kind every variant comes before any comes again. A job under a privacy
    section ends with one more, a byte of a ledger.

    Args:
        seed: Of the choice.
        jobs: How many jobs.
        faults: How many faults altogether, at least, those of ledgers not counted.
        sites: The hospitals' names.
        kinds: The kinds to choose from; all when empty.
    """
    chance = random.Random(seed)
    each = -(-faults // jobs)
    chosen = _kinds(chance, each * jobs, kinds or tuple(_WEIGHTS))
    variants = {kind: _variants(kind, chance) for kind in sorted(set(chosen))}
    made = []
    for job in range(jobs):
        row = []
        for number in range(each):
            kind = chosen[job * each + number]
            target, step, value = variants[kind].pop(0)
            variants[kind] = variants[kind] or _variants(kind, chance)
            row.append(_fault(job, number, kind, (target, step, value), chance.choice(list(sites))))
        if not kinds and (unit := unit_of(job)):
            value = LEDGERS[unit][job // (PROTECTED_EVERY * len(LEDGERS)) % 2]
            target = "server" if "server" in value else "site"
            # By then the round's own update is kept.
            row.append(_fault(job, each, "corrupt", (target, "site_job.sends", value), chance.choice(list(sites))))
        made.append(row)
    return made


def unit_of(job: int) -> PrivacyUnit | None:
    """Returns whom a job protects; None where it has no privacy section."""
    turn, place = divmod(job, PROTECTED_EVERY)
    if place != PROTECTED_EVERY - 1:
        return None
    return "hospital" if turn % 2 else "patient"


def _kinds(chance: random.Random, count: int, kinds: Sequence[Kind]) -> list[Kind]:
    """Returns so many kinds, in shares as `_WEIGHTS` has them, each at least once if there is room."""
    total = sum(_WEIGHTS[kind] for kind in kinds)
    shares = {kind: max(1, round(count * _WEIGHTS[kind] / total)) for kind in kinds}
    found = [kind for kind in kinds for _ in range(shares[kind])]
    chance.shuffle(found)
    found = found[:count] + chance.choices(
        list(kinds), weights=[_WEIGHTS[k] for k in kinds], k=max(0, count - len(found))
    )
    return found


def _variants(kind: Kind, chance: random.Random) -> list[tuple[str, str, str]]:
    """Returns target ("server" or "site"), step and value of every variant of a kind, in a random order."""
    anywhere = ("site_job.fetched", "trainer.trains", "site_job.sends", "server_job.has_taken", "server_job.writes")
    found: list[tuple[str, str, str]]
    if kind == "kill":
        found = [(_side(whose), step, whose) for whose, steps in KILLED_AT.items() for step in steps]
    elif kind == "power":
        found = [(side, step, "") for side in ("server", "site") for step in anywhere]
    elif kind == "partition":
        found = [(side, step, str(s)) for side in ("server", "site") for step in anywhere[:4] for s in (4, 25)]
    elif kind == "clock":
        found = [(side, step, s) for side in ("server", "site") for step in anywhere[1:4] for s in ("+3600", "-3600")]
    elif kind == "disk_full":
        found = [(side, step, "") for side in ("server", "site") for step in anywhere]
    elif kind == "corrupt":
        found = [(side, "trainer.trains", pattern) for side, patterns in CORRUPTED.items() for pattern in patterns]
    elif kind == "both":
        found = [("site", step, whose) for step in anywhere[1:4] for whose in ("server_job", "trainer")]
    elif kind == "replay":
        found = [("site", "site_job.answers", "")]
    elif kind == "duplicate":
        found = [("site", "site_job.has_sent", "")]
    else:
        found = [("site", step, value) for step in anywhere[:3] for value in {"line": ("300",), "rate": ("1",)}[kind]]
    chance.shuffle(found)
    return found


def _side(whose: str) -> str:
    return "server" if whose.startswith("server") else "site"


def _fault(job: int, number: int, kind: Kind, variant: tuple[str, str, str], site: str) -> Fault:
    target, step, value = variant
    machine = "server" if target == "server" else site
    at = "server" if step.startswith("server") else site
    return Fault(job, number, kind, machine, step, at, value)
