"""Who may say what about an incident, what follows from it, and that to stop needs nothing but a folder."""

import json
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.serialization import Encoding

from fedvoxel.config import parse_config
from fedvoxel.errors import ConfigError, ConsortiumError, JobError, LedgerError
from fedvoxel.governance.incidents.incident_log import IncidentLog, standing
from fedvoxel.governance.incidents.kept_out import kept_out
from fedvoxel.governance.incidents.statement import IncidentStatement, new_incident
from fedvoxel.governance.incidents.switches import QUARANTINED, check_not_halted, is_halted, quarantined
from fedvoxel.governance.kit import Kit, open_kit
from fedvoxel.governance.shut_out import REVOKED
from fedvoxel.records.atomic import write_json
from fedvoxel.records.audit import AuditLog
from fedvoxel.records.identity import Identity
from tests.approval_kits import NOW, Hospital
from tests.export.throwaway_root import DAY

ADMIN, IT, LEAD, MEMBER = "admin@x.example", "it@hospital-a.example", "lead@hospital-a.example", "m@hospital-a.example"
NAME = "20261130-3fa9c1"
SERVICE = {"target": "localhost:1", "scheme": "grpc"}


class Place(Hospital):
    """Is a hospital's site and the consortium's server, with people of both."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        server = self.root.issue("server.example", None, NOW - DAY, NOW + 30 * DAY, ["a", "b"], organisation="x")
        self._write("server.example", server, "fed_server.json", {"servers": [{"name": "small", "service": SERVICE}]})
        for name in ("client.crt", "client.key"):
            (folder / "server.example/startup" / name).rename(
                folder / "server.example/startup" / name.replace("client", "server")
            )
        (folder / "server.example/local").mkdir()
        write_json(self.server.state / "certificates/seen.json", {"serials": {"hospital-a": "1", "hospital-b": "2"}})

    @property
    def server(self) -> Kit:
        return open_kit(self.folder / "server.example")

    def who(self, name: str) -> Identity:
        """Returns one of the people."""
        roles = {ADMIN: ("project_admin", "x"), IT: ("org_admin", "hospital_a"), LEAD: ("lead", "hospital_a")}
        role, organisation = roles.get(name, ("member", "hospital_a"))
        return self.person(name, organisation, role=role)


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path)


def say(kit: Kit, who: Identity, word: str, **values: Any) -> None:
    declared = {"kind": "intrusion", "severity": "high"} if word == "declared" else {}
    said = {"incident": NAME, "keeper": kit.name, "word": word, "text": "a key was stolen", **declared, **values}
    IncidentLog(kit).say(who, IncidentStatement.model_validate(said), NOW + timedelta(seconds=30))


def read(kit: Kit) -> tuple[Any, ...]:
    return IncidentLog(kit).read(NOW + timedelta(minutes=1))


# ------------------------------------------------------------------ who may


@pytest.mark.parametrize("name", [ADMIN, IT, LEAD])
def test_people_with_a_role_declare_at_the_server(name: str, place: Place) -> None:
    say(place.server, place.who(name), "declared")
    (incident,) = read(place.server)
    assert (incident.name, incident.severity, incident.is_open) == (NAME, "high", True)
    assert incident.said[0].by.startswith(name) and incident.said[0].counts


def test_a_member_does_not(place: Place) -> None:
    with pytest.raises(ConsortiumError, match="lead, org_admin, project_admin"):
        say(place.server, place.who(MEMBER), "declared")
    assert not read(place.server) and not (place.server.state / "audit").exists()


def test_a_site_does_not(place: Place) -> None:
    site = place.root.issue("hospital-b", None, NOW - DAY, NOW + 30 * DAY, organisation="hospital_b")
    with pytest.raises(ConsortiumError, match="a person does"):
        say(place.server, site, "declared")


def test_at_a_hospital_its_own_people_speak(place: Place) -> None:
    with pytest.raises(ConsortiumError, match="people of hospital_a speak there"):
        say(place.kit, place.who(ADMIN), "declared")
    say(place.kit, place.who(LEAD), "declared")
    with pytest.raises(ConsortiumError, match="an org_admin stops jobs here"):
        say(place.kit, place.who(LEAD), "halted")
    assert not is_halted(place.kit.state)
    say(place.kit, place.who(IT), "halted")
    assert is_halted(place.kit.state)


@pytest.mark.parametrize(("word", "site"), [("halted", ""), ("quarantined", "hospital-b")])
def test_at_the_server_the_projects_administrator_alone_has_the_switches(word: str, site: str, place: Place) -> None:
    say(place.server, place.who(LEAD), "declared")
    for name in (LEAD, IT):
        with pytest.raises(ConsortiumError, match="project_admin"):
            say(place.server, place.who(name), word, site=site)
    assert not is_halted(place.server.state) and not quarantined(place.server.state)


def test_a_revoked_persons_word_does_not_count(place: Place) -> None:
    it = place.who(IT)
    place.revoke(it)
    with pytest.raises(ConsortiumError, match="does not count here"):
        say(place.kit, it, "declared")


# ------------------------------------------------------------------ what follows


def test_jobs_stop_until_every_incident_that_stopped_them_lets_them_run(place: Place) -> None:
    it, other = place.who(IT), "20261130-000001"
    for name in (NAME, other):
        say(place.kit, it, "declared", incident=name)
        say(place.kit, it, "halted", incident=name)
    with pytest.raises(JobError, match="stopped here for an incident"):
        check_not_halted(place.kit.state)
    say(place.kit, it, "lifted")
    assert is_halted(place.kit.state) and standing(place.kit, read(place.kit))["as_recorded"]
    say(place.kit, it, "lifted", incident=other)
    check_not_halted(place.kit.state)
    tasks = [event.task for _, event in AuditLog(place.kit.state).read()]
    assert tasks == ["incident declare", "incident halt"] * 2 + ["incident lift"] * 2


def test_a_site_is_kept_out_until_every_incident_that_keeps_it_out_lets_it_in(place: Place) -> None:
    admin, other = place.who(ADMIN), "20261130-000001"
    for name in (NAME, other):
        say(place.server, admin, "declared", incident=name)
        say(place.server, admin, "quarantined", incident=name, site="hospital-b")
    write_json(place.server.state / "certificates/shut_out.json", ["hospital-c"])
    assert kept_out(place.server.state) == {"hospital-b": QUARANTINED, "hospital-c": REVOKED}
    say(place.server, admin, "released", site="hospital-b")
    assert quarantined(place.server.state) == {"hospital-b"}
    say(place.server, admin, "released", incident=other, site="hospital-b")
    assert not quarantined(place.server.state)
    with pytest.raises(JobError, match="does not keep out hospital-b"):
        say(place.server, admin, "released", site="hospital-b")


def test_a_site_that_nobody_knows_cannot_be_kept_out(place: Place) -> None:
    say(place.server, place.who(ADMIN), "declared")
    with pytest.raises(JobError, match="no site called hospital-x"):
        say(place.server, place.who(ADMIN), "quarantined", site="hospital-x")


def test_an_incident_is_closed_once_it_holds_nothing_and_then_nothing_is_added(place: Place) -> None:
    it = place.who(IT)
    say(place.kit, it, "declared")
    say(place.kit, it, "halted")
    with pytest.raises(JobError, match="all jobs are stopped"):
        say(place.kit, it, "closed")
    say(place.kit, it, "lifted")
    say(place.kit, it, "noted", severity="low", text="the laptop was found")
    say(place.kit, it, "closed")
    (incident,) = read(place.kit)
    assert (incident.is_open, incident.severity, len(incident.said)) == (False, "low", 5)
    with pytest.raises(JobError, match="that incident is over"):
        say(place.kit, it, "noted")


def test_to_stop_under_a_wrong_name_stops_all_the_same(place: Place) -> None:
    """Whoever mistypes it in an emergency must not learn afterwards that nothing was stopped."""
    with pytest.raises(JobError, match="no incident of that name"):
        say(place.kit, place.who(IT), "halted")
    assert is_halted(place.kit.state)
    say(place.kit, place.who(IT), "declared")
    with pytest.raises(JobError, match="declared already"):
        say(place.kit, place.who(IT), "declared")
    say(place.kit, place.who(IT), "lifted")
    assert not is_halted(place.kit.state)


@pytest.mark.parametrize("trouble", ["expired", "list out of date"])
def test_neither_an_ended_certificate_nor_an_old_list_keeps_the_right_person_from_stopping(
    trouble: str, place: Place
) -> None:
    who = {IT: ("org_admin", "hospital_a"), LEAD: ("lead", "hospital_a"), ADMIN: ("project_admin", "x")}
    ends = NOW - DAY / 2 if trouble == "expired" else NOW + 30 * DAY
    people = {
        name: place.person(name, organisation, role=role, begins=NOW - 2 * DAY, ends=ends)
        for name, (role, organisation) in who.items()
    }
    if trouble != "expired":
        crl = place.root.revocations({}, NOW - 3 * DAY, NOW - 2 * DAY)
        (place.kit.startup / "crl.pem").write_bytes(crl.public_bytes(Encoding.PEM))
    for name in (LEAD, ADMIN):
        with pytest.raises(ConsortiumError):
            IncidentLog(place.kit).stop(people[name], NOW)
    assert not is_halted(place.kit.state)
    IncidentLog(place.kit).stop(people[IT], NOW)
    assert is_halted(place.kit.state)


def test_a_revoked_person_and_a_stranger_stop_nothing(place: Place) -> None:
    it = place.who(IT)
    place.revoke(it)
    stranger = Place(place.folder / "other").who(IT)
    for one in (it, stranger):
        with pytest.raises(ConsortiumError):
            IncidentLog(place.kit).stop(one, NOW)
    assert not is_halted(place.kit.state)


# ------------------------------------------------------------------ what fails


def test_jobs_stop_also_where_the_record_is_damaged(place: Place) -> None:
    it = place.who(IT)
    say(place.kit, it, "declared")
    assert not standing(place.kit, read(place.kit))["halted"]
    record = place.kit.state / "incidents/incidents.jsonl"
    record.write_text(record.read_text().replace("stolen", "st0len"))
    with pytest.raises(LedgerError):
        say(place.kit, it, "halted")
    assert is_halted(place.kit.state)


def test_jobs_stop_before_anything_is_written(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: Any) -> None:
        raise LedgerError("no space left")

    it = place.who(IT)
    say(place.kit, it, "declared")
    monkeypatch.setattr(AuditLog, "record", full)
    with pytest.raises(LedgerError):
        say(place.kit, it, "halted")
    assert is_halted(place.kit.state)
    monkeypatch.undo()
    assert not standing(place.kit, read(place.kit))["as_recorded"], "the record does not have it"


def test_a_switch_that_cannot_be_looked_at_is_on(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(_: Path) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "lstat", refused)
    assert is_halted(place.kit.state)


@pytest.mark.parametrize("content", ["", "{}", "[1]", '["a"', "null"])
def test_a_damaged_list_of_quarantine_stops_a_job(content: str, place: Place) -> None:
    (place.server.state / "quarantined.json").write_text(content)
    with pytest.raises(JobError, match="nobody can tell"):
        quarantined(place.server.state)
    assert standing(place.server, ())["quarantined"] is None
    say(place.server, place.who(ADMIN), "declared")
    say(place.server, place.who(ADMIN), "quarantined", site="hospital-b")
    assert quarantined(place.server.state) == {"hospital-b"}


def test_a_statement_that_nobody_signed_makes_the_record_untrusted(place: Place) -> None:
    say(place.kit, place.who(IT), "declared")
    log = IncidentLog(place.kit)
    body = json.loads((place.kit.state / "incidents/incidents.jsonl").read_text())["body"]
    log._chain.append({**body, "statement": {**body["statement"], "text": "all is well"}})
    with pytest.raises(LedgerError, match="line 2 of the record of incidents does not hold"):
        read(place.kit)


@pytest.mark.parametrize("lines", [(1, 1), (1, 0), (0, 0)])
def test_nobody_repeats_what_a_person_has_said(lines: tuple[int, int], place: Place) -> None:
    it = place.who(IT)
    for word in ("declared", "halted"):
        say(place.kit, it, word)
    path = place.kit.state / "incidents/incidents.jsonl"
    bodies = [json.loads(line)["body"] for line in path.read_text().splitlines()]
    for file in path.parent.glob("*.json*"):
        file.unlink()
    chain = IncidentLog(place.kit)._chain
    for index in lines:
        chain.append(bodies[index])
    with pytest.raises(LedgerError, match=r"another place|begins with its declaration"):
        read(place.kit)


def test_a_record_of_another_kit_is_none_of_this_one(place: Place) -> None:
    say(place.server, place.who(IT), "declared")
    for name in ("incidents.jsonl", "head.json"):
        (place.kit.state / "incidents").mkdir(parents=True, exist_ok=True)
        (place.kit.state / "incidents" / name).write_bytes((place.server.state / "incidents" / name).read_bytes())
    with pytest.raises(LedgerError, match=r"of the record of server\.example"):
        read(place.kit)


def test_what_was_said_under_a_root_that_counts_no_more_is_shown_as_that(place: Place) -> None:
    say(place.kit, place.who(IT), "declared")
    (place.kit.startup / "rootCA.pem").write_bytes(
        (Hospital(place.folder / "other").kit.startup / "rootCA.pem").read_bytes()
    )
    (incident,) = read(place.kit)
    assert not incident.said[0].counts


@pytest.mark.parametrize(
    "change",
    [
        {"kind": None},
        {"severity": None},
        {"word": "noted"},
        {"word": "halted", "kind": None},
        {"site": "hospital-b"},
        {"word": "quarantined", "kind": None, "severity": None},
        {"word": "quarantined", "kind": None, "severity": None, "site": "../x"},
        {"text": ""},
        {"text": "two\nlines"},
        {"incident": "x"},
        {"word": "over"},
    ],
)
def test_a_statement_says_what_its_word_needs_and_no_more(change: dict[str, Any]) -> None:
    said = {"incident": NAME, "keeper": "a", "word": "declared", "kind": "outage", "severity": "low", "text": "x"}
    IncidentStatement.model_validate(said)
    with pytest.raises(ConfigError):
        parse_config(IncidentStatement, said | change, "the statement")


def test_a_persons_kit_has_no_record(place: Place) -> None:
    with pytest.raises(ConsortiumError, match="kept with the server or a site"):
        IncidentLog(replace(place.kit, kind="person"))


def test_names_are_new() -> None:
    assert new_incident(NOW) != new_incident(NOW) and new_incident(NOW).startswith(f"{NOW:%Y%m%d}-")
