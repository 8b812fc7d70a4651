"""A revoked site or person is out within seconds: in the middle of a job, on live connections, and after a restart.

What a revoked hospital has been part of is certified, and training begins again from before it.
"""

import json
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from fedvoxel.cli.main import main
from fedvoxel.flare.run_files import GLOBAL_MODEL_FILE
from fedvoxel.governance.authority_store import open_authority
from fedvoxel.governance.consortium import Consortium, authority_folder
from fedvoxel.governance.shut_out import REVOKED
from fedvoxel.records.atomic import write_bytes
from fedvoxel.records.audit import AuditLog

from .conftest import (
    PASSPHRASE,
    SITES,
    SystemUnderTest,
    job_variant,
    log_in,
    try_log_in,
    wait_until,
)
from .handshake import accepts

pytestmark = pytest.mark.slow

PROMISED_S = 30.0
LEAVER, OPERATOR = "hospital-c", "admin@consortium.example"


def revoke(made: Consortium, name: str) -> bytes:
    """Revokes all certificates of somebody, and returns the new list."""
    folder = authority_folder(made.workspace)
    authority = open_authority(folder, folder, PASSPHRASE)
    authority.revoke(authority.register.find(name, datetime.now(UTC)), "left", 90)
    return authority.list_file.read_bytes()


def put_into_force(made: Consortium, crl: bytes) -> None:
    """Puts a list into the server's kit."""
    write_bytes(made.server_kit / "startup" / "crl.pem", crl)


def said_of(made: Consortium, name: str) -> list[str]:
    """Returns what the server's audit log says of somebody's registration; of everybody's where the name is empty."""
    events = [event for _, event in AuditLog(made.server_kit / "state").read() if event.kind == "registration"]
    return [event.reason for event in events if name == (event.actor.name if event.actor else event.site)]


def test_a_site_revoked_in_the_middle_of_a_job_is_out_and_the_job_goes_on(
    own_system: SystemUnderTest, made: Consortium, tmp_path: Path
) -> None:
    assert own_system.run(job_of_those_who_stay(tmp_path, "early", None)).status == "finished"
    crl = revoke(made, LEAVER)
    job_id = own_system.submit(beginning_with(job_variant(tmp_path, "revoked", rounds=4, epochs=15), "early"))
    own_system.wait_until_training(job_id, 1, [LEAVER])
    put_into_force(made, crl)
    wait_until(lambda: LEAVER not in own_system.connected(), PROMISED_S, f"{LEAVER} is out")
    own_system.wait(job_id)
    outcome = own_system.outcome(job_id)
    assert (outcome.status, outcome.rounds_committed) == ("finished", 4)
    missed = {record.round: record.missing.get(LEAVER) for record in outcome.rounds}
    assert missed == {0: None, 1: REVOKED, 2: REVOKED, 3: REVOKED}
    assert all(set(SITES) - {LEAVER} == set(record.contributed) for record in outcome.rounds[1:])
    assert said_of(made, LEAVER)[0] == REVOKED


def beginning_with(job: Path, start_from: Any) -> Path:
    """Has a job begin with an earlier run's model."""
    path = job / "app/config/config_fed_server.json"
    document = json.loads(path.read_text())
    document["workflows"][0]["args"]["start_from"] = start_from
    path.write_text(json.dumps(document))
    return job


def job_of_those_who_stay(folder: Path, run_key: str, start_from: Any) -> Path:
    """Writes a job of one round without the hospital that leaves."""
    job = beginning_with(job_variant(folder, run_key, 1, rounds_section={"evaluate": False}), start_from)
    meta = json.loads((job / "meta.json").read_text())
    stay = [site for site in SITES if site != LEAVER]
    (job / "meta.json").write_text(json.dumps(meta | {"deploy_map": {"app": ["server", *stay]}}))
    return job


def test_its_withdrawal_is_certified_and_training_begins_again_from_before_it(
    own_system: SystemUnderTest, made: Consortium, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file, server = tmp_path / "withdrawal.json", made.server_kit
    withdraw = ["consortium", "withdraw", LEAVER, "--state", str(server), "-w", str(made.workspace)]
    assert main([*withdraw, "--sign", str(made.kit(OPERATOR)), "--out", str(file), "--json"]) == 0
    (run,) = json.loads(capsys.readouterr().out)["statement"]["runs"]
    assert (run["run_key"], run["part"], run["joined_round"]) == ("revoked", "trained", 0)
    (kept,) = run["excluding"]
    signed = set(kept["log"]["countersigned"])
    assert {"hospital-a", "hospital-b"} <= signed and LEAVER not in signed
    verify = ["consortium", "verify-withdrawal", str(file), "--root", str(made.kit("hospital-a")), "--model"]
    assert main([*verify, str(own_system.state("server", "early") / GLOBAL_MODEL_FILE)]) == 0, "it began with that one"
    assert main([*verify, str(own_system.state("server", "revoked") / GLOBAL_MODEL_FILE)]) == 17

    before = {"run_key": "revoked", "before_site": LEAVER}
    again = own_system.run(job_of_those_who_stay(tmp_path, "again", before))
    assert again.status == "finished" and again.start_from, again.reason
    assert (again.start_from.sha256, again.start_from.before_round) == (kept["sha256"], 0)
    assert set(again.rounds[0].contributed) == set(SITES) - {LEAVER}
    capsys.readouterr()
    assert main([*withdraw, "--json"]) == 0
    assert [one["run_key"] for one in json.loads(capsys.readouterr().out)["runs"]] == ["revoked"]


def test_it_stays_out_after_a_restart_of_the_server_and_of_the_site(
    own_system: SystemUnderTest, made: Consortium
) -> None:
    server = made.record.server
    own_system.session.close()
    own_system.running.stop(server, abruptly=True)
    own_system.running.stop(LEAVER, abruptly=True)
    own_system.running.start(server)
    own_system.running.start(LEAVER)
    stay = set(SITES) - {LEAVER}
    own_system.session = wait_until(lambda: try_log_in(made), 60, "the server is back")
    wait_until(lambda: stay <= own_system.connected(), 60, "the others are back")
    assert accepts(made.kit("hospital-a")) and not accepts(made.kit(LEAVER))
    assert own_system.connected() == stay


def test_a_revoked_persons_session_ends_and_the_person_cannot_log_in_again(
    own_system: SystemUnderTest, made: Consortium
) -> None:
    assert accepts(made.kit(OPERATOR))
    session = log_in(made, OPERATOR)
    try:
        assert session.get_system_info().client_info
        put_into_force(made, revoke(made, OPERATOR))
        wait_until(lambda: not _answers(session), PROMISED_S, "the operator is logged out")
    finally:
        with suppress(Exception):
            session.close()
    assert not accepts(made.kit(OPERATOR))
    assert REVOKED in said_of(made, OPERATOR)
    assert own_system.session.get_system_info().client_info, "others stay logged in"


def test_with_a_damaged_list_nobody_new_comes_in_and_nobody_comes_back(
    own_system: SystemUnderTest, made: Consortium
) -> None:
    good = (made.server_kit / "startup" / "crl.pem").read_bytes()
    put_into_force(made, good[:200])
    wait_until(lambda: said_of(made, ""), PROMISED_S, "the alarm")
    assert "nobody new is let in: expected the root's revocation list" in said_of(made, "")[-1]
    assert not accepts(made.kit(LEAVER))
    assert own_system.connected() == set(SITES) - {LEAVER}, "those who are in stay"
    assert try_log_in(made, "it@hospital-a.example") is None
    put_into_force(made, good)
    session = wait_until(lambda: try_log_in(made, "it@hospital-a.example"), PROMISED_S, "all is well again")
    session.close()


def _answers(session: Any) -> bool:
    try:
        return bool(session.get_system_info())
    except Exception:
        return False
