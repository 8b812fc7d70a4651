"""A reactor that was let through an instant before is waited for; pynetdicom's own event does not."""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from fedvoxel.dicom.reactor_gate import ReactorGate
from tests.dicom.conftest import Site

SLOW_S = 0.005


class Reactor(threading.Thread):
    """Passes its gate and looks for messages, over and over; both take it a while, as on a busy machine."""

    def __init__(self, make: "Callable[[Reactor], threading.Event]") -> None:
        super().__init__(daemon=True)
        self.gate, self.is_reading, self.is_paused, self.ends = make(self), False, False, False

    def run(self) -> None:
        while not self.ends:
            self.is_paused = True
            self.gate.wait()
            self.is_reading = True
            time.sleep(SLOW_S)
            self.is_paused = False
            self.is_reading = False


def plain(_: Reactor) -> threading.Event:
    event = threading.Event()
    event.set()
    return event


@contextmanager
def running(make: "Callable[[Reactor], threading.Event]") -> Iterator[Reactor]:
    reactor = Reactor(make)
    reactor.start()
    try:
        yield reactor
    finally:
        reactor.ends = True
        reactor.gate.set()
        reactor.join(10)


def read_together(reactor: Reactor, times: int = 100) -> int:
    """How often the reactor still reads when the caller, who paused it as pynetdicom does, begins to."""
    together = 0
    for _ in range(times):
        reactor.gate.clear()
        while not reactor.is_paused:
            time.sleep(0.0001)
        together += reactor.is_reading
        reactor.gate.set()
        time.sleep(SLOW_S / 3)
    return together


def test_nobody_reads_beside_the_caller() -> None:
    with running(ReactorGate) as reactor:
        assert read_together(reactor) == 0


def test_with_a_plain_event_somebody_would() -> None:
    with running(plain) as reactor:
        assert read_together(reactor) > 0


def test_a_reactor_that_has_ended_keeps_nobody_waiting() -> None:
    with running(ReactorGate) as reactor:
        pass
    reactor.gate.clear()
    assert not reactor.gate.is_set() and not reactor.gate.wait(0.01)


def test_the_reactor_may_stop_itself() -> None:
    gate = ReactorGate(threading.current_thread())
    gate.clear()
    gate.set()
    assert gate.wait(1) and gate.is_set()


@pytest.mark.parametrize("door", ["get", "move"])
def test_every_question_of_one_association_is_answered(site: Site, door: str, head: list[Path]) -> None:
    site.orthanc.store(head[:2])
    with site.pacs(door).transport.searching() as search:
        assert {len(search.ask("STUDY", {"PatientID": ""}, 9)) for _ in range(60)} == {1}
