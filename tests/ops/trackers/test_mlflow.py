"""A real MLflow server with SQLite: a run under way and at its end, a registry as the index of releases says."""

import http.server
import json
import socket
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from importlib.metadata import distributions
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fedvoxel.cli.main import main
from fedvoxel.federation.outcome import write_outcome
from fedvoxel.ops.trackers.content import Point
from fedvoxel.ops.trackers.run_record import find_record
from tests.cli.test_export import kit_of
from tests.export.package_sample import sample_package, sample_root
from tests.ops.trackers.command import SECRETS, files_with, track
from tests.ops.trackers.fake_tracker import SECRET, under_way
from tests.sample_run import sample_outcome

pytestmark = [
    pytest.mark.slow,
    # The extra has MLflow's client alone, whose name in Python is the same.
    pytest.mark.skipif(
        not {"mlflow"} & {one.name for one in distributions()},
        reason="needs MLflow's server: pip install mlflow, in an environment of its own (docs/trackers.md)",
    ),
]

_STARTS_WITHIN_S = 300.0
PREDICT = """
import sys, mlflow, numpy as np
mlflow.set_tracking_uri(sys.argv[1])
model = mlflow.pyfunc.load_model("models:/hippocampus@" + sys.argv[2])
logits = model.predict({"image": np.full((1, 1, 4, 4, 4), 2.0, np.float32)})["logits"]
try:
    model.predict({"image": np.zeros((1, 2, 4, 4, 4), np.float32)})
except mlflow.exceptions.MlflowException:
    print(logits.shape, set(logits.argmax(axis=1).flat))
"""


def _free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a tracking server."""
    folder, port = tmp_path_factory.mktemp("mlflow"), _free_port()
    command = [sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1", "--port", str(port), "--workers", "1"]
    command += [
        "--backend-store-uri",
        f"sqlite:///{folder}/mlflow.db",
        "--artifacts-destination",
        f"{folder}/artifacts",
    ]
    environment = {"MLFLOW_DISABLE_TELEMETRY": "true", "DO_NOT_TRACK": "true", "HOME": str(folder)}
    path = {"PATH": f"{Path(sys.executable).parent}:/usr/bin:/bin"}
    with (folder / "log").open("w") as log:
        process = subprocess.Popen(command, env=environment | path, cwd=folder, stdout=log, stderr=log)
        try:
            _wait_for(f"http://127.0.0.1:{port}/health", process)
            yield f"http://127.0.0.1:{port}"
        finally:
            process.terminate()
            process.wait(timeout=60)
    assert files_with(folder, SECRET) == [], "no server keeps what it is logged in with"


def _wait_for(url: str, process: subprocess.Popen[bytes]) -> None:
    until = time.monotonic() + _STARTS_WITHIN_S
    while time.monotonic() < until:
        assert process.poll() is None, "the server ended"
        try:
            with urllib.request.urlopen(url, timeout=5):  # noqa: S310 - our own address
                return
        except OSError:
            time.sleep(0.5)
    pytest.fail("the server did not start")


def _ask(server: str, what: str, body: dict[str, Any] | None = None, **query: Any) -> Any:
    url = f"{server}/api/2.0/mlflow/{what}?{urllib.parse.urlencode(query)}"
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(url, data, {"Content-Type": "application/json"})  # noqa: S310 - our own address
    with urllib.request.urlopen(request, timeout=60) as answer:  # noqa: S310
        return json.load(answer)


def _runs(server: str, experiment: str) -> list[dict[str, Any]]:
    found = _ask(server, "experiments/get-by-name", experiment_name=experiment)["experiment"]
    runs: list[dict[str, Any]] = _ask(server, "runs/search", {"experiment_ids": [found["experiment_id"]]}).get(
        "runs", []
    )
    return runs


def _history(server: str, run: dict[str, Any]) -> list[Point]:
    identity = run["info"]["run_id"]
    asked = [
        _ask(server, "metrics/get-history", run_id=identity, metric_key=one["key"])["metrics"]
        for one in run["data"]["metrics"]
    ]
    return sorted(Point(one["key"], int(one["step"]), one["value"]) for metrics in asked for one in metrics)


def _words(items: list[dict[str, str]]) -> dict[str, str]:
    return {item["key"]: item["value"] for item in items}


def test_a_run_under_way_and_at_its_end(server: str, tmp_path: Path) -> None:
    job, words = tmp_path / "job", ("--to", "mlflow", "--url", server, "--project", "consortium")
    write_outcome(under_way(5), job / "outcome.json")
    done = track(tmp_path / "home", job, *words)
    assert done.returncode == 0 and done.stderr == "", done.stderr
    (run,) = _runs(server, "consortium")
    assert run["info"]["status"] == "RUNNING" and {point.round for point in _history(server, run)} == set(range(5))

    write_outcome(sample_outcome(), job / "outcome.json")
    done = track(tmp_path / "home", job, *words, "--json")
    assert done.returncode == 0 and json.loads(done.stdout)["status"] == "finished", done.stderr
    (run,) = _runs(server, "consortium")
    sent = find_record(str(job)).read().content
    assert _history(server, run) == sorted(sent.points), "every value once, at its round"
    assert run["info"]["status"] == "FINISHED" and run["info"]["run_name"] == "hippocampus_fedavg"
    assert _words(run["data"]["params"]) == sent.params
    tags = _words(run["data"]["tags"])
    assert {name: tags[f"fedvoxel.{name}"] for name in sent.tags} == sent.tags
    assert tags["fedvoxel.privacy"] == "no formal guarantee"
    identity = run["info"]["run_id"]
    (file,) = _ask(server, "artifacts/list", run_id=identity)["files"]
    assert (file["path"], int(file["file_size"])) == ("outcome.json", len(sent.files["outcome.json"]))

    again = track(tmp_path / "home", job, *words)
    assert "MLflow has all of run" in again.stdout
    other = track(tmp_path / "other_home", job, *words)
    assert other.returncode == 0 and len(_runs(server, "consortium")) == 1, "a second note finds the same run"


class _Refusing(http.server.BaseHTTPRequestHandler):
    """Refuses every login, or answers never in time."""

    slow_s = 0.0

    def do_GET(self) -> None:
        self.server.headers.append(self.headers["Authorization"])  # type: ignore[attr-defined]
        time.sleep(self.slow_s)
        self.send_response(401)
        self.end_headers()
        self.wfile.write(f"no such token: {SECRET}".encode())

    do_POST = do_GET  # noqa: N815 - the library's name

    def log_message(self, format: str, *args: Any) -> None:
        """Says nothing."""


class _Slow(_Refusing):
    slow_s = 3.0


@contextmanager
def _bad_server(handler: type[_Refusing]) -> Iterator[tuple[str, list[str]]]:
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        server.headers = []  # type: ignore[attr-defined]
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}", server.headers  # type: ignore[attr-defined]
        server.shutdown()


def test_a_wrong_token_a_slow_and_a_dead_server_are_one_line_each(tmp_path: Path) -> None:
    job, home = tmp_path / "job", tmp_path / "home"
    write_outcome(under_way(2), job / "outcome.json")
    patience = {"MLFLOW_HTTP_REQUEST_TIMEOUT": "1", "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "0"}
    with _bad_server(_Refusing) as (url, headers):
        _fails(track(home, job, "--to", "mlflow", "--url", url, **patience), "refused the login or token (HTTP 401)")
        assert headers == [f"Bearer {SECRETS['MLFLOW_TRACKING_TOKEN']}"], "the token was given, by MLflow's client"
    with _bad_server(_Slow) as (url, _):
        _fails(track(home, job, "--to", "mlflow", "--url", url, **patience), "did not answer in time")
    dead = f"http://127.0.0.1:{_free_port()}"
    _fails(track(home, job, "--to", "mlflow", "--url", dead, **patience), "cannot be reached")
    assert files_with(home, SECRET) == []


def _fails(done: subprocess.CompletedProcess[str], said: str) -> None:
    assert done.returncode == 27 and said in done.stderr and "Nothing is lost" in done.stderr
    assert done.stderr.count("\n") == 1 and done.stdout == ""


def test_what_a_server_missed_while_it_was_down_comes_later(server: str, tmp_path: Path) -> None:
    """The line is cut in the middle: after the run, its parameters and its values, before its file and its end."""
    job, home = tmp_path / "job", tmp_path / "home"
    write_outcome(sample_outcome(), job / "outcome.json")
    with _cut_line(server, requests=6) as url:
        words = (job, "--to", "mlflow", "--url", url, "--project", "cut")
        first = track(home, *words, MLFLOW_HTTP_REQUEST_MAX_RETRIES="0", MLFLOW_HTTP_REQUEST_TIMEOUT="30")
        assert first.returncode == 27 and first.stderr.count("\n") == 1, first.stderr
        _Cut.left = 10**6
        second = track(home, *words)
        assert second.returncode == 0, second.stderr
    (run,) = _runs(server, "cut")
    assert _history(server, run) == sorted(find_record(str(job)).read().content.points)
    assert run["info"]["status"] == "FINISHED"


class _Cut(http.server.BaseHTTPRequestHandler):
    """Passes so many requests on to the server, and cuts the line at every later one."""

    left = 0
    behind = ""

    def do_GET(self) -> None:
        if _Cut.left <= 0:
            self.connection.close()
            return
        _Cut.left -= 1
        length = int(self.headers.get("Content-Length") or 0)
        body = self.rfile.read(length) if length else None
        kept = {name: self.headers[name] for name in ("Content-Type",) if self.headers[name]}
        request = urllib.request.Request(self.behind + self.path, body, kept, method=self.command)  # noqa: S310
        try:
            with urllib.request.urlopen(request, timeout=60) as answer:  # noqa: S310 - our own address
                self._answer(answer.status, answer.read())
        except urllib.error.HTTPError as error:
            self._answer(error.code, error.read())

    do_POST = do_PUT = do_GET  # noqa: N815 - the library's names

    def _answer(self, status: int, content: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, format: str, *args: Any) -> None:
        """Says nothing."""


@contextmanager
def _cut_line(behind: str, requests: int) -> Iterator[str]:
    _Cut.left, _Cut.behind = requests, behind
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), _Cut) as line:
        threading.Thread(target=line.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{line.server_port}"
        line.shutdown()


# ------------------------------------------------------------------ the registry


@pytest.fixture
def kit(tmp_path: Path) -> Path:
    now = datetime.now(UTC)
    lead = sample_root().issue("lead@b.example", "lead", begins=now - timedelta(1), ends=now + timedelta(1))
    return kit_of(tmp_path / "kits", lead)


def _versions(server: str) -> dict[str, dict[str, Any]]:
    found = _ask(server, "model-versions/search", filter="name = 'hippocampus'")["model_versions"]
    return {_words(one["tags"])["fedvoxel.version"]: one for one in found}


def _aliases(server: str) -> dict[str, str]:
    model = _ask(server, "registered-models/get", name="hippocampus")["registered_model"]
    return {one["alias"]: one["version"] for one in model.get("aliases", [])}


def test_the_registry_says_what_the_index_says(server: str, tmp_path: Path, kit: Path) -> None:
    index, seen = str(tmp_path / "index"), ["--seen", str(tmp_path / "seen.json")]
    signed = ["--sign", str(kit), "--reason", "3 seeds", *seen]
    first, second = (sample_package(tmp_path, version=version) for version in ("1.0.0", "1.1.0"))

    def register(path: Path) -> dict[str, Any]:
        words = ["register", path, "--url", server, "--releases", index, "--root", kit, "--project", "models", *seen]
        done = track(tmp_path / "home", *words, "--json")
        assert done.returncode == 0 and done.stderr == "", done.stderr
        said: dict[str, Any] = json.loads(done.stdout)
        return said

    assert main(["release", "publish", str(first.path), index, *signed]) == 0
    said = register(first.path)
    assert (said["model"], said["state"], said["new"]) == ("hippocampus", "candidate", True)
    assert _aliases(server) == {"candidate": said["version"]}
    version = _versions(server)["1.0.0"]
    assert version["description"] == "# Bright\n" and _words(version["tags"])["fedvoxel.package"] == first.sha256

    assert main(["release", "set", "released", index, "hippocampus", "1.0.0", *signed]) == 0
    assert main(["release", "publish", str(second.path), index, *signed]) == 0
    assert register(first.path)["new"] is False, "registered once"
    assert _aliases(server) == {"released": said["version"]}
    newer = register(second.path)["version"]
    assert _aliases(server) == {"released": said["version"], "candidate": newer}

    assert main(["release", "set", "superseded", index, "hippocampus", "1.0.0", *signed]) == 0
    assert main(["release", "set", "released", index, "hippocampus", "1.1.0", *signed]) == 0
    assert main(["release", "set", "withdrawn", index, "hippocampus", "1.0.0", *signed]) == 0
    register(second.path)
    assert _aliases(server) == {"withdrawn": said["version"], "released": newer}
    states = {name: _words(one["tags"])["fedvoxel.state"] for name, one in _versions(server).items()}
    assert states == {"1.0.0": "withdrawn", "1.1.0": "released"}
    _runs_as_registered(server, tmp_path)


def _runs_as_registered(server: str, folder: Path) -> None:
    """Loads the released version by its alias, and has its signature refuse a wrong shape."""
    environment = {"HOME": str(folder), "MLFLOW_DISABLE_TELEMETRY": "true", "PATH": "/usr/bin:/bin"}
    command = [sys.executable, "-c", PREDICT, server, "released"]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=400, check=False)
    assert done.returncode == 0, done.stderr
    brightest = int(np.argmax([-((2.0 - step) ** 2) for step in range(3)]))
    assert done.stdout.strip().startswith("(1, 3, 4, 4, 4)") and str(brightest) in done.stdout.split(")")[1]
