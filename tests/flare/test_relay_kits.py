"""The kits of a consortium with a relay: everybody's connection is mutual TLS, and a kit that was loosened is found."""

import json
from pathlib import Path

import pytest

from fedvoxel.cli.main import main
from fedvoxel.flare.kit_process import kit_command
from fedvoxel.governance.consortium import Consortium
from fedvoxel.governance.kit import open_kit
from fedvoxel.governance.relay_policy import check_relay
from tests.consortium_kits import SERVER, free_port, relayed_consortium, small_consortium


@pytest.fixture(scope="module")
def ports() -> tuple[int, int]:
    return free_port(), free_port()


@pytest.fixture
def consortium(tmp_path: Path, ports: tuple[int, int]) -> Consortium:
    return relayed_consortium(tmp_path, ports)


def test_sites_dial_the_relay_and_the_relay_the_server(consortium: Consortium, ports: tuple[int, int]) -> None:
    relay, site = open_kit(consortium.kit("relay-1")), open_kit(consortium.kit("hospital-a"))
    assert (relay.kind, relay.name, relay.server.port, relay.server.identity) == ("relay", "relay-1", ports[0], SERVER)
    assert (site.kind, site.server.port, site.server.identity) == ("site", ports[1], "relay-1")
    assert json.loads((site.local / "fedvoxel_site.json").read_text())["server_address"]["port"] == ports[1]
    command = " ".join(kit_command(relay))
    assert "relay.relay" in command and "fed_relay.json" in command and "secure_train=true" in command
    assert not (relay.local / "resources.json.default").exists(), "a relay runs no job"
    assert "NVFLARE_STREAMING" in (relay.local / "environment").read_text()
    assert '"${FEDVOXEL_PYTHON:-python3}"' in (relay.startup / "sub_start.sh").read_text()


LOOSENED = {
    "relay-1": ["startup/fed_relay.json", "local/comm_config.json"],
    "hospital-a": ["local/relay__resources.json"],
}


@pytest.mark.parametrize("name", LOOSENED)
def test_a_connection_without_mutual_tls_is_found(
    name: str, consortium: Consortium, capsys: pytest.CaptureFixture[str]
) -> None:
    kit = open_kit(consortium.kit(name))
    assert [finding.level for finding in check_relay(kit)] == ["ok"]
    for file in LOOSENED[name]:
        path = kit.folder / file
        good = path.read_text()
        for bad in (good.replace('"mtls"', '"clear"'), good.replace("connection_security", "conn_sec"), "[]", "{"):
            path.write_text(bad)
            assert [(found.level, file in found.message) for found in check_relay(kit)] == [("error", True)]
        path.write_text(good.replace('"mtls"', '"clear"'))
        assert main(["site", "start", str(kit.folder)]) == 9
        assert "mutual TLS" in capsys.readouterr().err
        path.write_text(good)


def test_without_a_relay_there_is_nothing_to_say(tmp_path: Path) -> None:
    small = small_consortium(tmp_path)
    assert [check_relay(open_kit(small.kit(name))) for name in (SERVER, "hospital-a")] == [[], []]
