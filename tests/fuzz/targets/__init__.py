"""The readers that are fuzzed, by name. A module of targets is imported when one of its targets is asked for."""

import importlib
from collections.abc import Iterator

from tests.fuzz.target import Target

MODULES = (
    *("messages", "secure", "answers", "fobs", "jobs", "kits", "packages", "ledgers", "images", "pages"),
    *("commands", "configs", "doors", "certificates", "authority", "backups", "countersignatures"),
    *("server_state", "site_state", "cohort_lists", "incidents"),
)
"""The modules of this folder that hold targets."""


def named_targets(*modules: str) -> Iterator[tuple[str, Target]]:
    """Yields the targets of some modules, or of all, as MODULE.NAME."""
    for module in modules or MODULES:
        for target in importlib.import_module(f"tests.fuzz.targets.{module}").TARGETS:
            yield f"{module}.{target.name}", target
