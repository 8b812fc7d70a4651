"""A server that dies is started again; one that was stopped is not, and one that dies again and again is given up."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from fedvoxel.cli.main import main
from fedvoxel.errors import ConsortiumError
from fedvoxel.flare import supervision
from fedvoxel.flare.supervision import LONG_LIFE_S, MOST_DEATHS, supervise
from fedvoxel.governance.kit import Kit, ServerAddress


@pytest.fixture
def kit(tmp_path: Path) -> Kit:
    return Kit(
        tmp_path, "server", "fl.consortium.example", "consortium", ServerAddress("localhost", 1, "grpc"), "fedvoxel"
    )


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[float]]:
    """The time, and each pause."""
    now = [0.0]
    monkeypatch.setattr(supervision.time, "monotonic", lambda: now[0])
    monkeypatch.setattr(supervision.time, "sleep", now.append)
    return now


def process(clock: list[float], *lives: tuple[float, int]) -> Callable[[Kit], int]:
    """Returns a process that lives so long each time, and ends with such a code."""
    left = iter(lives)

    def run(kit: Kit) -> int:
        lived, code = next(left)
        clock[0] += lived
        return code

    return run


def test_a_server_that_was_stopped_stays_stopped(kit: Kit, clock: list[float]) -> None:
    said: list[str] = []
    assert supervise(kit, said.append, process(clock, (9, 0))) == 0 and said == [] and clock[1:] == []


def test_a_server_that_dies_is_started_again_at_once_and_then_after_growing_pauses(
    kit: Kit, clock: list[float]
) -> None:
    said: list[str] = []
    assert supervise(kit, said.append, process(clock, (9, -9), (9, 1), (9, -11), (9, 0))) == 0
    assert clock[1:] == [0, 1, 2]
    assert said[0] == "the server's process died (signal 9); it is started again"
    assert said[1].endswith("(exit code 1); it is started again in 1 s")


def test_a_long_life_makes_a_death_the_first_one(kit: Kit, clock: list[float]) -> None:
    lives = [(9, 1)] * 5 + [(LONG_LIFE_S + 1, 1), (9, 1), (9, 0)]
    assert supervise(kit, lambda line: None, process(clock, *lives)) == 0
    assert clock[1:] == [0, 1, 2, 4, 8, 0, 1]


def test_a_server_that_cannot_live_is_given_up(kit: Kit, clock: list[float]) -> None:
    with pytest.raises(ConsortiumError, match=f"died {MOST_DEATHS} times in a row"):
        supervise(kit, lambda line: None, process(clock, *[(1, 1)] * 99))
    assert len(clock[1:]) == MOST_DEATHS - 1 and max(clock[1:]) == 60


def test_a_restart_that_a_person_asked_for_is_no_death(kit: Kit, clock: list[float]) -> None:
    asked = kit.folder / "restart.fl"
    run = process(clock, (9, 0), (9, 0))

    def asked_once(opened: Kit) -> int:
        asked.unlink() if asked.exists() else asked.touch()
        return run(opened)

    assert supervise(kit, lambda line: None, asked_once) == 0 and clock[1:] == []


def test_only_a_servers_kit_is_run_so(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["server", "run", str(tmp_path)]) != 0
    assert capsys.readouterr().err.startswith("error: ")
    assert main(["server", "run", "--help"]) == 0
    assert "Example: fedvoxel server run" in capsys.readouterr().out
