"""`fedvoxel privacy reconcile`, and `verify` of a server's kit: exit codes, and what is named."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from fedvoxel.cli.main import main
from tests.privacy.test_server_record import SITE, Both

Asked = Callable[..., tuple[int, str]]


@pytest.fixture
def both(tmp_path: Path) -> Both:
    made = Both(tmp_path)
    made.rounds(2)
    return made


@pytest.fixture
def asked(capsys: pytest.CaptureFixture[str]) -> Asked:
    def ask(*words: str | Path) -> tuple[int, str]:
        code = main(["privacy", *map(str, words)])
        said = capsys.readouterr()
        return code, said.out + said.err

    return ask


def test_a_site_that_adds_up(both: Both, asked: Asked, tmp_path: Path) -> None:
    code, said = asked("reconcile", tmp_path / "server", tmp_path / SITE)
    assert code == 0 and "2 received by the server, 2 sent" in said and "hospital-a: adds up" in said
    code, said = asked("reconcile", tmp_path / "server", tmp_path / SITE, "--json")
    (found,) = json.loads(said)["sites"]
    assert code == 0 and found["site"] == SITE and found["problems"] == []
    assert found["runs"] == [{"run_key": "run", "received": 2, "sent": 2}]


def test_a_site_that_does_not(both: Both, asked: Asked, tmp_path: Path) -> None:
    both.receive(2, "e" * 32)
    code, said = asked("reconcile", tmp_path / "server", tmp_path / SITE)
    assert code == 12 and "older copy" in said and "adds up" not in said


def test_a_servers_kit_is_verified(both: Both, asked: Asked, tmp_path: Path) -> None:
    code, said = asked("verify", tmp_path / "server")
    assert code == 0 and "4 entries, unbroken" in said and "run: received of hospital-a 2" in said
    assert "2 rounds" in said
    code, said = asked("verify", tmp_path / "server", "--json")
    (run,) = json.loads(said)["server"]["runs"]
    assert run == {"run_key": "run", "jobs": ["job"], "received": {SITE: 2}, "released_rounds": [0, 1]}
    assert asked("verify", tmp_path / "server", "--noted", "f" * 64)[0] == 12


def test_a_servers_kit_with_a_contradiction_or_a_changed_line_is_refused(
    both: Both, asked: Asked, tmp_path: Path
) -> None:
    both.receive(2, "e" * 32)
    both.receive(2, "e" * 32, site="hospital-b")
    code, said = asked("verify", tmp_path / "server")
    assert code == 12 and "from another site" in said
    path = both.at_server.path
    path.write_bytes(path.read_bytes().replace(b'"round":0', b'"round":7', 1))
    assert asked("verify", tmp_path / "server")[0] == 12


def test_a_folder_without_state_is_no_kit(asked: Asked, tmp_path: Path) -> None:
    code, said = asked("reconcile", tmp_path, tmp_path)
    assert code == 2 and "state/" in said
