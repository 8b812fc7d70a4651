"""Bad inputs are refused or harmless: some of each kind here, thousands by `scripts/fuzz`; and each fault is seen."""

import os
import time
from pathlib import Path
from typing import Any

import pytest
from hypothesis import strategies as st

from fedvoxel.errors import ConfigError
from tests.fuzz import process
from tests.fuzz.process import read_in_child
from tests.fuzz.target import FAULTS, Target
from tests.fuzz.targets import MODULES, named_targets

_QUICK = ("messages", "secure", "answers", "packages", "ledgers", "pages", "doors", "countersignatures", "site_state")
_SOME, _MORE = 10, 150


def _faults(target: Target, seed: int, count: int) -> list[dict[str, Any]]:
    tally = read_in_child(target, seed, count)
    assert tally.total >= count // 2
    return [fault for fault in tally.faults if fault["kind"] in FAULTS]


@pytest.mark.parametrize("module", _QUICK)
def test_some_of_each_kind_are_refused_or_harmless(module: str) -> None:
    for name, target in named_targets(module):
        assert _faults(target, 3, _SOME) == [], name


@pytest.mark.slow
@pytest.mark.parametrize("module", MODULES)
def test_many_of_each_kind_are_refused_or_harmless(module: str) -> None:
    for name, target in named_targets(module):
        assert _faults(target, 2, _MORE) == [], name


# ------------------------------------------------------------------ what the harness has to see


def _refuse(case: int, folder: Path) -> None:
    raise ConfigError("no")


def _crash(case: int, folder: Path) -> None:
    raise KeyError("no")


def _end(case: int, folder: Path) -> None:
    os._exit(9)


def _escape(case: int, folder: Path) -> None:
    (folder.parent.parent / "escaped").write_text("x")


def _escape_by_link(case: int, folder: Path) -> None:
    (folder / "out").symlink_to(folder.parent.parent)
    (folder / "out" / "escaped").write_text("x")


def _swell(case: int, folder: Path) -> None:
    bytearray(2**31)


def _wait(case: int, folder: Path) -> None:
    os.mkfifo(folder / "pipe")
    (folder / "pipe").read_bytes()


def _spin(case: int, folder: Path) -> None:
    while time.monotonic():
        pass


@pytest.mark.parametrize(
    ("act", "kind"),
    [
        (_refuse, "refused"),
        (lambda case, folder: None, "accepted"),
        (_crash, "crash"),
        (_end, "crash"),
        (_escape, "escape"),
        (_escape_by_link, "escape"),
        (_swell, "memory"),
        (_wait, "hang"),
        (_spin, "hang"),
    ],
)
def test_every_fault_is_seen(act: Any, kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tests.fuzz.target.MOST_SECONDS", 0.2)
    monkeypatch.setattr("tests.fuzz.target.MOST_WAITING_S", 3)
    tally = read_in_child(Target("broken", "test", st.just(1), act), 1, 1)
    assert dict(tally.counts) == {kind: 1}


def test_a_child_that_says_nothing_is_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(process, "MOST_SILENT_S", 1.0)
    monkeypatch.setattr("tests.fuzz.target.MOST_WAITING_S", 600)
    tally = read_in_child(Target("silent", "test", st.just(1), _wait), 1, 1)
    assert dict(tally.counts) == {"hang": 1}
