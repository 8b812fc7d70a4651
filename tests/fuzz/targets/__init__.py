"""The readers that are fuzzed, by name. A module of targets is imported when one of its targets is asked for."""

import importlib
from collections.abc import Iterator

from tests.fuzz.target import Target

MODULES = (
    *("messages", "secure", "answers", "fobs", "jobs", "kits", "packages", "configs", "ledgers", "images", "pages"),
    "commands",
)
"""The modules of this folder that hold targets."""


def named_targets() -> Iterator[tuple[str, Target]]:
    """Yields all targets as MODULE.NAME, in the order of `MODULES`."""
    for module in MODULES:
        for target in importlib.import_module(f"tests.fuzz.targets.{module}").TARGETS:
            yield f"{module}.{target.name}", target
