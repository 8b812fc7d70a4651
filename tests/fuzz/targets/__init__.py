"""The readers that are fuzzed, by name. A module of targets is imported when one of its targets is asked for."""

import importlib

from tests.fuzz.target import Target

MODULES = ("messages", "secure", "answers", "jobs", "kits", "packages", "configs", "ledgers", "images", "pages")
"""The modules of this folder that hold targets."""


def all_targets() -> tuple[Target, ...]:
    """Returns all targets, in the order of `MODULES`."""
    return tuple(target for module in MODULES for target in _targets(module))


def target_named(name: str) -> Target:
    """Returns the target MODULE.NAME."""
    module, _, rest = name.partition(".")
    return next(target for target in _targets(module) if target.name == rest)


def _targets(module: str) -> tuple[Target, ...]:
    found: tuple[Target, ...] = importlib.import_module(f"tests.fuzz.targets.{module}").TARGETS
    return found
