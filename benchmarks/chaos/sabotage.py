"""Guards that can be taken away from the processes under test, to see that the oracle misses them."""

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import ModuleType
from typing import Any

from benchmarks.chaos.plan import PROTECTED_EVERY, Fault, Kind


@dataclass(frozen=True)
class Guard:
    """Is something that keeps a run whole.

    Attributes:
        taken: The functions that do nothing without it, with what they return then; and constants, with other values.
        fault: The fault after which it is missed.
    """

    taken: Mapping[str, Any]
    fault: Fault


def _fault(kind: Kind, step: str, value: str = "", machine: str = "hospital-a", job: int = 0) -> Fault:
    return Fault(job, 0, kind, machine, step, "server" if step.startswith("server") else "hospital-a", value)


GUARDS: dict[str, Guard] = {
    "vetting": Guard(
        {
            "fedvoxel.federation.vetting:Vetting.check_named": None,
            "fedvoxel.federation.vetting:Vetting.check": "unchecked",
        },
        _fault("replay", "site_job.answers"),
    ),
    "journal": Guard(
        {"fedvoxel.flare.run_journal:RunJournal.commit": None},
        _fault("kill", "server_job.asks", "server_job", "server"),
    ),
    "resumption": Guard(
        {"fedvoxel.flare.resumption:Resumption._submit_again": None},
        _fault("kill", "server_job.asks", "server_job", "server"),
    ),
    "restarted job": Guard(
        {"fedvoxel.flare.restarted_job:RestartedJob._may_start_again": False},
        _fault("kill", "trainer.trains", "site_job"),
    ),
    "returning site": Guard(
        {"fedvoxel.flare.returning_sites:ReturningSites._heard_of": None},
        _fault("kill", "trainer.trains", "site"),
    ),
    "journal's second copy": Guard(
        {"fedvoxel.flare.round_journal:_COPIES": ("",)},
        _fault("corrupt", "trainer.trains", "state/runs/{run}/journal/*.json", "server"),
    ),
    "waiting for room": Guard(
        {"fedvoxel.records.atomic:is_disk_full": False},
        _fault("disk_full", "server_job.writes", machine="server"),
    ),
    "server's ledger": Guard(
        {"fedvoxel.privacy.server_ledger:ServerLedger.receive": None},
        _fault("kill", "server_job.aggregates", "server_job", "server", PROTECTED_EVERY - 1),
    ),
    "audit": Guard(
        {"fedvoxel.records.chain_file:write_after": None},
        _fault("kill", "site_job.fetched", "trainer"),
    ),
}
"""By name; the last one is missed before any fault."""


def modules() -> set[str]:
    """Returns the modules in which something is to be taken away."""
    return {place.partition(":")[0] for place in _taken_away()}


def take_away(module: ModuleType) -> None:
    """Takes from a module what the environment says."""
    for place, returned in _taken_away().items():
        name, _, function = place.partition(":")
        if name != module.__name__:
            continue
        owner_name, _, method = function.rpartition(".")
        owner = getattr(module, owner_name) if owner_name else module
        setattr(owner, method, _that_returns(returned) if callable(getattr(owner, method)) else returned)


def _that_returns(value: Any) -> Callable[..., Any]:
    return lambda *arguments, **named: value


def _taken_away() -> Mapping[str, Any]:
    guard = GUARDS.get(os.environ.get("FEDVOXEL_SABOTAGE", ""))
    return guard.taken if guard else {}
