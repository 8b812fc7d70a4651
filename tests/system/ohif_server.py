"""Serves OHIF's pages, with a PACS behind them under the same address, as a hospital's reverse proxy does.

On loopback only. The PACS's password stays here: the browser never has it. Nothing but reading is passed on.
"""

import http.client
import mimetypes
import re
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from tests.orthanc import PASSWORD, USER, Orthanc, basic_auth

from .networked import ROOT

WEB = "/dicom-web"
"""Where the PACS's DICOMweb services are, here as in Orthanc itself."""

_PASSED = ("Accept", "Host")
_TYPES = {".js": "text/javascript", ".mjs": "text/javascript", ".wasm": "application/wasm", ".css": "text/css"}


def configuration() -> str:
    """What takes the place of OHIF's app-config.js: docs/clinician.md shows it, and the tests use just that."""
    page = (ROOT / "docs" / "clinician.md").read_text(encoding="utf-8")
    (shown,) = re.findall(r"```js\n(.*?)```", page, re.DOTALL)
    return str(shown)


class OhifServer:
    """Is a web server for the viewer.

    Args:
        pages: OHIF's own files.
        orthanc: The PACS.
    """

    def __init__(self, pages: Path, orthanc: Orthanc) -> None:
        self._server = _Server(("127.0.0.1", 0), _Handler)
        self._server.pages, self._server.orthanc = pages.resolve(), orthanc
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True)

    @property
    def url(self) -> str:
        """Where the viewer is."""
        return f"http://127.0.0.1:{self._server.server_port}"

    def __enter__(self) -> "OhifServer":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    pages: Path
    orthanc: Orthanc

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Says nothing of a browser that breaks off."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: _Server

    def do_GET(self) -> None:
        path = self.path.split("?")[0]
        if path.startswith(f"{WEB}/"):
            self._pass_on()
        elif path == "/app-config.js":
            self._answer(200, "text/javascript", configuration().encode())
        else:
            asked = (self.server.pages / path.lstrip("/")).resolve()
            known = asked.is_file() and asked.is_relative_to(self.server.pages)
            found = asked if known else self.server.pages / "index.html"  # the viewer reads the address by itself
            kind = _TYPES.get(found.suffix) or mimetypes.guess_type(found.name)[0] or "application/octet-stream"
            self._answer(200, kind, found.read_bytes())

    def _pass_on(self) -> None:
        connection = http.client.HTTPConnection("127.0.0.1", self.server.orthanc.http_port, timeout=60)
        try:
            headers = {name: self.headers[name] for name in _PASSED if self.headers[name]}
            connection.request("GET", self.path, headers={**headers, "Authorization": basic_auth(USER, PASSWORD)})
            answer = connection.getresponse()
            self._answer(answer.status, answer.headers["Content-Type"] or "text/plain", answer.read())
        finally:
            connection.close()

    def _answer(self, status: int, kind: str, body: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:
        """Keeps silent."""
