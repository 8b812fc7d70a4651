"""A real PACS for tests: Orthanc with accounts, AE titles and DICOMweb, on loopback only, and a TLS front for it.

What is missing to start one fails a test: in continuous integration nothing about the PACS may be skipped.
"""

import http.client
import json
import os
import shutil
import socket
import ssl
import subprocess
import threading
import time
from base64 import b64encode
from collections.abc import Iterable
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from tests.tls_files import Authority, Identity

PLUGIN = Path("/usr/share/orthanc/plugins/libOrthancDicomWeb.so")
USER, PASSWORD = "site", "only-for-tests"
CALLED, CALLING = "TESTPACS", "FEDVOXEL"
_START_S = 60


def free_port() -> int:
    """Returns a port of loopback that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def loopback_shim(folder: Path) -> Path:
    """Compiles what keeps a program's listening on loopback."""
    compiler, made = shutil.which("gcc"), folder / "loopback.so"
    if compiler is None:
        pytest.fail("gcc is missing: .ci/run installs it")
    source = Path(__file__).with_name("loopback.c")
    subprocess.run([compiler, "-shared", "-fPIC", "-O2", "-o", str(made), str(source), "-ldl"], check=True)
    return made


@dataclass
class Orthanc:
    """Is one Orthanc, with its data in `folder`.

    Attributes:
        folder: Its own folder.
        tls: Its certificate and who issues its callers'; DIMSE is in the clear without.
        storage_ports: Where callers listen for what it moves, by AE title.
        options: More of Orthanc's configuration.
    """

    folder: Path
    tls: tuple[Authority, Identity] | None = None
    storage_ports: dict[str, int] = field(default_factory=lambda: {CALLING: free_port()})
    options: dict[str, Any] = field(default_factory=dict)
    dimse_port: int = field(default_factory=free_port)
    http_port: int = field(default_factory=free_port)
    _process: "subprocess.Popen[bytes] | None" = None

    @property
    def url(self) -> str:
        """The root of its DICOMweb services, in the clear."""
        return f"http://127.0.0.1:{self.http_port}/dicom-web"

    @property
    def storage_port(self) -> int:
        """Where the usual caller listens."""
        return self.storage_ports[CALLING]

    @property
    def pid(self) -> int:
        """Its process, once started."""
        if self._process is None:
            raise RuntimeError("expected a started Orthanc")
        return self._process.pid

    def start(self) -> "Orthanc":
        """Starts it and waits until it answers on both ports."""
        program = shutil.which("Orthanc") or shutil.which("Orthanc", path="/usr/sbin")
        if program is None or not PLUGIN.exists():
            pytest.fail("Orthanc or its DICOMweb plugin is missing: .ci/run installs them")
        self.folder.mkdir(parents=True, exist_ok=True)
        settings = self.folder / "orthanc.json"
        settings.write_text(json.dumps(self._settings()))
        with (self.folder / "orthanc.log").open("wb") as log:
            environment = {**os.environ, "LD_PRELOAD": str(loopback_shim(self.folder))}
            self._process = subprocess.Popen([program, str(settings)], env=environment, stdout=log, stderr=log)
        self._wait()
        return self

    def stop(self) -> None:
        """Ends it."""
        if self._process is None:
            return
        self._process.terminate()
        try:
            self._process.wait(30)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._process = None

    def __enter__(self) -> "Orthanc":
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.stop()

    def request(self, method: str, path: str, body: bytes | None = None) -> bytes:
        """Calls Orthanc's own REST interface."""
        connection = http.client.HTTPConnection("127.0.0.1", self.http_port, timeout=60)
        try:
            connection.request(method, path, body, {"Authorization": basic_auth(USER, PASSWORD)})
            answer = connection.getresponse()
            content = answer.read()
        finally:
            connection.close()
        if answer.status >= 300:
            raise RuntimeError(f"Orthanc answers {method} with {answer.status}")
        return content

    def store(self, paths: Iterable[Path]) -> None:
        """Puts files into it, past the protocols that are tested."""
        for path in paths:
            self.request("POST", "/instances", path.read_bytes())

    def clear(self) -> None:
        """Removes every patient."""
        for patient in json.loads(self.request("GET", "/patients")):
            self.request("DELETE", f"/patients/{patient}")

    def _wait(self) -> None:
        deadline = time.monotonic() + _START_S
        while time.monotonic() < deadline:
            if self._process is None or self._process.poll() is not None:
                break
            try:
                self.request("GET", "/system")
                socket.create_connection(("127.0.0.1", self.dimse_port), timeout=1).close()
                return
            except OSError:
                time.sleep(0.1)
        self.stop()
        pytest.fail("Orthanc did not start:\n" + (self.folder / "orthanc.log").read_text()[-2000:])

    def _settings(self) -> dict[str, Any]:
        allowed = {f"Allow{what}": True for what in ("Echo", "Find", "Get", "Move", "Store")}
        callers = {
            title: {"AET": title, "Host": "127.0.0.1", "Port": port, **allowed, "UseDicomTls": self.tls is not None}
            for title, port in self.storage_ports.items()
        }
        return {
            "Name": "test",
            "StorageDirectory": str(self.folder / "storage"),
            "IndexDirectory": str(self.folder / "storage"),
            "Plugins": [str(PLUGIN)],
            "HttpPort": self.http_port,
            "RemoteAccessAllowed": False,
            "AuthenticationEnabled": True,
            "RegisteredUsers": {USER: PASSWORD},
            "DicomAet": CALLED,
            "DicomPort": self.dimse_port,
            "DicomCheckCalledAet": True,
            "DicomCheckModalityHost": True,
            "DicomAlwaysAllowEcho": False,
            "DicomAlwaysAllowFind": False,
            "DicomAlwaysAllowGet": False,
            "DicomAlwaysAllowStore": False,
            "DicomModalities": callers,
            "DicomWeb": {"Enable": True, "Root": "/dicom-web/", "EnableWado": False},
            **self._tls_settings(),
            **self.options,
        }

    def _tls_settings(self) -> dict[str, Any]:
        if self.tls is None:
            return {}
        authority, identity = self.tls
        return {
            "DicomTlsEnabled": True,
            "DicomTlsCertificate": str(identity.certificate),
            "DicomTlsPrivateKey": str(identity.key),
            "DicomTlsTrustedCertificates": str(authority.ca),
            "DicomTlsRemoteCertificateRequired": True,
        }


class TlsFront:
    """Speaks https before a server that speaks http on loopback, as a hospital's reverse proxy does.

    Args:
        port: The http port behind it.
        identity: Its certificate.
        callers: Who issues its callers' certificates; nobody needs one if None.
    """

    def __init__(self, port: int, identity: Identity, callers: Authority | None = None) -> None:
        self._server = _FrontServer(("127.0.0.1", 0), _FrontHandler)
        self._server.behind = port
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(identity.certificate, identity.key)
        if callers is not None:
            context.load_verify_locations(callers.ca)
            context.verify_mode = ssl.CERT_REQUIRED
        self._server.socket = context.wrap_socket(self._server.socket, server_side=True, do_handshake_on_connect=False)
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True)

    @property
    def url(self) -> str:
        """The root of the DICOMweb services behind it."""
        return f"https://127.0.0.1:{self._server.server_port}/dicom-web"

    def __enter__(self) -> "TlsFront":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()


class _FrontServer(ThreadingHTTPServer):
    daemon_threads = True
    behind = 0

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Says nothing of callers who break off: tests do that on purpose."""


class _FrontHandler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: _FrontServer

    def do_GET(self) -> None:
        length = int(self.headers.get("Content-Length", 0))
        body = self.rfile.read(length) if length else None
        connection = http.client.HTTPConnection("127.0.0.1", self.server.behind, timeout=60)
        try:
            passed = {name: value for name, value in self.headers.items() if name.lower() != "host"}
            connection.request(self.command, self.path, body, passed)
            self._answer(connection.getresponse())
        finally:
            connection.close()

    do_POST = do_GET  # noqa: N815

    def _answer(self, answer: http.client.HTTPResponse) -> None:
        self.send_response(answer.status)
        for name in ("Content-Type", "Content-Length"):
            if answer.headers[name]:
                self.send_header(name, answer.headers[name])
        chunked = not answer.headers["Content-Length"]
        if chunked:
            self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        while piece := answer.read(2**16):
            self.wfile.write(b"%x\r\n%s\r\n" % (len(piece), piece) if chunked else piece)
        if chunked:
            self.wfile.write(b"0\r\n\r\n")

    def log_message(self, format: str, *args: Any) -> None:
        """Keeps silent."""


def basic_auth(user: str, password: str) -> str:
    """Returns the header of HTTP basic authentication."""
    return "Basic " + b64encode(f"{user}:{password}".encode()).decode()
