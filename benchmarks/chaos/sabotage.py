"""Guards that can be taken away from the processes under test, to see that the oracle misses them."""

import os
from types import ModuleType
from typing import Any

GUARDS: dict[str, dict[str, Any]] = {
    "vetting": {
        "fedvoxel.federation.vetting:Vetting.check_named": None,
        "fedvoxel.federation.vetting:Vetting.check": "unchecked",
    },
    "journal": {"fedvoxel.flare.run_journal:RunJournal.commit": None},
    "audit": {"fedvoxel.records.chain_file:write_after": None},
}
"""By the guard's name, the functions that do nothing without it, with what they return then."""


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
        setattr(owner, method, lambda *arguments, _returned=returned, **named: _returned)


def _taken_away() -> dict[str, Any]:
    return GUARDS.get(os.environ.get("FEDVOXEL_SABOTAGE", ""), {})
