"""A PACS that hangs, breaks off, lies or floods over DIMSE: an error with its reason, and nothing is complete."""

import copy
import socket
import struct
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from pydicom import Dataset
from pydicom.uid import generate_uid

from fedvoxel.dicom.incoming import IncomingStore
from fedvoxel.dicom.pacs import Pacs, open_pacs
from fedvoxel.dicom.query import FoundSeries, SeriesQuery
from fedvoxel.errors import DicomError
from tests.dicom.bad_pacs import BadPacs, socket_server
from tests.dicom.conftest import PARSED
from tests.orthanc import CALLED, CALLING


@pytest.fixture
def bad(head: list[Path]) -> Iterator[BadPacs]:
    """A PACS with six instances."""
    with BadPacs(head[:6]).running() as pacs:
        yield pacs


def opened(port: int, **changed: Any) -> Pacs:
    titles = {"called_ae_title": CALLED, "calling_ae_title": CALLING, "plaintext": True}
    address = {"protocol": "dimse", "host": "127.0.0.1", "port": port, "timeout_s": 1}
    return open_pacs(PARSED.validate_python(address | titles | changed), Path())


def refusal(attempt: Callable[[], object]) -> str:
    with pytest.raises(DicomError) as refused:
        attempt()
    return refused.value.reason


def edited(**changes: str) -> Callable[[list[Dataset]], list[Dataset]]:
    """Changes the header of the third instance that is handed out."""

    def edit(held: list[Dataset]) -> list[Dataset]:
        sent = [copy.deepcopy(one) for one in held]
        for keyword, value in changes.items():
            setattr(sent[2 % len(sent)], keyword, value)
        return sent

    return edit


@pytest.fixture
def found(bad: BadPacs) -> FoundSeries:
    return opened(bad.port).find(SeriesQuery())[0]


@pytest.fixture
def store(tmp_path: Path) -> IncomingStore:
    return IncomingStore(tmp_path / "incoming")


def here(store: IncomingStore, found: FoundSeries) -> int:
    return len(list(store.series_folder(found).glob("*.dcm")))


def test_a_good_one_is_believed(bad: BadPacs, found: FoundSeries, store: IncomingStore) -> None:
    assert found.instances is None  # this PACS does not count
    opened(bad.port).check()
    opened(bad.port).fetch(found, store)
    assert store.is_complete(found) and bad.asked == [""]


def test_fewer_than_listed_is_asked_for_again_and_never_complete(
    bad: BadPacs, found: FoundSeries, store: IncomingStore
) -> None:
    lost = bad.held[3].SOPInstanceUID
    bad.hand_out = lambda held: [one for one in held if one.SOPInstanceUID != lost]
    assert refusal(lambda: opened(bad.port).fetch(found, store)) == "pacs_incomplete"
    assert bad.asked == ["", lost] and here(store, found) == 5 and not store.is_complete(found)
    bad.hand_out = lambda held: held
    opened(bad.port).fetch(found, store)
    assert bad.asked == ["", lost, lost] and store.is_complete(found)


@pytest.mark.parametrize("keyword", ["PatientID", "StudyInstanceUID", "SeriesInstanceUID"])
def test_an_instance_of_another_is_not_kept(
    bad: BadPacs, found: FoundSeries, store: IncomingStore, keyword: str
) -> None:
    bad.hand_out = edited(**{keyword: generate_uid()})
    assert refusal(lambda: opened(bad.port).fetch(found, store)) == "pacs_foreign_instance"
    assert here(store, found) == 2 and not store.is_complete(found)


def test_a_series_that_grows_is_not_complete(bad: BadPacs, found: FoundSeries, store: IncomingStore) -> None:
    bad.answers = lambda level, answers: answers[:5] if level == "IMAGE" else answers
    assert refusal(lambda: opened(bad.port).fetch(found, store)) == "pacs_incomplete"
    assert here(store, found) == 5 and not store.is_complete(found)


def test_a_count_that_is_not_met_is_not_complete(bad: BadPacs, store: IncomingStore) -> None:
    count = {"NumberOfSeriesRelatedInstances": "7"}
    bad.answers = lambda level, answers: [answer | count for answer in answers] if level == "SERIES" else answers
    found = opened(bad.port).find(SeriesQuery())[0]
    assert found.instances == 7
    assert refusal(lambda: opened(bad.port).fetch(found, store)) == "pacs_incomplete"
    assert not store.is_complete(found)


def test_two_instances_of_one_identity_that_differ(bad: BadPacs, found: FoundSeries, store: IncomingStore) -> None:
    bad.hand_out = lambda held: [*held[:1], *edited(SeriesDescription="changed")(held[:1])]
    assert refusal(lambda: opened(bad.port).fetch(found, store)) == "pacs_changed_instance"
    assert not store.is_complete(found)


def test_the_same_instance_for_ever(bad: BadPacs, found: FoundSeries, store: IncomingStore) -> None:
    bad.hand_out = lambda held: held[:1] * 1000
    assert refusal(lambda: opened(bad.port).fetch(found, store)) == "pacs_too_much"


def test_breaking_off_keeps_what_came(bad: BadPacs, found: FoundSeries, store: IncomingStore) -> None:
    bad.during = lambda event, number: event.assoc.abort() if number == 4 else None
    assert refusal(lambda: opened(bad.port).fetch(found, store)) == "pacs_cut_off"
    assert here(store, found) == 4 and not store.is_complete(found)
    bad.during = lambda event, number: None
    opened(bad.port).fetch(found, store)
    assert store.is_complete(found) and len(bad.asked) == 1 + 2


def test_falling_silent_ends_in_time(bad: BadPacs, found: FoundSeries, store: IncomingStore) -> None:
    go_on = threading.Event()
    bad.during = lambda event, number: None if number < 3 else [go_on.wait(8)].clear()
    began = time.monotonic()
    assert refusal(lambda: opened(bad.port).fetch(found, store)) == "pacs_timeout"
    go_on.set()
    assert time.monotonic() - began < 5 and here(store, found) == 3


def test_trickling_ends_in_time(bad: BadPacs, found: FoundSeries, store: IncomingStore) -> None:
    bad.during = lambda event, number: time.sleep(0.6)
    began = time.monotonic()
    assert refusal(lambda: opened(bad.port, series_timeout_s=2).fetch(found, store)) == "pacs_timeout"
    assert time.monotonic() - began < 5 and 0 < here(store, found) < 6


@pytest.mark.parametrize(
    ("status", "reason"),
    [(0xA702, "pacs_failed"), (0xC123, "pacs_failed"), (0xA900, "pacs_unsupported"), (0x0124, "pacs_rejected")],
)
def test_a_failure_is_one_whatever_came(
    bad: BadPacs, found: FoundSeries, store: IncomingStore, status: int, reason: str
) -> None:
    bad.status = status
    assert refusal(lambda: opened(bad.port).fetch(found, store)) == reason
    assert not store.is_complete(found)


@pytest.mark.parametrize("level", ["STUDY", "SERIES", "IMAGE"])
def test_answers_that_are_none(bad: BadPacs, found: FoundSeries, store: IncomingStore, level: str) -> None:
    own = {"STUDY": "StudyInstanceUID", "SERIES": "SeriesInstanceUID", "IMAGE": "SOPInstanceUID"}[level]
    pacs = opened(bad.port)
    for uid in ("", "../../etc", "1.2.3/../4", "1." * 32 + "1"):
        bad.answers = lambda asked, answers, uid=uid: (  # type: ignore[misc]
            [answer | {own: uid} for answer in answers] if asked == level else answers
        )
        attempt: Callable[[], object] = (
            (lambda: pacs.fetch(found, store)) if level == "IMAGE" else (lambda: pacs.find(SeriesQuery()))
        )
        assert refusal(attempt) == "pacs_garbled"


def test_answers_about_another_series(bad: BadPacs, found: FoundSeries, store: IncomingStore) -> None:
    bad.answers = lambda level, answers: [answer | {"StudyInstanceUID": "1.2.3"} for answer in answers]
    assert refusal(lambda: opened(bad.port).fetch(found, store)) == "pacs_garbled"


def test_answers_that_nobody_asked_for_are_left_out(bad: BadPacs) -> None:
    """Some PACS ignore the keys that they do not know; this one ignores all of them."""
    pacs = opened(bad.port)
    for key, value in {"PatientID": "NOBODY", "StudyDate": "19000101", "Modality": ["CT"]}.items():
        assert pacs.find(SeriesQuery.model_validate({key: value})) == ()


def test_answers_without_end(bad: BadPacs) -> None:
    bad.answers = lambda level, answers: [answers[0] | {"StudyInstanceUID": f"1.2.{n}"} for n in range(500)]
    assert refusal(lambda: opened(bad.port, limits={"series": 20}).find(SeriesQuery())) == "pacs_too_much"


def silent(caller: socket.socket) -> None:
    while caller.recv(2**12):
        pass


def garbage(caller: socket.socket) -> None:
    caller.recv(2**12)
    caller.sendall(b"SSH-2.0-nothing\r\n" * 50)


def closed(caller: socket.socket) -> None:
    caller.close()


def half(caller: socket.socket) -> None:
    """Begins an A-ASSOCIATE-AC, and does not go on."""
    caller.recv(2**12)
    caller.sendall(struct.pack(">BBL", 2, 0, 500) + b"\x00\x01")
    silent(caller)


def enormous(caller: socket.socket) -> None:
    """Announces 4 GiB, and sends zeros as long as they are taken."""
    caller.recv(2**12)
    caller.sendall(struct.pack(">BBL", 2, 0, 2**32 - 1))
    while True:
        caller.sendall(bytes(2**16))


@pytest.mark.parametrize("behave", [silent, garbage, closed, half, enormous])
def test_what_is_no_pacs_is_told_so_in_time(behave: Callable[[socket.socket], None]) -> None:
    with socket_server(behave) as port:
        began = time.monotonic()
        reason = refusal(opened(port).check)
        assert time.monotonic() - began < 15
    assert reason in {"pacs_garbled", "pacs_timeout", "pacs_unreachable"}


def test_a_rejection_that_was_lost_is_asked_for_again() -> None:
    """A PACS that rejects and hangs up in one breath: its words may be overtaken by the end of the connection."""
    rejected = bytes([3, 0, 0, 0, 0, 4, 0, 1, 1, 7])
    calls = []

    def answer(connection: socket.socket) -> None:
        if connection.recv(2**16)[:1] != b"\x01":  # a look at the port, whether it speaks TLS
            return
        calls.append(connection)
        if len(calls) > 1:
            connection.sendall(rejected)

    with socket_server(answer) as port:
        assert refusal(opened(port).check) == "pacs_rejected"
    assert len(calls) == 2
