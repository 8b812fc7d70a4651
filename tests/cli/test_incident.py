"""`fedvoxel incident`: from the declaration to the end, what it prints next, and its exit codes."""

import json
from pathlib import Path

import pytest

from fedvoxel.cli.main import main
from fedvoxel.errors import DiskFullError
from fedvoxel.governance.incidents.switches import halt, is_halted, lift, quarantined
from fedvoxel.records.audit import AuditLog
from tests.governance.test_incidents import ADMIN, IT, MEMBER, Place

Captured = pytest.CaptureFixture[str]


@pytest.fixture
def place(tmp_path: Path) -> Place:
    made = Place(tmp_path)
    for name in (ADMIN, IT, MEMBER):
        made.who(name)
    return made


def incident(place: Place, verb: str, *words: str, who: str = ADMIN, kit: str = "server.example") -> int:
    signed = ["--sign", str(place.kit_of(who)), "--text", "a key was stolen"]
    return main(["incident", verb, str(place.folder / kit), *words, *signed])


def declared(place: Place, capsys: Captured, *words: str, **where: str) -> str:
    assert incident(place, "declare", "--kind", "intrusion", "--severity", "high", "--json", *words, **where) == 0
    return str(json.loads(capsys.readouterr().out)["incident"])


def shown(place: Place, capsys: Captured, code: int = 0) -> dict[str, object]:
    capsys.readouterr()
    assert main(["incident", "show", str(place.folder / "server.example"), "--json"]) == code
    return dict(json.loads(capsys.readouterr().out))


def test_all_jobs_stop_with_the_declaration_and_run_again_later(place: Place, capsys: Captured) -> None:
    name = declared(place, capsys, "--halt")
    assert is_halted(place.server.state)
    assert incident(place, "close", name) == 10
    assert incident(place, "note", name, "--severity", "low") == 0
    assert incident(place, "lift", name) == 0 and "submitted again" in capsys.readouterr().out
    assert not is_halted(place.server.state)
    assert incident(place, "close", name) == 0
    told = shown(place, capsys)
    (only,) = told["incidents"]  # type: ignore[misc]
    assert (only["severity"], only["open"], only["halts"]) == ("low", False, False)
    assert [one["word"] for one in only["timeline"]] == ["declared", "halted", "noted", "lifted", "closed"]


def test_a_site_is_kept_out_and_let_in(place: Place, capsys: Captured) -> None:
    name = declared(place, capsys)
    assert incident(place, "quarantine", name, "hospital-b") == 0
    assert quarantined(place.server.state) == {"hospital-b"}
    assert f"incident release {place.folder / 'server.example'} {name} hospital-b" in capsys.readouterr().out
    assert shown(place, capsys)["quarantined"] == ["hospital-b"]
    assert incident(place, "release", name, "hospital-b") == 0 and not quarantined(place.server.state)


def test_a_hospital_stops_all_jobs_of_its_own(place: Place, capsys: Captured) -> None:
    name = declared(place, capsys, who=IT, kit="hospital-a")
    assert incident(place, "halt", name, who=IT, kit="hospital-a") == 0
    assert is_halted(place.kit.state) and not is_halted(place.server.state)


def test_who_has_not_the_role_is_told_who_has(place: Place, capsys: Captured) -> None:
    assert incident(place, "declare", "--kind", "outage", "--severity", "low", who=MEMBER) == 8
    assert "people with these roles do" in capsys.readouterr().err
    assert incident(place, "declare", "--kind", "outage", "--severity", "low", "--halt", who=IT) == 8
    assert "a project_admin stops jobs" in capsys.readouterr().err and not is_halted(place.server.state)


def test_jobs_stop_though_the_record_is_damaged_and_that_is_said(place: Place, capsys: Captured) -> None:
    name = declared(place, capsys)
    (place.server.state / "incidents" / "incidents.jsonl").write_text("[]\n")
    assert incident(place, "halt", name) == 12
    assert "All jobs are stopped here" in capsys.readouterr().err and is_halted(place.server.state)


def test_jobs_stop_with_the_declaration_though_nothing_can_be_written(
    place: Place, capsys: Captured, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise DiskFullError("the disk is full")

    monkeypatch.setattr(AuditLog, "record", full)
    assert incident(place, "declare", "--kind", "outage", "--severity", "low", "--halt") == DiskFullError.exit_code
    assert "All jobs are stopped here" in capsys.readouterr().err and is_halted(place.server.state)


def test_switches_that_somebody_set_by_hand_are_seen(place: Place, capsys: Captured) -> None:
    halt(place.server.state)
    assert shown(place, capsys, code=12)["as_recorded"] is False
    lift(place.server.state)
    assert shown(place, capsys)["as_recorded"] is True


def test_people_see_a_timeline(place: Place, capsys: Captured) -> None:
    assert main(["incident", "show", str(place.folder / "server.example")]) == 0
    assert "No incident" in capsys.readouterr().out
    name = declared(place, capsys, "--halt")
    assert main(["incident", "show", str(place.folder / "server.example")]) == 0
    told = capsys.readouterr().out
    assert "All jobs are stopped here" in told and name in told and "intrusion" in told


@pytest.mark.parametrize("words", [["--kind", "fire"], ["--severity", "worst"]])
def test_an_unknown_kind_is_a_usage_error(place: Place, words: list[str]) -> None:
    given = {"--kind": "outage", "--severity": "low"} | {words[0]: words[1]}
    assert incident(place, "declare", *[part for pair in given.items() for part in pair]) == 2


@pytest.mark.parametrize("verb", ["declare", "note", "halt", "lift", "quarantine", "release", "close", "show"])
def test_help_shows_an_example(verb: str, capsys: Captured) -> None:
    assert main(["incident", verb, "--help"]) == 0
    assert "Example: fedvoxel incident" in capsys.readouterr().out
