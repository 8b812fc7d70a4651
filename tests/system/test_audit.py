"""The audit of a real run: both logs, signatures over real certificates, tampering found, a forked log noticed."""

import json
import shutil
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from fedvoxel.cli.main import main
from fedvoxel.export.trust import read_trust
from fedvoxel.flare.consortium_processes import running_consortium
from fedvoxel.flare.provisioning import create_consortium
from fedvoxel.governance.audit_report import LogReport, hold_together, log_file, verify_log
from fedvoxel.records.audit import AUDIT_FILE, AuditLog, events_of
from fedvoxel.records.audit_event import AuditEvent
from tests.consortium_kits import FILE
from tests.governance.audited_logs import rewrite

from .conftest import SCIENTIST, SystemUnderTest, free_port, job_variant, log_in, wait_until
from .tiny_cohorts import blob_rows, describe_cohort

pytestmark = pytest.mark.slow

HOSPITALS = ("hospital-a", "hospital-b")
OPERATOR = "admin@consortium.example"
ROUNDS = 2


@pytest.fixture(scope="module")
def audited(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SystemUnderTest]:
    """Two hospitals with a tiny cohort each."""
    folder = tmp_path_factory.mktemp("audited")
    (folder / "consortium.yml").write_text(FILE.format(port=free_port()))
    made = create_consortium(folder / "consortium.yml", folder / "workspace")
    for seed, site in enumerate(HOSPITALS):
        describe_cohort(made.kit(site), "hippocampus", blob_rows(folder, site, seed))
    with running_consortium(made.workspace) as running:
        session = log_in(made)
        try:
            yield SystemUnderTest(running, session, folder / "downloads")
        finally:
            session.close()


def events(system: SystemUnderTest, keeper: str, kind: str) -> list[AuditEvent]:
    return [event for _, event in AuditLog(system.kit(keeper) / "state").read() if event.kind == kind]


def server_name(system: SystemUnderTest) -> str:
    return system.running.consortium.record.server


def run_job(system: SystemUnderTest, folder: Path, run_key: str, rounds: int) -> None:
    job = job_variant(folder, run_key, rounds, rounds_section={"min_sites": 2, "evaluate": False})
    meta = json.loads((job / "meta.json").read_text())
    (job / "meta.json").write_text(json.dumps(meta | {"min_clients": 2}))
    outcome = system.run(job)
    assert (outcome.status, outcome.rounds_committed) == ("finished", rounds)


def reports(server: Path, sites: dict[str, Path], root: Path) -> list[LogReport]:
    trust, now = read_trust(root), datetime.now(UTC)
    made = [verify_log(log_file(place), trust, None, now) for place in (server, *sites.values())]
    hold_together(made[0], made[1:])
    return made


def test_a_run_is_audited_signed_and_held_together(audited: SystemUnderTest, tmp_path: Path) -> None:
    run_job(audited, tmp_path, "audited", ROUNDS)
    server = server_name(audited)
    sites = {site: audited.kit(site) for site in HOSPITALS}
    made = reports(audited.kit(server), sites, audited.kit(HOSPITALS[0]))
    assert [report.flaws for report in made] == [[], [], []]
    assert set(made[0].checked.signed_by) == set(HOSPITALS) and made[0].checked.not_signed == {}
    # A round that is over before the sites have answered is covered by the next signature.
    assert len(HOSPITALS) * 2 <= made[0].checked.signatures <= len(HOSPITALS) * (ROUNDS + 1)
    unsigned = [event for _, event in events_of(made[0].entries[made[0].checked.covered :]) if event.kind != "command"]
    assert len(unsigned) == len(HOSPITALS), "all but the last signatures is signed; the job was downloaded after"
    _check_server(audited, server)
    for site, kit in sites.items():
        _check_site(audited, site, kit)
    arguments = ["audit", "verify", str(audited.kit(server)), *(f"--against={kit}" for kit in sites.values())]
    assert main(arguments) == 0


def _check_server(system: SystemUnderTest, server: str) -> None:
    (job,) = events(system, server, "job")
    assert job.actor and (job.actor.name, job.actor.role) == (SCIENTIST, "lead") and set(job.hashes) == {"job"}
    assert [event.outcome for event in events(system, server, "run")] == ["started", "finished"]
    rounds = events(system, server, "round")
    assert [event.round for event in rounds] == list(range(ROUNDS))
    assert rounds[0].hashes["model"] == rounds[1].hashes["model_before"] != rounds[1].hashes["model"]
    assert events(system, server, "run")[-1].hashes["model"] == rounds[-1].hashes["model"]
    commands = [event for event in events(system, server, "command") if event.job_id == job.job_id]
    assert [(event.task, event.outcome) for event in commands] == [
        ("submit_job", "allowed"),
        ("download_job", "allowed"),
    ]
    assert all(event.actor and (event.actor.name, event.actor.role) == (SCIENTIST, "lead") for event in commands)
    taken = [(event.site, event.round, set(event.hashes)) for event in events(system, server, "answer")]
    assert taken == [(site, index, {"update"}) for index in range(ROUNDS) for site in HOSPITALS]


def _check_site(system: SystemUnderTest, site: str, kit: Path) -> None:
    taken, job = events(system, site, "job")
    assert taken.outcome == "done" and taken.actor and taken.actor.name == SCIENTIST
    assert set(taken.hashes) == {"content", "job", "policy"} and taken.hashes["job"] == job.hashes["job"]
    assert job.outcome == "done" and job.actor and job.actor.name == SCIENTIST
    assert set(job.hashes) == {"job", "policy", "cohort"} and job.cohort == "hippocampus"
    assert job.hashes["job"] == events(system, server_name(system), "job")[0].hashes["job"]
    trained = [event for event in events(system, site, "answer") if event.task == "train"]
    assert [(event.round, event.outcome) for event in trained] == [(index, "done") for index in range(ROUNDS)]
    assert all(event.size_bytes and {"answer", "policy"} == set(event.hashes) for event in trained)
    written = log_file(kit).read_text()
    assert str(kit) not in written and f"{site}-0" not in written, "no path and no case"


def test_a_refused_command_is_recorded_with_who_gave_it(audited: SystemUnderTest, tmp_path: Path) -> None:
    session = log_in(audited.running.consortium, OPERATOR)
    try:
        with pytest.raises(Exception, match=r"(?i)auth"):
            session.submit_job(str(job_variant(tmp_path, "not_allowed", 1)))
    finally:
        session.close()
    server = server_name(audited)

    def denied() -> list[AuditEvent]:
        return [event for event in events(audited, server, "command") if event.outcome == "refused"]

    (refused,) = wait_until(denied, 10, "the refusal is recorded")
    assert refused.outcome == "refused" and refused.task == "submit_job" and "not authorized" in refused.reason
    assert refused.actor and (refused.actor.name, refused.actor.role) == (OPERATOR, "project_admin")


@pytest.mark.parametrize("how", ["altered", "removed", "reordered", "truncated", "rewritten"])
def test_tampering_with_the_servers_log_is_found(audited: SystemUnderTest, tmp_path: Path, how: str) -> None:
    server, site = audited.kit(server_name(audited)), audited.kit(HOSPITALS[0])
    shutil.copytree(server / "state" / "audit", tmp_path / "audit")
    file = tmp_path / "audit" / AUDIT_FILE
    lines = file.read_bytes().splitlines(keepends=True)
    if how == "altered":
        file.write_bytes(file.read_bytes().replace(b'"outcome":"finished"', b'"outcome":"aborted_"'))
    elif how == "removed":
        file.write_bytes(b"".join(lines[:2] + lines[3:]))
    elif how == "reordered":
        file.write_bytes(b"".join([*lines[:2], lines[3], lines[2], *lines[4:]]))
    elif how == "truncated":
        rewrite(file, lambda bodies: bodies[:-5])
    else:
        rewrite(file, lambda bodies: [body | {"run_key": "another"} for body in bodies])
    root = str(site / "startup" / "rootCA.pem")
    held = ["--against", str(site)] if how == "truncated" else []
    assert main(["audit", "verify", str(file), "--root", root, *held]) == 12


def test_a_forked_log_is_noticed_by_the_sites_and_the_run_goes_on(audited: SystemUnderTest, tmp_path: Path) -> None:
    server = server_name(audited)
    changed = {"reason": "nothing happened here"}
    rewrite(log_file(audited.kit(server)), lambda bodies: [bodies[0] | changed, *bodies[1:]])
    run_job(audited, tmp_path, "after_the_fork", 1)
    said = [event for event in events(audited, server, "countersignature") if event.run_key == "after_the_fork"]
    assert {event.site for event in said} == set(HOSPITALS)
    assert all(event.outcome == "refused" and "does not extend" in event.reason for event in said)
    for site in HOSPITALS:
        kept = [event for event in events(audited, site, "countersignature") if event.run_key == "after_the_fork"]
        assert kept and all(event.outcome == "refused" for event in kept)
    assert main(["audit", "verify", str(audited.kit(server)), "--against", str(audited.kit(HOSPITALS[0]))]) == 12
