"""The consortium file: what is accepted, and that every mistake is one line that names it."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from fedvoxel.errors import ConfigError
from fedvoxel.governance.consortium_file import load_consortium_file, with_port
from tests.consortium_kits import consortium_file

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.parametrize(("name", "sites"), [("consortium", 4), ("consortium_spinal", 5), ("consortium_relay", 3)])
def test_the_shipped_files_are_good(name: str, sites: int) -> None:
    described = load_consortium_file(ROOT / "provisioning" / f"{name}.yml")
    assert len(described.sites) == sites
    assert described.server.bind_host == "127.0.0.1"
    assert {person.role for person in described.people} == {"project_admin", "org_admin", "lead", "member"}
    assert {person.org for person in described.people if person.role == "org_admin"} == {s.org for s in described.sites}


def _change(values: dict[str, Any], name: str, changes: dict[str, Any]) -> None:
    for participant in values["participants"]:
        if participant["name"] == name:
            participant.update(changes)


@pytest.mark.parametrize(
    ("name", "changes", "complaint"),
    [
        ("scientist@consortium.example", {"role": "boss"}, "role"),
        ("scientist@consortium.example", {"role": None}, "has a role"),
        ("scientist@consortium.example", {"name": "scientist"}, "e-mail"),
        ("hospital-a", {"role": "lead"}, "the server and the sites have none"),
        ("hospital-a", {"name": "hospital-b"}, "named twice"),
        ("hospital-a", {"name": "a@b.example"}, "is type: admin missing"),
        ("hospital-a", {"name": "../hospital"}, "name"),
        ("hospital-a", {"type": "server"}, "exactly one of type server, got 2"),
        ("hospital-a", {"bind_host": "127.0.0.1"}, "belong to the server"),
        ("hospital-a", {"org": "hospital a"}, "org"),
        ("hospital-a", {"connect_to": {"name": "relay-1"}}, "hospital-a connect_to a name that is no relay's"),
        ("hospital-a", {"connect_to": {"name": "server.consortium.example"}}, "no relay's"),
        ("hospital-a", {"type": "relay"}, "a relay has a listening_host"),
        ("hospital-a", {"listening_host": {"default_host": "localhost", "port": 8102}}, "and nobody else has"),
        ("admin@consortium.example", {"connect_to": {"name": "relay-1"}}, "admin connects to the server"),
        (
            "hospital-a",
            {"type": "relay", "listening_host": {"default_host": "a", "port": 1, "connection_security": "clear"}},
            "connection_security",
        ),
        (
            "hospital-a",
            {"type": "relay", "listening_host": {"default_host": "a", "port": 1, "conn_sec": "mtls"}},
            "conn_sec",
        ),
        (
            "server.consortium.example",
            {"type": "client", "default_host": None, "bind_host": None},
            "belong to the server",
        ),
        ("server.consortium.example", {"fed_learn_port": 70000}, "fed_learn_port"),
        ("server.consortium.example", {"fed_learn_port": "8002"}, "fed_learn_port"),
        ("server.consortium.example", {"fed_lern_port": 8002}, "fed_lern_port"),
        ("server.consortium.example", {"bind_host": "10.0.0.5"}, "firewall"),
    ],
)
def test_a_wrong_participant_is_one_line(tmp_path: Path, name: str, changes: dict[str, Any], complaint: str) -> None:
    path = consortium_file(tmp_path)
    values = yaml.safe_load(path.read_text())
    _change(values, name, changes)
    path.write_text(yaml.safe_dump(values))
    with pytest.raises(ConfigError, match=complaint) as caught:
        load_consortium_file(path)
    assert "\n" not in str(caught.value)


def test_kits_without_our_policy_are_refused(tmp_path: Path) -> None:
    path = consortium_file(tmp_path)
    values = yaml.safe_load(path.read_text())
    del values["builders"][1]
    path.write_text(yaml.safe_dump(values))
    with pytest.raises(ConfigError, match="SitePolicyBuilder"):
        load_consortium_file(path)


def test_without_hospitals_there_is_no_consortium(tmp_path: Path) -> None:
    path = consortium_file(tmp_path)
    values = yaml.safe_load(path.read_text())
    values["participants"] = [p for p in values["participants"] if p["type"] != "client"]
    path.write_text(yaml.safe_dump(values))
    with pytest.raises(ConfigError, match="at least one hospital"):
        load_consortium_file(path)


@pytest.mark.parametrize("content", ["", "- 1", "a: [", "name: x"])
def test_what_is_no_consortium_is_one_line(tmp_path: Path, content: str) -> None:
    path = tmp_path / "bad.yml"
    path.write_text(content)
    with pytest.raises(ConfigError) as caught:
        load_consortium_file(path)
    assert "\n" not in str(caught.value)
    with pytest.raises(ConfigError, match="is missing"):
        load_consortium_file(tmp_path / "none.yml")


def test_another_port_changes_the_server_alone(tmp_path: Path) -> None:
    described = load_consortium_file(consortium_file(tmp_path, 8002))
    moved = with_port(described, 9002)
    assert moved.server.fed_learn_port == 9002
    assert moved.sites == described.sites
    with pytest.raises(ConfigError, match="fed_learn_port"):
        with_port(described, 0)


@pytest.mark.parametrize("text", ["[" * 5000, "{a: " * 5000, "- " * 5000, "a: 2001-99-99"])
def test_a_file_without_end_or_with_an_impossible_date_is_one_line(tmp_path: Path, text: str) -> None:
    (tmp_path / "consortium.yml").write_text(text)
    with pytest.raises(ConfigError) as caught:
        load_consortium_file(tmp_path / "consortium.yml")
    assert "\n" not in str(caught.value)
