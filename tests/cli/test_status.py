"""`fedvoxel status`: serves the page from a real kit in a process of its own, and refuses what it cannot serve."""

import json
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from fedvoxel.cli.main import main
from fedvoxel.ops.status.agreement import AGREEMENT_FILE
from tests.consortium_kits import small_consortium
from tests.ops.status.status_server import client_with, pair_of

Captured = pytest.CaptureFixture[str]
ADMIN = "admin@consortium.example"


@pytest.fixture(scope="module")
def kits(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return small_consortium(tmp_path_factory.mktemp("status")).folder


@pytest.fixture
def server(kits: Path) -> Path:
    return kits / "server.consortium.example"


def test_it_serves_until_it_is_told_to_end(kits: Path, server: Path) -> None:
    words = [sys.executable, "-m", "fedvoxel.cli.main", "status", str(server), "--port", "0", "--json"]
    with subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout
            said = json.loads(process.stdout.readline())
            port = int(said["url"].removesuffix("/").rpartition(":")[2])
            assert said == {
                "url": f"https://server.consortium.example:{port}/",
                "listens_on": "127.0.0.1",
                "others": "nothing",
            }
            address, root = f"https://localhost:{port}", server / "startup/rootCA.pem"
            with client_with(pair_of(kits / ADMIN / "startup"), root, address) as client:
                assert client.get("/status.json").json()["viewer"]["role"] == "project_admin"
                assert client.get("/").text.startswith("<!DOCTYPE html>")
        finally:
            process.send_signal(signal.SIGTERM)
            _, complaints = process.communicate(timeout=30)
    assert process.returncode in (0, -signal.SIGTERM) and "Traceback" not in complaints


def test_without_json_it_says_how_to_ask(server: Path) -> None:
    words = [sys.executable, "-m", "fedvoxel.cli.main", "status", str(server), "--port", "0"]
    with subprocess.Popen(words, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout
            assert "of other hospitals it shows: nothing" in process.stdout.readline()
            assert "curl --cert" in process.stdout.readline()
        finally:
            process.terminate()


@pytest.mark.parametrize("name", ["hospital-a", ADMIN])
def test_another_kit_than_the_servers_is_refused(name: str, kits: Path, capsys: Captured) -> None:
    assert main(["status", str(kits / name)]) == 8
    assert "the status page is made from the server's" in capsys.readouterr().err


def test_a_port_that_is_taken_is_one_line(server: Path, capsys: Captured) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        assert main(["status", str(server), "--port", str(taken.getsockname()[1])]) == 3
    assert "cannot listen on 127.0.0.1" in capsys.readouterr().err


def test_it_does_not_start_with_a_damaged_agreement_or_key(server: Path, tmp_path: Path, capsys: Captured) -> None:
    agreement, key = server / "local" / AGREEMENT_FILE, server / "startup/server.key"
    agreement.write_text('{"schema_version": 1, "others": "all"}')
    assert main(["status", str(server), "--port", "0"]) == 3
    assert "others" in capsys.readouterr().err
    agreement.unlink()
    kept = key.read_bytes()
    key.write_bytes((server.parent / "hospital-a/startup/client.key").read_bytes())
    try:
        assert main(["status", str(server), "--port", "0"]) == 8
        assert "certificate, key or root" in capsys.readouterr().err
    finally:
        key.write_bytes(kept)


@pytest.mark.parametrize("package", ["jinja2", "uvicorn", "starlette"])
def test_a_missing_package_names_the_extra(package: str, server: Path) -> None:
    code = (
        f"import sys; sys.modules[{package!r}] = None; from fedvoxel.cli.main import main; sys.exit(main(sys.argv[1:]))"
    )
    words = [sys.executable, "-c", code, "status", str(server), "--port", "0"]
    done = subprocess.run(words, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 3 and "pip install '.[status]'" in done.stderr


def test_help_shows_an_example(capsys: Captured) -> None:
    assert main(["status", "--help"]) == 0
    assert "Example: fedvoxel status" in capsys.readouterr().out
