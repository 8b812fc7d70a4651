"""PACS that misbehave on purpose: over DIMSE with pynetdicom's server, over DICOMweb, and as bare sockets."""

import json
import socket
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pydicom
from pydicom import Dataset
from pynetdicom import AE, evt
from pynetdicom.sop_class import MRImageStorage, Verification  # type: ignore[attr-defined]
from pynetdicom.sop_class import StudyRootQueryRetrieveInformationModelFind as FindModel  # type: ignore[attr-defined]
from pynetdicom.sop_class import StudyRootQueryRetrieveInformationModelGet as GetModel  # type: ignore[attr-defined]

from fedvoxel.dicom.quiet import quiet
from tests.orthanc import CALLED, free_port

HandedOut = Callable[[list[Dataset]], Sequence[Dataset]]
Answers = Callable[[str, list[dict[str, str]]], list[dict[str, str]]]
_KEYS = {
    "STUDY": ("PatientID", "StudyInstanceUID", "StudyDate"),
    "SERIES": ("StudyInstanceUID", "SeriesInstanceUID", "Modality"),
    "IMAGE": ("StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID", "SOPClassUID"),
}


def _same(held: list[Dataset]) -> Sequence[Dataset]:
    return held


def _as_asked(_: str, answers: list[dict[str, str]]) -> list[dict[str, str]]:
    return answers


class BadPacs:
    """Holds one series and hands it out over DIMSE as its tests want.

    Attributes:
        hand_out: Which instances it sends for those asked for.
        answers: What it answers to a question, for what would be right.
        status: The status that ends each C-GET.
        during: Is called with the event before each instance is sent.
    """

    def __init__(self, paths: Sequence[Path]) -> None:
        self.held = [pydicom.dcmread(path) for path in paths]
        self.hand_out: HandedOut = _same
        self.answers: Answers = _as_asked
        self.status = 0x0000
        self.during: Callable[[Any, int], None] = lambda event, number: None
        self.asked: list[str] = []
        self.port = free_port()

    @contextmanager
    def running(self) -> Iterator["BadPacs"]:
        """Listens as long as the block runs."""
        entity = AE(ae_title=CALLED)
        for model in (Verification, FindModel, GetModel):
            entity.add_supported_context(model)
        entity.add_supported_context(MRImageStorage, scu_role=True, scp_role=True)
        handlers = [(evt.EVT_C_FIND, self._find), (evt.EVT_C_GET, self._get)]
        with quiet():
            server = entity.start_server(("127.0.0.1", self.port), block=False, evt_handlers=handlers)
        try:
            yield self
        finally:
            if server is not None:
                server.shutdown()

    def _find(self, event: Any) -> Iterator[tuple[int, Dataset | None]]:
        level = event.identifier.QueryRetrieveLevel
        for answer in self.answers(level, listed(self.held, level)):
            identifier = Dataset()
            identifier.QueryRetrieveLevel = level
            for keyword, value in answer.items():
                setattr(identifier, keyword, value)
            yield 0xFF00, identifier

    def _get(self, event: Any) -> Iterator[Any]:
        uid = event.identifier.get("SOPInstanceUID", "")
        self.asked.append(uid)
        sent = list(self.hand_out([one for one in self.held if uid in ("", one.SOPInstanceUID)]))
        yield len(sent) + bool(self.status)
        for number, one in enumerate(sent):
            self.during(event, number)
            yield 0xFF00, one
        if self.status:
            yield self.status, Dataset()


def listed(held: list[Dataset], level: str) -> list[dict[str, str]]:
    """What a good PACS answers at a level, each answer once."""
    answers = [{key: str(one[key].value) for key in _KEYS[level]} for one in held]
    return [answer for number, answer in enumerate(answers) if answer not in answers[:number]]


def json_answers(held: list[Dataset], level: str) -> bytes:
    """The same in DICOM JSON."""
    found = [
        {
            f"{pydicom.datadict.tag_for_keyword(key):08X}": {"vr": "LO", "Value": [value]}
            for key, value in answer.items()
        }
        for answer in listed(held, level)
    ]
    return json.dumps(found).encode()


@contextmanager
def socket_server(behave: Callable[[socket.socket], None]) -> Iterator[int]:
    """Listens on a port of loopback, and gives each caller to `behave`."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(0.1)
        ended = threading.Event()
        callers: list[socket.socket] = []

        def serve() -> None:
            while not ended.is_set():
                try:
                    caller, _ = listener.accept()
                except TimeoutError:
                    continue
                caller.settimeout(20)
                callers.append(caller)
                threading.Thread(target=_quietly, args=(behave, caller), daemon=True).start()

        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield listener.getsockname()[1]
        finally:
            ended.set()
            thread.join()
            for caller in callers:
                caller.close()


def _quietly(behave: Callable[[socket.socket], None], caller: socket.socket) -> None:
    try:
        behave(caller)
    except OSError:
        return


Reply = Callable[[BaseHTTPRequestHandler, str], None]


@contextmanager
def http_server(reply: Reply) -> Iterator[str]:
    """Listens for http and has `reply` answer each call, given the handler and the path; yields the root's address."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.rfile.read(int(self.headers.get("Content-Length", 0)))
            reply(self, urlsplit(self.path).path)

        do_POST = do_GET  # noqa: N815

        def log_message(self, format: str, *args: Any) -> None:
            return

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    server.handle_error = lambda *_: None  # type: ignore[method-assign]
    thread = threading.Thread(target=server.serve_forever, args=(0.02,))
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
