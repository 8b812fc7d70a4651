"""`fedvoxel monitor`: Prometheus' own reader takes what it serves; it ends when it is told to."""

import json
import re
import signal
import subprocess
import sys
from pathlib import Path
from urllib.request import urlopen

import pytest
from prometheus_client.parser import text_string_to_metric_families

from fedvoxel.cli.main import main
from tests.governance.test_incidents import IT, Place

Captured = pytest.CaptureFixture[str]


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path)


def test_metrics_are_served_until_it_is_told_to_end(place: Place) -> None:
    words = [sys.executable, "-m", "fedvoxel.cli.main", "monitor", str(place.server.folder), "--port", "0"]
    with subprocess.Popen(words, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout
            address = re.findall(r"http://127\.0\.0\.1:\d+/metrics", process.stdout.readline())[0]
            text = urlopen(address, timeout=20).read().decode()  # noqa: S310 - a fixed address of this machine
            process.send_signal(signal.SIGTERM)
            assert process.wait(20) == 0
        finally:
            process.kill()
    families = {family.name: family for family in text_string_to_metric_families(text)}
    assert families["fedvoxel_halted"].samples[0].value == 0 and families["fedvoxel_halted"].documentation
    assert {sample.labels["what"] for sample in families["fedvoxel_problem"].samples} >= {"audit", "incidents"}


def test_once_prints_the_same(place: Place, capsys: Captured) -> None:
    assert main(["monitor", str(place.kit.folder), "--once", "--json"]) == 0
    rows = json.loads(capsys.readouterr().out)["metrics"]
    assert {"metric": "halted", "value": 0.0} in rows
    assert main(["monitor", str(place.kit.folder), "--once"]) == 0
    assert "halted: 0\n" in capsys.readouterr().out


def test_a_port_that_is_taken_is_one_line(place: Place, capsys: Captured) -> None:
    import socket

    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        assert main(["monitor", str(place.kit.folder), "--port", str(taken.getsockname()[1])]) == 3
    assert "cannot listen on 127.0.0.1" in capsys.readouterr().err


def test_help_shows_an_example(place: Place, capsys: Captured) -> None:
    place.who(IT)
    assert main(["monitor", "--help"]) == 0
    assert "Example: fedvoxel monitor" in capsys.readouterr().out
