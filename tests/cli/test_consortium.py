"""`fedvoxel consortium`: kits for everyone, and a consortium that starts, stops and leaves nothing running."""

import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from fedvoxel.cli.main import main
from fedvoxel.errors import ConsortiumError
from fedvoxel.flare.consortium_processes import running_consortium, start_consortium, stop_consortium
from fedvoxel.flare.kit_making import child_environment
from fedvoxel.governance.authority_store import PASSPHRASE_VARIABLE
from fedvoxel.governance.consortium import Consortium, load_consortium
from fedvoxel.governance.kit import open_kit
from tests.consortium_kits import PASSPHRASE, SERVER, consortium_file, free_port, small_consortium


@pytest.fixture(autouse=True)
def _passphrase(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(PASSPHRASE_VARIABLE, PASSPHRASE)


@pytest.fixture(scope="module")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A workspace that has been moved since its kits were made, as a clone may be."""
    folder = tmp_path_factory.mktemp("consortium")
    small_consortium(folder)
    moved = (folder / "workspace").rename(folder / "moved")
    yield moved
    assert stop_consortium(moved) == [], "a test left its consortium running"


def _processes_of(workspace: Path) -> list[psutil.Process]:
    """Returns every process whose command line names the workspace."""
    found = []
    for process in psutil.process_iter():
        try:
            if any(str(workspace) in word for word in process.cmdline()) and process.pid != os.getpid():
                found.append(process)
        except psutil.Error:
            continue
    return found


def test_create_says_whose_kit_is_where(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["consortium", "create", str(consortium_file(tmp_path)), "--workspace", str(tmp_path / "w")]
    assert main(words) == 0
    said = capsys.readouterr().out
    assert "hospital-a" in said
    assert "private key, made on this machine: for development" in said
    assert main([*words, "--json"]) == 0
    shown = json.loads(capsys.readouterr().out)
    assert list(shown["sites"]) == ["hospital-a", "hospital-b"]
    assert shown["people"]["scientist@consortium.example"]["role"] == "lead"
    assert (Path(shown["server"]["kit"]) / "startup" / "server.key").is_file()


def test_a_bad_file_makes_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = consortium_file(tmp_path)
    path.write_text(path.read_text().replace("role: lead", "role: boss"))
    assert main(["consortium", "create", str(path), "-w", str(tmp_path / "w")]) == 3
    assert len(capsys.readouterr().err.splitlines()) == 1
    assert not (tmp_path / "w").exists()


def test_a_workspace_without_kits_says_how_to_make_them(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for command in ("start", "stop"):
        assert main(["consortium", command, str(tmp_path)]) == 8
        assert "fedvoxel consortium create" in capsys.readouterr().err


def test_start_and_stop_from_other_processes(workspace: Path, capsys: pytest.CaptureFixture[str]) -> None:
    command = [sys.executable, "-m", "fedvoxel.cli.main", "consortium", "start", str(workspace), "--json"]
    started = subprocess.run(command, env=child_environment(), stdout=subprocess.PIPE, text=True, check=True)
    try:
        pids = json.loads(started.stdout)
        assert list(pids) == [SERVER, "hospital-a", "hospital-b"]
        assert {process.pid for process in _processes_of(workspace)} == set(pids.values())
        assert main(["consortium", "start", str(workspace)]) == 8
        assert "already running" in capsys.readouterr().err
        assert main(["site", "check", str(load_consortium(workspace).kit("hospital-a"))]) == 0
    finally:
        assert main(["consortium", "stop", str(workspace), "--json"]) == 0
    assert SERVER in capsys.readouterr().out
    assert _processes_of(workspace) == []
    assert not (workspace / "running.json").exists()


def test_a_site_may_go_and_come_back(workspace: Path) -> None:
    with running_consortium(workspace, ["hospital-a"]) as running:
        assert running.registered() == {"hospital-a"}
        running.start("hospital-b")
        running.wait_until_registered(["hospital-b"])
        running.stop("hospital-a", abruptly=True)
        assert running.alive() == {SERVER: True, "hospital-b": True}
        running.start("hospital-a")
        assert running.alive()["hospital-a"]
    assert _processes_of(workspace) == []


def test_only_loopback_is_listened_on(workspace: Path) -> None:
    with running_consortium(workspace, ["hospital-a"]) as running:
        for started in running.processes.values():
            process = started.process()
            assert process is not None
            listening = [c.laddr.ip for c in process.net_connections() if c.status == psutil.CONN_LISTEN]
            assert listening
            assert all(ip.removeprefix("::ffff:").startswith("127.") for ip in listening)


def test_jobs_are_kept_in_the_kit_wherever_it_lies(workspace: Path) -> None:
    consortium = load_consortium(workspace)
    with running_consortium(workspace, ["hospital-a"]):
        assert (consortium.server_kit / "state" / "jobs").is_dir()
        assert (consortium.server_kit / "state" / "snapshots").is_dir()


def test_a_port_in_use_is_one_line_and_starts_nothing(workspace: Path, capsys: pytest.CaptureFixture[str]) -> None:
    port = open_kit(load_consortium(workspace).server_kit).server.port
    with socket.create_server(("127.0.0.1", port)):
        assert main(["consortium", "start", str(workspace)]) == 8
    said = capsys.readouterr().err
    assert f"port {port} on 127.0.0.1 is in use" in said
    assert len(said.splitlines()) == 1
    assert _processes_of(workspace) == []


def test_a_refused_site_ends_the_start_and_is_named(tmp_path: Path) -> None:
    """A site with another consortium's certificate never registers: all are stopped, and the error says who."""
    ours = small_consortium(tmp_path)
    (tmp_path / "other").mkdir()
    theirs = small_consortium(tmp_path / "other")
    for name in ("client.crt", "client.key"):
        (ours.kit("hospital-b") / "startup" / name).write_bytes(
            (theirs.kit("hospital-b") / "startup" / name).read_bytes()
        )
    with pytest.raises(ConsortiumError, match="hospital-b did not register"):
        start_consortium(ours.workspace, timeout_s=6)
    assert _processes_of(ours.workspace) == []


def test_stale_files_of_a_power_cut_stop_nothing(workspace: Path) -> None:
    consortium: Consortium = load_consortium(workspace)
    for name in ("pid.fl", "daemon_pid.fl", "shutdown.fl"):
        (consortium.kit("hospital-a") / name).write_text(str(os.getpid()))
    (workspace / "running.json").write_text(
        json.dumps({"schema_version": 1, "processes": [{"name": "hospital-a", "pid": os.getpid(), "started": 1.0}]})
    )
    with running_consortium(workspace, ["hospital-a"]) as running:
        assert running.registered() == {"hospital-a"}
    assert not (consortium.kit("hospital-a") / "daemon_pid.fl").exists()


def test_an_interrupted_start_leaves_nothing(workspace: Path) -> None:
    def interrupt(started: int, everyone: int) -> None:
        if started == everyone:
            os.kill(os.getpid(), signal.SIGINT)

    with pytest.raises(KeyboardInterrupt):
        start_consortium(workspace, progress=interrupt)
    assert _processes_of(workspace) == []


def test_an_unknown_site_is_named(workspace: Path) -> None:
    with pytest.raises(ConsortiumError, match="hospital-z does not take part"):
        start_consortium(workspace, ["hospital-z"])
    assert _processes_of(workspace) == []


def test_the_port_option_moves_the_server(tmp_path: Path) -> None:
    port = free_port()
    words = ["consortium", "create", str(consortium_file(tmp_path)), "-w", str(tmp_path / "w"), "--port", str(port)]
    assert main(words) == 0
    assert open_kit(load_consortium(tmp_path / "w").server_kit).server.port == port
