"""Runs inside the processes under test: tells of every step that is passed, and stops at the one that is asked for.

Each pass of a step is one line of the trace. When the harness has armed a step, the process that passes it first stops
there until the harness lets it go on: in the meantime a process is killed, a line cut or a disk filled at exactly that
moment. A step can also be made to repeat: `twice` sends a result a second time, `again` gives the answer of the round
before in place of this one.
"""

import importlib.abc
import importlib.machinery
import json
import os
import sys
import time
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import cache, wraps
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType
from typing import Any

from benchmarks.chaos import sabotage
from benchmarks.chaos.steps import STEPS, Step, kind_in

LONGEST_STOP_S = 120.0
_POLL_S = 0.01
_LAST: dict[str, Any] = {}
"""The answer of the round before, by step."""
_PASSED: Counter[int] = Counter()
"""How often this process has passed the step that is armed, by the number of the fault."""


def folder() -> Path:
    """Returns where harness and processes meet."""
    return Path(os.environ["FEDVOXEL_CHAOS"])


def watch_imports() -> None:
    """Has the functions of all steps tell of themselves as soon as their modules are imported."""
    sys.meta_path.insert(0, _Finder())


class _Finder(importlib.abc.MetaPathFinder):
    """Finds nothing itself: wraps the loader of the modules that have steps."""

    def find_spec(
        self, name: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        if name not in sabotage.modules() and not any(step.module == name for step in STEPS):
            return None
        sys.meta_path.remove(self)
        try:
            spec = find_spec(name)
        finally:
            sys.meta_path.insert(0, self)
        if spec and spec.loader:
            spec.loader = _Loader(spec.loader)
        return spec


class _Loader(importlib.abc.Loader):
    """Loads a module as its own loader does, and then wraps the functions of its steps."""

    def __init__(self, own: Any) -> None:
        self._own = own

    def create_module(self, spec: importlib.machinery.ModuleSpec) -> ModuleType | None:
        made: ModuleType | None = self._own.create_module(spec)
        return made

    def exec_module(self, module: ModuleType) -> None:
        self._own.exec_module(module)
        sabotage.take_away(module)
        for step in STEPS:
            if step.module == module.__name__:
                _wrap(module, step)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._own, name)


def _wrap(module: ModuleType, step: Step) -> None:
    owner_name, _, name = step.function.rpartition(".")
    owner: Any = getattr(module, owner_name) if owner_name else module
    inner: Callable[..., Any] = getattr(owner, name)

    @wraps(inner)
    def passed(*arguments: Any, **named: Any) -> Any:
        if step.when == "before":
            _pass(step, arguments, None)
            return inner(*arguments, **named)
        result = inner(*arguments, **named)
        action = _pass(step, arguments, result)
        if action == "twice":
            inner(*arguments, **named)
        return _again(step, arguments, result, action)

    setattr(owner, name, passed)


def _again(step: Step, arguments: Sequence[Any], result: Any, action: str) -> Any:
    if step.name != "site_job.answers" or "train" not in arguments:
        return result
    before, _LAST[step.name] = _LAST.get(step.name), result
    return before if action == "again" and before is not None else result


def _pass(step: Step, arguments: Sequence[Any], result: Any) -> str:
    """Tells that a step is passed, and returns what is to be done there."""
    if not step.told and _own_kind() != step.process:
        return ""
    told = {"step": step.name, "machine": os.environ.get("FEDVOXEL_MACHINE", ""), "pid": os.getpid()}
    told |= _about(step, arguments)
    if step.told:
        _tell(told)
    armed = folder() / "armed.json"
    try:
        asked = json.loads(armed.read_text())
    except (OSError, ValueError):
        return ""
    if asked["step"] != step.name or asked["machine"] != told["machine"]:
        return ""
    if asked.get("task") and asked["task"] != told.get("task"):
        return ""
    _PASSED[asked["id"]] += 1
    if _PASSED[asked["id"]] <= asked.get("skip", 0):
        return ""
    with suppress(OSError):
        # Whoever renames it first is the one that stops.
        os.rename(armed, folder() / f"taken-{asked['id']}.json")
        _stop(asked["id"])
        return str(asked["action"])
    return ""


@cache
def _own_kind() -> str:
    return kind_in(Path("/proc/self/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace"))


def _stop(number: int) -> None:
    (folder() / f"stopped-{number}").write_text(str(os.getpid()))
    deadline = time.monotonic() + LONGEST_STOP_S
    while not (folder() / f"go-{number}").exists() and time.monotonic() < deadline:
        time.sleep(_POLL_S)


def _tell(told: dict[str, Any]) -> None:
    line = json.dumps({"at": time.monotonic(), **told}) + "\n"
    handle = os.open(folder() / "trace.jsonl", os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    try:
        os.write(handle, line.encode())
    finally:
        os.close(handle)


def _about(step: Step, arguments: Sequence[Any]) -> dict[str, Any]:
    """Returns what the harness wants to know of a step, read from the arguments of its function."""
    if step.name in ("server_job.asks", "server_job.has_written"):
        state = _state_in(arguments)
        return {"round": state.round, "model": _digest(state.model)}
    if step.name == "server_job.has_taken":
        return {"site": arguments[1]}
    if step.name in ("site_job.fetched", "site_job.answers"):
        return {"task": arguments[1]}
    return {}


def _state_in(arguments: Sequence[Any]) -> Any:
    """Returns the `Rounds` among a function's arguments, by itself or as a part of the run's state."""
    for argument in arguments[1:]:
        for state in (argument, getattr(argument, "rounds", None)):
            if hasattr(state, "round") and hasattr(state, "model"):
                return state
    raise RuntimeError("the step's function takes no state of the run any more: see benchmarks.chaos.steps")


def _digest(model: dict[str, Any]) -> str:
    import hashlib

    digest = hashlib.sha256()
    for name in sorted(model):
        digest.update(name.encode() + model[name].tobytes())
    return digest.hexdigest()
