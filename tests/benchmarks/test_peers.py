"""The peers' benchmark: counting in namespaces, ratios, what the page says, and what it makes for FLARE and Flower."""

import sys
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest
import yaml
from cryptography import x509
from cryptography.hazmat.primitives import serialization

from benchmarks import ROOT
from benchmarks.peers.alone import run_alone, why_not
from benchmarks.peers.findings import finding
from benchmarks.peers.flower_kit import make_keys
from benchmarks.peers.machines import SERVER_NAME, write_project
from benchmarks.peers.report import markdown
from benchmarks.peers.setting import Answer, read_answer, write_answer
from benchmarks.peers.summary import Measured, summarise
from benchmarks.peers.systems import check_trained
from benchmarks.peers.usage import Sample, Usage
from fedvoxel.errors import JobError
from fedvoxel.flare.kit_making import child_environment
from fedvoxel.updates.weights_file import save_weights

PLAN = {"rounds": 3, "sites": 4, "model_bytes": 500_000}
needs_namespaces = pytest.mark.skipif(bool(why_not()), reason=why_not() or "-")


def run(system: str, repetition: int, model_s: float, **more: Any) -> Measured:
    values = {"model_s": model_s, "finished_s": model_s + 5, "line_bytes": 14e6, "inner_bytes": 2e6, "peak_bytes": 3e9}
    values |= {"cpu_s": 100.0, "others_cpu_s": 1.0, "load_before": 0.5, "dice": 0.84}
    return Measured(system, repetition, values | more)


# ------------------------------------------------------------------ counting


def test_bytes_are_interpolated_and_memory_is_that_of_the_asked_time() -> None:
    rows = [(0, 0, 0, 9), (10, 100, 40, 5), (20, 100, 80, 7), (30, 400, 80, 8)]
    usage = Usage([Sample(at, sent, line, 0, 0, memory) for at, sent, line, memory in rows])
    assert usage.used_between("sent_bytes", 5, 25) == 200
    assert usage.used_between("line_bytes", 5, 15) == 40
    assert usage.used_between("sent_bytes", -5, 99) == 400
    assert usage.peak_memory_between(5, 25) == 7
    assert Usage([]).used_between("sent_bytes", 0, 1) == Usage([]).peak_memory_between(0, 1) == 0


def alone(folder: Path, script: str, timeout_s: float = 60) -> Usage:
    environment = child_environment({"PYTHONPATH": f"{ROOT}:{ROOT / 'app_custom'}"})
    return run_alone([sys.executable, "-c", script], folder, environment, timeout_s)


@needs_namespaces
def test_what_crosses_a_hospitals_line_is_told_from_what_stays_inside(tmp_path: Path) -> None:
    usage = alone(
        tmp_path,
        """
import socket, subprocess, sys, time
from benchmarks.peers.lines import SERVER, Lines
from benchmarks.peers.machines import SERVER_NAME
def receive(server):
    connection, count = server.accept()[0], 0
    while content := connection.recv(1 << 16):
        count += len(content)
    return count
lines = Lines(["hospital-a", "hospital-b"])
server = socket.create_server(("0.0.0.0", 5000))
send = "import socket, sys; s = socket.create_connection((sys.argv[1], 5000)); s.sendall(bytes(int(sys.argv[2])))"
time.sleep(0.6)
with lines.at("hospital-b"):
    subprocess.Popen([sys.executable, "-c", send, SERVER_NAME, "3000000"])
assert receive(server) == 3_000_000
subprocess.Popen([sys.executable, "-c", send, "localhost", "1000000"])
assert receive(server) == 1_000_000
time.sleep(1.2)
""",
    )
    start, end = usage.samples[0].at, usage.samples[-1].at
    assert 3_000_000 < usage.used_between("line_bytes", start, end) < 3_300_000
    assert 1_000_000 < usage.used_between("sent_bytes", start, end) < 1_100_000
    assert usage.peak_memory_between(start, end) > 1_000_000


@needs_namespaces
def test_nothing_outlives_a_system_and_nothing_outside_can_be_reached(tmp_path: Path) -> None:
    alone(
        tmp_path,
        f"""
import socket, subprocess
subprocess.Popen(["sleep", "61.7"], start_new_session=True)
try:
    socket.create_connection(("192.0.2.1", 80), timeout=5)
except OSError as error:
    open({str(tmp_path / "reached")!r}, "w").write(str(error.errno))
""",
    )
    assert (tmp_path / "reached").read_text() == "101"  # network is unreachable
    assert not [one for one in psutil.process_iter(["cmdline"]) if one.info["cmdline"] == ["sleep", "61.7"]]


@needs_namespaces
def test_a_system_that_fails_or_hangs_is_a_failure_with_a_reason(tmp_path: Path) -> None:
    with pytest.raises(JobError, match=r"^ValueError: no model in file\.npz$"):
        alone(tmp_path, "raise ValueError('no model in /data/hospital/file.npz')")
    with pytest.raises(JobError, match="did not end within 1 s"):
        alone(tmp_path, "import time; time.sleep(60)", timeout_s=1)


def test_a_run_that_averaged_nothing_is_refused(tmp_path: Path) -> None:
    save_weights(tmp_path / "first.npz", {"a": np.zeros(3, np.float32), "b": np.ones(2, np.float32)})
    save_weights(tmp_path / "last.npz", {"a": np.zeros(3, np.float32), "b": np.full(2, 1.1, np.float32)})
    check_trained(tmp_path / "first.npz", tmp_path / "last.npz")
    with pytest.raises(JobError, match="no update was averaged"):
        check_trained(tmp_path / "first.npz", tmp_path / "first.npz")


# ------------------------------------------------------------------ what is made


def test_an_answer_comes_back_as_it_was_written(tmp_path: Path) -> None:
    write_answer(tmp_path / "answer.json", Answer(1.0, 2.5, 3.0))
    assert read_answer(tmp_path / "answer.json") == Answer(1.0, 2.5, 3.0)


@pytest.mark.parametrize("stock", [False, True])
def test_the_server_is_dialled_by_name_and_stock_kits_have_no_builder_of_ours(tmp_path: Path, stock: bool) -> None:
    described = yaml.safe_load(write_project(tmp_path, 4321, stock).read_text())
    (server,) = [one for one in described["participants"] if one["type"] == "server"]
    assert server == {"name": SERVER_NAME, "type": "server", "org": "consortium", "fed_learn_port": 4321}
    assert any("fedvoxel" in one["path"] for one in described["builders"]) is not stock


def test_flowers_certificate_is_signed_and_every_hospital_has_a_key(tmp_path: Path) -> None:
    make_keys(tmp_path, ["hospital-a"])
    authority, server = (
        x509.load_pem_x509_certificate((tmp_path / f"{name}.pem").read_bytes()) for name in ("ca", "server")
    )
    server.verify_directly_issued_by(authority)
    private = serialization.load_ssh_private_key((tmp_path / "hospital-a.key").read_bytes(), None)
    public = serialization.load_ssh_public_key((tmp_path / "hospital-a.pub").read_bytes())
    assert private.public_key() == public
    assert (tmp_path / "hospital-a.key").stat().st_mode & 0o77 == 0


# ------------------------------------------------------------------ what the page says


def test_ratios_are_within_a_repetition() -> None:
    runs = [run("ours", 0, 50), run("flower_deployment", 0, 100), run("ours", 1, 200), run("flower_deployment", 1, 200)]
    runs += [run("ours", 2, 50), run("flower_deployment", 2, 75)]
    row = summarise(runs)["flower_deployment"]
    assert row["model_s"] == 100
    assert row["ratios"]["model_s"] == 1.5
    assert summarise(runs)["ours"]["ratios"]["model_s"] == 1


def test_a_failed_run_spoils_no_other() -> None:
    runs = [run("ours", 0, 50), Measured("stock_deployment", 0, {}, "no kits"), run("flower_simulation", 0, 60)]
    rows = summarise(runs)
    assert rows["stock_deployment"] == {"runs": 0, "failed": ["no kits"]}
    assert rows["flower_simulation"]["ratios"]["model_s"] == 1.2
    page = markdown(runs, PLAN, {"cores": 2})
    assert "deployed stock FLARE did not finish" in page
    assert "- deployed stock FLARE failed: no kits" in page


def test_without_ours_there_is_no_ratio() -> None:
    runs = [Measured("ours", 0, {}, "no"), run("flower_simulation", 0, 60)]
    assert summarise(runs)["flower_simulation"]["ratios"]["model_s"] is None
    assert finding(summarise(runs)).startswith("FedVoxel did not finish")


def test_the_finding_says_what_is_slower_and_leaves_lines_to_those_that_have_some() -> None:
    runs = [run("ours", 0, 50), run("stock_simulation", 0, 40, line_bytes=0.0), run("stock_deployment", 0, 75)]
    words = finding(summarise(runs))
    assert (
        "Until the last model: stock FLARE's simulator 0.80 and deployed stock FLARE 1.50 of FedVoxel's time." in words
    )
    assert "On the hospitals' lines: deployed stock FLARE 1.00 of FedVoxel's bytes." in words
    assert "the same within 0.01" in words
    assert "differs: FedVoxel 0.8400 and deployed stock FLARE 0.5000" in finding(
        summarise([run("ours", 0, 50), run("stock_deployment", 0, 75, dice=0.5)])
    )


def test_the_page_says_how_quiet_the_machine_was_and_that_a_simulator_has_no_lines() -> None:
    runs = [run("ours", 0, 50), run("stock_simulation", 0, 40, line_bytes=0.0)]
    quiet = markdown(runs, PLAN, {"cores": 2})
    assert "The machine was quiet during all runs." in quiet
    assert "| stock FLARE's simulator | 1 | 40.0 | 0.80 | 45.0 | none | 2.0 |  | 3.00 | 1.00 | 100 | 0.8400 |" in quiet
    assert "weigh 12.0 MB" in quiet
    busy = markdown([run("ours", 0, 50, others_cpu_s=70.0)], PLAN, {"cores": 2})
    assert "**The machine was not quiet**: other programs used up to 1.3 of its" in busy
