"""`fedvoxel release promote`: all gates green, each of them red, and what the index says afterwards."""

import json
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from fedvoxel.cli.main import main
from fedvoxel.cli.trust_options import remarks_of_index
from fedvoxel.config import parse_config
from fedvoxel.errors import ConfigError, PackageError
from fedvoxel.export.package import Package
from fedvoxel.export.promotion import PromotionEvidence
from fedvoxel.export.release import Statement
from fedvoxel.export.releases import INDEX, Releases
from fedvoxel.export.succession import promote
from fedvoxel.governance.evidence.vouching import vouch
from fedvoxel.governance.promotion.candidate import Candidate
from fedvoxel.governance.promotion.policy import PromotionPolicy
from fedvoxel.governance.promotion.privacy_gates import privacy_gates
from fedvoxel.records.chain import Chain
from fedvoxel.records.identity import Identity
from tests.cli.promotion_sample import HOSPITALS, NAME, POLICY, Desk, Made, guarantee, make, now, person, provenance
from tests.cli.test_export import kit_of
from tests.export.package_sample import sample_trust
from tests.export.test_reader_gate import write_result
from tests.export.throwaway_root import DAY, Root, serial_of
from tests.federation.reader_study.test_result import MET


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Made:
    return make(tmp_path_factory.mktemp("made"))


@pytest.fixture
def desk(made: Made, tmp_path: Path) -> Desk:
    """An index with 1.0.0 released; nothing is handed in."""
    desk = Desk(tmp_path, made)
    desk.release_old()
    return desk


@pytest.fixture
def green(desk: Desk) -> Desk:
    """With all that the policy asks for."""
    desk.hand_in("north")
    desk.hand_in("south")
    desk.hand_in_audit()
    return desk


def gates_of(shown: str) -> dict[str, dict[str, Any]]:
    return {gate["name"]: gate for gate in json.loads(shown)["gates"]}


def refused(desk: Desk, capsys: pytest.CaptureFixture[str], *more: str, **given: Any) -> dict[str, dict[str, Any]]:
    """Returns the red gates of a promotion, which has not touched the index."""
    before = (desk.index / INDEX).read_bytes()
    capsys.readouterr()
    assert desk.promote("--json", *more, **given) == 30
    shown = capsys.readouterr()
    assert (desk.index / INDEX).read_bytes() == before
    assert "the index is as it was" in shown.err and json.loads(shown.out)["recorded"] is None
    assert str(desk.folder) not in shown.out + shown.err
    return {gate["name"]: gate for gate in json.loads(shown.out)["gates"] if not gate["green"]}


# ------------------------------------------------------------------ green


def test_a_package_that_passes_takes_the_place_of_the_release(green: Desk, capsys: pytest.CaptureFixture[str]) -> None:
    made = green.made
    assert green.promote("--json") == 0
    said = json.loads(capsys.readouterr().out)
    assert said["promoted"] and all(gate["green"] for gate in said["gates"])
    assert {"non-inferior at north", "not harmed at south", "privacy audits", "reader study"} <= set(
        gates_of(json.dumps(said))
    )
    releases = Releases(green.index, sample_trust(), green.folder / "reader.json")
    assert (releases.newest(NAME).version, releases.state_of(made.old.sha256)) == ("1.1.0", "superseded")
    promotion = releases.newest(NAME).promotion
    assert promotion is not None and promotion.against == made.old.sha256 and promotion.hospitals == 2
    policy = parse_config(PromotionPolicy, green.policy, "x")
    assert promotion.policy == policy.sha256 and len(promotion.reports) == 3
    new, old = (entry.body["statement"] for entry in Chain(green.index / INDEX).read()[-2:])
    assert (new["schema_version"], old["schema_version"]) == (3, 1) and "promotion" not in old
    root = ["--root", str(made.folder / "rootCA.pem"), "--seen", str(green.folder / "seen.json")]
    assert main(["release", "list", str(green.index), *root, "--json"]) == 0
    listed = json.loads(capsys.readouterr().out)
    assert [one["promotion"] and one["promotion"]["hospitals"] for one in listed] == [None, 2]


def test_the_table_says_what_was_asked_and_found(
    green: Desk, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "250")
    assert green.promote() == 0
    shown = capsys.readouterr().out
    assert "non-inferior at north" in shown and "dice above -0.02" in shown and "red" not in shown.split()
    assert "hippocampus 1.1.0 is released" in shown and "1.0.0 is superseded" in shown


def test_a_first_release_needs_an_absolute_bound(
    made: Made, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    desk = Desk(tmp_path, made)
    desk.publisher.publish(made.new.path, "candidate", "first", made.new.signed_at)
    for hospital in ("north", "south"):
        desk.hand_in(hospital, compared=False)
    desk.hand_in_audit()
    for bound, words in ((0.999, "lower limits: anterior 0.9"), (None, "lower limits")):
        desk.policy["first_at_least"] = bound
        red = refused(desk, capsys)
        assert set(red) == {"good enough at north", "good enough at south"}
        assert words in red["good enough at north"]["found"]
    desk.policy["first_at_least"] = 0.8
    assert desk.promote() == 0
    found = Releases(desk.index, sample_trust(), tmp_path / "reader.json").newest(NAME)
    assert found.promotion is not None and found.promotion.against is None


def test_a_package_that_the_index_does_not_know_yet_is_put_there(green: Desk, made: Made, tmp_path: Path) -> None:
    other = tmp_path / "other"
    other.mkdir()
    fresh = Desk(other, made)
    fresh.publisher.publish(made.old.path, "released", "first", made.old.signed_at)
    fresh.handed_in = green.handed_in
    assert fresh.promote() == 0 and (fresh.index / "packages" / made.new.path.name).is_file()


# ------------------------------------------------------------------ red: what hospitals found


def _worse(values: dict[str, Any]) -> None:
    """Within the margin, but beyond chance."""
    values["comparison"]["tests"][0]["whole"] |= {"verdict": "worse"}
    values["comparison"]["tests"][0]["whole"]["difference"] |= {"value": -0.01, "low": -0.015, "high": -0.005}


def _inferior(values: dict[str, Any]) -> None:
    values["comparison"]["tests"][1] |= {"non_inferior": False}
    values["comparison"]["tests"][1]["whole"]["difference"] |= {"low": -0.03}


def _at_the_margin(values: dict[str, Any]) -> None:
    """The flag says one thing, and the interval another."""
    values["comparison"]["tests"][1]["whole"]["difference"] |= {"low": -0.02}


def _unknown(values: dict[str, Any]) -> None:
    values["comparison"]["tests"][1]["whole"]["difference"] |= {"low": None, "high": None}


def _not_told(values: dict[str, Any]) -> None:
    del values["comparison"]["tests"][1]


@pytest.mark.parametrize(
    ("spoil", "gate", "words"),
    [
        (_worse, "not harmed at south", "worse: anterior"),
        (_inferior, "non-inferior at south", "posterior -0.0300"),
        (_at_the_margin, "non-inferior at south", "posterior -0.0200"),
        (_unknown, "non-inferior at south", "posterior not known"),
        (_not_told, "non-inferior at south", "posterior not told (too few patients)"),
    ],
)
def test_one_hospital_where_it_is_worse_blocks(
    desk: Desk, capsys: pytest.CaptureFixture[str], spoil: Callable[[dict[str, Any]], None], gate: str, words: str
) -> None:
    desk.hand_in("north")
    desk.hand_in("south", spoil)
    desk.hand_in_audit()
    red = refused(desk, capsys)
    assert set(red) == {gate} and words in red[gate]["found"]


def test_too_few_hospitals_and_the_same_one_twice(desk: Desk, capsys: pytest.CaptureFixture[str]) -> None:
    desk.hand_in_audit()
    assert {"hospitals", "reports"} & set(refused(desk, capsys)) == {"hospitals"}
    desk.hand_in("north")
    desk.hand_in("north", by=person("other@north.example", "north"), ago=timedelta(minutes=1))
    red = refused(desk, capsys)
    assert set(red) == {"hospitals"} and red["hospitals"]["found"] == "1: north; without south"


@pytest.mark.parametrize("newest_is_bad", [True, False])
def test_the_newest_report_of_a_hospital_counts(
    desk: Desk, capsys: pytest.CaptureFixture[str], newest_is_bad: bool
) -> None:
    desk.hand_in("north")
    desk.hand_in_audit()
    desk.hand_in("south", _inferior, ago=timedelta(0) if newest_is_bad else timedelta(minutes=2))
    desk.hand_in("south", ago=timedelta(minutes=1))
    if newest_is_bad:
        assert set(refused(desk, capsys)) == {"non-inferior at south"}
    else:
        assert desk.promote() == 0


def test_of_two_of_the_same_second_the_worse_one_counts(desk: Desk, capsys: pytest.CaptureFixture[str]) -> None:
    desk.hand_in("north")
    desk.hand_in_audit()
    moment = now() - timedelta(minutes=1)
    for spoil in (_inferior, None):
        folder = desk.hand_in("south", spoil)
        vouch(folder / "to_share.json", person("doctor@south.example", "south"), moment)
    assert set(refused(desk, capsys)) == {"non-inferior at south"}


# ------------------------------------------------------------------ red: reports that do not count


def _set(*path: str | int, to: Any) -> Callable[[dict[str, Any]], None]:
    def spoil(values: dict[str, Any]) -> None:
        inner: Any = values
        for part in path[:-1]:
            inner = inner[part]
        inner[path[-1]] = to

    return spoil


def _below_minimum(values: dict[str, Any]) -> None:
    for key in ("structures", "not_told", "groups", "comparison"):
        del values[key]
    values["below_minimum"] = True


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (_set("model", "package_sha256", to="c" * 64), "about another package"),
        (_set("comparison", "package_sha256", to="c" * 64), "with another one, not with the package that is released"),
        (_set("comparison", "package_sha256", to=None), "with one that it does not name"),
        (_set("comparison", "kind", to="reader"), "compares with no other package"),
        (_set("comparison", to=None), "compares with no other package"),
        (_set("comparison", "margin", to=0.05), "got dice with a margin of 0.05"),
        (_set("comparison", "margin", to=None), "got dice with no margin"),
        (_set("comparison", "metric", to="nsd"), "got nsd"),
        (_set("comparison", "stated_at", to=None), "not stated beforehand"),
        (_set("data", "split", to="training"), "not about the test split"),
        (_set("data", "split", to=None), "not about the test split"),
        (_set("data", "hospitals", to=["north", "south"]), "several hospitals together"),
        (_set("data", "hospitals", to=["north"]), "two organisations stand for a report of one hospital"),
        (_below_minimum, "too few patients"),
        (_set("schema_version", to=3), "update fedvoxel"),
        (_set("comparison", "tests", to=[{}]), "is not valid"),
        (_set("below_minimum", to="no"), "is not valid"),
    ],
)
def test_a_report_that_does_not_count_is_not_passed_over(
    desk: Desk, capsys: pytest.CaptureFixture[str], spoil: Callable[[dict[str, Any]], None], words: str
) -> None:
    desk.hand_in("north")
    desk.hand_in("south", spoil)
    desk.hand_in_audit()
    red = refused(desk, capsys)
    assert {"reports", "hospitals"} <= set(red) and "report 2: " in red["reports"]["found"]
    assert words in red["reports"]["found"]


def test_a_report_of_version_1_does_not_say_with_whom_it_compares(
    desk: Desk, capsys: pytest.CaptureFixture[str]
) -> None:
    def older(values: dict[str, Any]) -> None:
        values["schema_version"] = 1
        del values["comparison"]["package_sha256"]

    desk.hand_in("north")
    desk.hand_in("south", older)
    desk.hand_in_audit()
    assert "one that it does not name" in refused(desk, capsys)["reports"]["found"]


def test_who_may_stand_for_a_report(desk: Desk, capsys: pytest.CaptureFixture[str]) -> None:
    desk.hand_in("north")
    desk.hand_in_audit()
    desk.hand_in("south", by=person("scientist@consortium.example", "consortium"))
    assert "somebody of consortium stands for it" in refused(desk, capsys)["reports"]["found"]
    folder = desk.handed_in[-1]
    signature = folder / "to_share.json.signature"
    signature.unlink()
    assert "nobody stands for it" in refused(desk, capsys)["reports"]["found"]
    vouch(folder / "to_share.json", stranger(), now())
    assert "another consortium" in refused(desk, capsys)["reports"]["found"]
    vouch(folder / "to_share.json", person("doctor@south.example", ""), now())
    assert "somebody of no organisation" in refused(desk, capsys)["reports"]["found"]
    vouch(folder / "to_share.json", person("doctor@south.example", "south", "member"), now())
    assert desk.promote() == 0


def stranger() -> Identity:
    """Somebody of another consortium."""
    root = Root(around=now())
    return root.issue("doctor@south.example", "lead", now() - DAY, now() + DAY, organisation="south")


def test_a_report_that_was_changed_or_whose_signer_was_revoked_does_not_count(
    desk: Desk, capsys: pytest.CaptureFixture[str]
) -> None:
    doctor = person("doctor@south.example", "south")
    desk.hand_in("north")
    desk.hand_in_audit()
    report = desk.hand_in("south", by=doctor) / "to_share.json"
    desk.revoke(serial_of(doctor))
    assert "already revoked" in refused(desk, capsys)["reports"]["found"]
    desk.revoke()
    report.write_text(report.read_text().replace('"verdict": "not told apart"', '"verdict": "better"'))
    assert "it was changed, or another signed" in refused(desk, capsys)["reports"]["found"]


def test_without_a_revocation_list_nothing_is_promoted(green: Desk, capsys: pytest.CaptureFixture[str]) -> None:
    assert set(refused(green, capsys, crl=False)) == {"revocation list"}


def test_a_folder_without_a_report_is_named_by_its_place(green: Desk, capsys: pytest.CaptureFixture[str]) -> None:
    red = refused(green, capsys, "--report", str(green.folder / "kits"))
    assert red["reports"]["found"] == "3 count; report 4: the folder has neither to_share.json nor audit.json"


# ------------------------------------------------------------------ red: privacy


@pytest.mark.parametrize(
    "asked",
    [
        {"unit": "patient", "epsilon": 7.9, "delta": 1e-3},
        {"unit": "patient", "epsilon": 8.0, "delta": 1e-5},
        {"unit": "hospital", "epsilon": 8.0, "delta": 1e-3},
    ],
)
def test_a_weaker_guarantee_than_is_asked_for_blocks(
    green: Desk, capsys: pytest.CaptureFixture[str], asked: dict[str, Any]
) -> None:
    green.policy["privacy"] = asked
    red = refused(green, capsys)
    assert set(red) == {"privacy guarantee"} and "for each patient" in red["privacy guarantee"]["found"]


@pytest.mark.parametrize("said", [None, provenance(None)])
def test_a_package_without_a_guarantee_blocks_where_one_is_asked_for(said: bytes | None) -> None:
    policy = parse_config(PromotionPolicy, POLICY | {"privacy_audits": 0}, "x")
    candidate = Candidate.of(NAME, "a" * 64, frozenset(), None, said)
    gates = {gate.name: gate for gate in privacy_gates(policy, candidate, [])}
    assert not gates["privacy guarantee"].green and gates["privacy guarantee"].found == "no formal guarantee"
    free = policy.model_copy(update={"privacy": None})
    assert all(gate.green for gate in privacy_gates(free, candidate, []))


def test_an_open_channel_leaves_no_guarantee() -> None:
    values = json.loads(provenance(guarantee()))
    values["privacy"]["open_channels"] = ["validation scores"]
    assert Candidate.of(NAME, "a" * 64, frozenset(), None, json.dumps(values).encode()).guarantee is None
    del values["privacy"]["guarantee"]["adversary"]
    values["privacy"]["open_channels"] = []
    with pytest.raises(PackageError, match="says of privacy cannot be read"):
        Candidate.of(NAME, "a" * 64, frozenset(), None, json.dumps(values).encode())


@pytest.mark.parametrize(
    ("changes", "gate", "words"),
    [
        ({"epsilon_proved": 9.0}, "privacy audits", "more leaks than is claimed: north"),
        ({"epsilon_claimed": 20.0, "epsilon_proved": 9.0}, "privacy audits", "more leaks than is claimed: north"),
        ({"epsilon_claimed": None}, "reports", "no canaries"),
        ({"canaries": None}, "reports", "no canaries"),
        ({"run_key": "another"}, "reports", "about another run"),
        ({"hospital": "east"}, "reports", "east, which the policy does not name"),
    ],
)
def test_an_audit_that_proves_more_or_does_not_count_blocks(
    desk: Desk, capsys: pytest.CaptureFixture[str], changes: dict[str, Any], gate: str, words: str
) -> None:
    for hospital in HOSPITALS:
        desk.hand_in(hospital)
    desk.hand_in_audit(**changes)
    red = refused(desk, capsys)
    assert set(red) == {"privacy audits", gate} and words in red[gate]["found"]


def test_an_audit_is_asked_for_by_number_and_a_bad_one_blocks_unasked(
    desk: Desk, capsys: pytest.CaptureFixture[str]
) -> None:
    for hospital in HOSPITALS:
        desk.hand_in(hospital)
    assert set(refused(desk, capsys)) == {"privacy audits"}
    desk.policy["privacy_audits"] = 0
    desk.hand_in_audit(epsilon_proved=9.0)
    assert set(refused(desk, capsys)) == {"privacy audits"}
    del desk.handed_in[-1]
    assert desk.promote() == 0


# ------------------------------------------------------------------ red: reader study, policy, role


def test_a_reader_study_is_one_of_the_gates(green: Desk, capsys: pytest.CaptureFixture[str]) -> None:
    green.policy["reader_study"] = MET
    result = green.folder / "reader_study.json"
    assert set(refused(green, capsys)) == {"reader study"}
    write_result(result, "cd" * 32)
    red = refused(green, capsys, "--reader-study", str(result))
    assert "another package" in red["reader study"]["found"]
    write_result(result, green.made.new.sha256)
    assert green.promote("--reader-study", str(result)) == 0
    done = Releases(green.index, sample_trust(), green.folder / "reader.json").newest(NAME)
    assert done.reader_study is not None and done.promotion is not None


def test_a_policy_is_for_one_model(green: Desk, capsys: pytest.CaptureFixture[str]) -> None:
    green.policy["model"] = "spleen"
    assert set(refused(green, capsys)) == {"model"}


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"at_least": 3}, "at most the 2 hospitals"),
        ({"privacy_audits": 3}, "at most the 2 hospitals"),
        ({"hospitals": ["north", "north"]}, "named twice"),
        ({"metric": "nsd"}, "tolerance_mm goes with nsd"),
        ({"tolerance_mm": 1.0}, "tolerance_mm goes with nsd"),
        ({"margin": 0}, "margin"),
        ({"at_least": 0}, "at_least"),
        ({"unknown": 1}, "unknown"),
    ],
)
def test_a_policy_that_cannot_be_meant_is_refused(desk: Desk, changes: dict[str, Any], words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        parse_config(PromotionPolicy, desk.policy | changes, "the promotion policy")
    for key in desk.policy.keys() - {"schema_version"}:
        with pytest.raises(ConfigError, match=key):
            parse_config(PromotionPolicy, {k: v for k, v in desk.policy.items() if k != key}, "the promotion policy")


def test_nsd_is_held_against_the_tolerance_that_is_asked_for(desk: Desk, capsys: pytest.CaptureFixture[str]) -> None:
    desk.policy |= {"metric": "nsd", "tolerance_mm": 1.0}

    def by_nsd(values: dict[str, Any]) -> None:
        values["comparison"]["metric"] = "nsd"

    for hospital in HOSPITALS:
        desk.hand_in(hospital, by_nsd)
    desk.hand_in_audit()
    assert "expected a tolerance of 1.0 mm, got" in refused(desk, capsys)["reports"]["found"]
    desk.policy["tolerance_mm"] = desk.made.evaluation("north")["settings"]["tolerance_mm"]
    assert desk.promote() == 0


@pytest.mark.parametrize("role", ["member", "org_admin"])
def test_who_may_not_release_may_not_promote(green: Desk, capsys: pytest.CaptureFixture[str], role: str) -> None:
    before = (green.index / INDEX).read_bytes()
    kit = kit_of(green.folder / "kits", person("somebody@b.example", "b", role))
    assert green.promote(sign=kit) == 17
    assert "may not make a package released" in capsys.readouterr().err
    assert (green.index / INDEX).read_bytes() == before


def test_what_is_released_or_withdrawn_is_not_promoted(green: Desk, capsys: pytest.CaptureFixture[str]) -> None:
    green.publisher.set_state(NAME, "1.1.0", "withdrawn", "bad", now())
    assert green.promote("--despite-withdrawn") == 17
    assert "withdrawn cannot become released" in capsys.readouterr().err
    assert green.promote() == 17, "it is of a run that was withdrawn"
    assert "--despite-withdrawn" in capsys.readouterr().err


def test_an_index_that_goes_on_meanwhile_is_not_written(green: Desk, made: Made) -> None:
    """Gates were looked at against a release that is none any more."""
    evidence = PromotionEvidence(policy="a" * 64, against=made.old.sha256, hospitals=2, reports=("b" * 64,))
    green.publisher.set_state(NAME, "1.0.0", "withdrawn", "bad", now())
    before = (green.index / INDEX).read_bytes()
    with pytest.raises(PackageError, match="released or ended meanwhile"):
        promote(green.publisher, made.new, evidence, "x", now())
    assert (green.index / INDEX).read_bytes() == before


def test_only_a_release_says_that_it_was_promoted() -> None:
    said = {
        **{"schema_version": 3, "index": 0, "previous": "0" * 64, "package": "a" * 64, "name": NAME},
        **{"version": "1.0.0", "reason": "x", "state": "released"},
    }
    promotion = {"policy": "a" * 64, "against": None, "hospitals": 2, "reports": ["b" * 64]}
    assert parse_config(Statement, said | {"promotion": promotion}, "x").promotion is not None
    for wrong in ({"state": "candidate"}, {"schema_version": 2}, {"promotion": None}, {"promotion": {"policy": "x"}}):
        with pytest.raises(ConfigError):
            parse_config(Statement, said | {"promotion": promotion} | wrong, "x")


# ------------------------------------------------------------------ the way back


def back(desk: Desk, *more: str, sign: Path | None = None) -> int:
    command = ["release", "rollback", str(desk.index), NAME, "--reason", "misses small ones"]
    return main([*command, "--sign", str(sign or desk.lead), "--seen", str(desk.folder / "seen.json"), *more])


def test_one_command_goes_back_and_evaluation_follows_the_index(
    green: Desk, made: Made, capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    trust = sample_trust()

    def may_be_used(package: Package) -> tuple[str, ...]:
        """What predict, review, evaluate and serve ask before they use a package."""
        return remarks_of_index(package, green.index, trust, False)

    assert green.promote() == 0
    assert may_be_used(made.new) == () and "is superseded" in may_be_used(made.old)[0]
    capsys.readouterr()
    assert back(green) == 0
    assert "1.1.0 is withdrawn, 1.0.0 is released again" in capsys.readouterr().out
    assert may_be_used(made.old) == ()
    with pytest.raises(PackageError, match="misses small ones"):
        may_be_used(made.new)
    site = str(made.folder / "north" / "local" / "fedvoxel_site.json")
    root = ["--root", str(made.folder / "rootCA.pem")]
    read = ["brains", "--site", site, *root, "--releases", str(green.index), "--no-pdf", "--worst", "0", "--out"]
    assert main(["evaluate", str(made.new.path), *read, str(tmp_path / "new")]) == 17
    assert main(["evaluate", str(made.old.path), *read, str(tmp_path / "old")]) == 0


def test_a_rollback_tells_a_script_and_refuses_where_there_is_none(
    green: Desk, capsys: pytest.CaptureFixture[str]
) -> None:
    assert green.promote() == 0
    capsys.readouterr()
    assert back(green, "--not-unsafe", "--json") == 0
    said = json.loads(capsys.readouterr().out)
    assert (said["ended"]["version"], said["ended"]["state"]) == ("1.1.0", "superseded")
    assert (said["released"]["version"], said["released"]["state"]) == ("1.0.0", "released")
    before = (green.index / INDEX).read_bytes()
    assert back(green) == 17
    assert "stop the present one with `fedvoxel release set withdrawn`" in capsys.readouterr().err
    officer = kit_of(green.folder / "kits", person("officer@b.example", "b", "org_admin"))
    assert back(green, sign=officer) == 17
    assert (green.index / INDEX).read_bytes() == before
