"""Who sees what: nothing of another hospital beyond the agreement is in what is sent, as page or as JSON."""

import json
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import pytest

from fedvoxel.export.trust import Role, Signer
from fedvoxel.federation.outcome import load_outcome
from fedvoxel.governance.kit import Kit
from fedvoxel.ops.status.agreement import Agreement, Others
from fedvoxel.ops.status.facts import Facts, collect
from fedvoxel.ops.status.page import render_status
from fedvoxel.ops.status.sight import seen_by
from fedvoxel.privacy.guarantee import ACCOUNTANT
from tests.ops.status.status_sample import IT, OPERATOR, PHYSICIAN, RUN, SCIENTIST, SITES, TEXT, WHY, Sample, under_way

OTHERS = ("hospital-b", "hospital_b", "hospital-c", "hospital_c", "hospital-d", "hospital_d")
PRIVATE = "hippocampus-private"


def person(name: str, organisation: str, role: Role | None) -> Signer:
    return Signer(name, organisation, role, 1)


OF_A = {
    "org_admin": person(IT, "hospital_a", "org_admin"),
    "lead": person("lead@hospital-a.example", "hospital_a", "lead"),
    "member": person(PHYSICIAN, "hospital_a", "member"),
    "site": person("hospital-a", "hospital_a", None),
}


@pytest.fixture(scope="module")
def facts(sample: Sample) -> Facts:
    under_way(sample.server.state, datetime.now(UTC))
    return collect(sample.server, datetime.now(UTC))


def see(viewer: Signer, facts: Facts, others: Others) -> dict[str, Any]:
    return seen_by(viewer, facts, Agreement(others=others), lambda site: f"site {hash(('salt', site)) & 0xFFFF:04x}")


def sent(seen: dict[str, Any]) -> str:
    """Is all that leaves the server: the JSON and the page."""
    return json.dumps(seen, ensure_ascii=False) + render_status(seen)


def of(seen: dict[str, Any], run_key: str) -> dict[str, Any]:
    (run,) = [run for run in seen["runs"] + seen["past_runs"] if run["run_key"] == run_key]
    return dict(run)


def keys_in(values: Any) -> Iterator[str]:
    """Yields the keys of all objects, at every depth."""
    if isinstance(values, dict):
        for key, value in values.items():
            yield key
            yield from keys_in(value)
    elif isinstance(values, list):
        for value in values:
            yield from keys_in(value)


def numbers_of_others(facts: Facts) -> set[str]:
    """Are the scores and losses of hospital-b, -c and -d as text, in full and as the page rounds them."""
    found = set()
    for run in facts.runs:
        for record in run.outcome.rounds if run.outcome else ():
            for site in OTHERS:
                if site in record.validation:
                    values = [value for value in record.validation[site].dice.values() if value is not None]
                    mean = sum(values) / len(values)
                    found |= {repr(mean)[:12], *(repr(value)[:12] for value in values)}
                if site in record.loss:
                    found.add(repr(record.loss[site])[:12])
    return found


@pytest.mark.parametrize("viewer", OF_A.values(), ids=list(OF_A))
def test_a_hospital_sees_its_own_line_in_full(viewer: Signer, facts: Facts) -> None:
    seen = see(viewer, facts, "nothing")
    (line,) = seen["sites"]
    assert (line["site"], line["own"], line["online"], line["organisation"]) == ("hospital-a", True, True, "hospital_a")
    (line,) = of(seen, RUN)["sites"]
    assert (line["state"], line["rounds_contributed"], line["rounds_missing"]) == ("training", 7, 0)
    assert len(line["dice"]) == 7 and 0 < line["last_dice"] < 1
    assert of(seen, RUN)["now"]["round"] == 7 and 0 < of(seen, RUN)["now"]["estimated_seconds_left"] < 600


@pytest.mark.parametrize("viewer", OF_A.values(), ids=list(OF_A))
@pytest.mark.parametrize("others", ["nothing", "state"])
def test_nothing_of_another_hospital_is_sent_beyond_the_agreement(others: Others, viewer: Signer, facts: Facts) -> None:
    text = sent(see(viewer, facts, others))
    assert [name for name in OTHERS if name in text] == []
    assert WHY not in text and "lost its connection" not in text and TEXT not in text and OPERATOR not in text
    assert "no answer within" not in text and "had 1 of the 2 sites" not in text
    numbers = numbers_of_others(facts)
    assert len(numbers) > 50 and [number for number in numbers if number in text] == []
    all_of_it = sent(see(person(OPERATOR, "consortium", "project_admin"), facts, others))
    assert [name for name in OTHERS if name not in all_of_it] == [] and WHY in all_of_it and TEXT in all_of_it
    assert sum(number in all_of_it for number in numbers) >= 20, "what is looked for would be found"


def test_under_nothing_the_others_have_no_line_at_all(facts: Facts) -> None:
    seen = see(OF_A["member"], facts, "nothing")
    lines = [line for run in seen["runs"] + seen["past_runs"] for line in run["sites"]] + seen["sites"]
    assert lines and all(line["site"] == "hospital-a" for line in lines)


def test_under_state_the_others_have_a_pseudonym_and_a_state_and_no_more(facts: Facts) -> None:
    seen = see(OF_A["org_admin"], facts, "state")
    veiled = [line for line in of(seen, RUN)["sites"] if not line["own"]]
    assert sorted(line["state"] for line in veiled) == ["missing", "replied", "replied"]
    assert all(set(line) == {"site", "own", "state"} for line in veiled)
    assert [line["site"] for line in veiled] == sorted(line["site"] for line in veiled), "not in the order of names"
    veiled = [line for line in seen["sites"] if not line["own"]]
    assert len(veiled) == 3 and all(set(line) == {"site", "own", "online"} for line in veiled)


def test_the_operator_sees_everything_whatever_was_agreed(facts: Facts) -> None:
    seen = see(person(OPERATOR, "consortium", "project_admin"), facts, "nothing")
    lines = {line["site"]: line for line in of(seen, RUN)["sites"]}
    assert set(lines) == set(SITES) and lines["hospital-c"]["reason"] == WHY
    assert {line["site"]: line["online"] for line in seen["sites"]} == dict.fromkeys(SITES, True) | {
        "hospital-d": False
    }
    kept_out = {line["site"]: line["kept_out"] for line in seen["sites"]}
    assert kept_out == dict.fromkeys(SITES) | {"hospital-c": "it is in quarantine, for an incident"}
    (incident,) = seen["incidents"]
    assert incident["keeps_out"] == ["hospital-c"] and incident["said"][0]["text"] == TEXT
    assert of(seen, "first-try")["reason"] == "round 0 had 1 of the 2 sites that it needs"
    text = render_status(seen)
    assert TEXT in text and WHY in text and "hospital-d" in text


def test_under_everything_a_hospital_sees_what_the_operator_does(facts: Facts) -> None:
    mine, operators = see(OF_A["lead"], facts, "everything"), see(person("x@y", "x", "project_admin"), facts, "nothing")
    assert {line["site"] for line in of(mine, RUN)["sites"]} == {line["site"] for line in of(operators, RUN)["sites"]}
    assert mine["incidents"] == operators["incidents"] and set(keys_in(mine)) == set(keys_in(operators))


def test_a_hospital_of_nobody_known_sees_no_site(facts: Facts) -> None:
    seen = see(person(SCIENTIST, "consortium", "lead"), facts, "nothing")
    assert seen["sites"] == [] and all(not run["sites"] for run in seen["runs"] + seen["past_runs"])
    assert of(seen, RUN)["rounds_committed"] == 7, "what is about no site is for everybody"


def test_a_site_whose_organisation_is_not_known_is_nobodys(facts: Facts) -> None:
    heard = {name: one.model_copy(update={"organisation": ""}) for name, one in facts.heard.items()}
    unknown = Facts(**{**facts.__dict__, "heard": heard})
    assert see(OF_A["org_admin"], unknown, "nothing")["sites"] == []
    assert see(person("nobody", "", "member"), unknown, "nothing")["sites"] == []
    (line,) = see(OF_A["site"], unknown, "nothing")["sites"]
    assert line["site"] == "hospital-a", "a site's own certificate names it"


def test_a_mean_from_which_one_hospital_could_be_worked_out_is_not_sent(facts: Facts) -> None:
    two = facts.runs
    shrunk = []
    for run in two:
        assert run.outcome
        records = tuple(
            record.model_copy(
                update={"validation": {s: v for s, v in record.validation.items() if s in ("hospital-a", "hospital-b")}}
            )
            for record in run.outcome.rounds
        )
        shrunk.append(type(run)(run.run_key, run.outcome.model_copy(update={"rounds": records}), None, run.received))
    few = Facts(**{**facts.__dict__, "runs": tuple(shrunk)})
    seen = see(OF_A["member"], few, "state")
    assert of(seen, "hippocampus-2026-02")["dice"] == []
    assert "too few other hospitals" in render_status(seen)
    operators = see(person(OPERATOR, "consortium", "project_admin"), few, "nothing")
    assert len(of(operators, "hippocampus-2026-02")["dice"]) == 12
    assert len(of(see(OF_A["member"], facts, "nothing"), "hippocampus-2026-02")["dice"]) == 12, "with four there is one"


def test_an_epsilon_goes_with_all_of_its_words(facts: Facts) -> None:
    seen = see(OF_A["org_admin"], facts, "nothing")
    run = of(seen, PRIVATE)
    (line,) = run["sites"]
    planned, spent = run["privacy"]["planned"], line["spent"]
    words = {"unit", "epsilon", "delta", "neighbouring", "accountant", "adversary", "composition", "said"}
    assert set(planned) == set(spent) == words and spent["accountant"] == ACCOUNTANT
    assert line["private_updates"] == 12 and spent["epsilon"] == pytest.approx(planned["epsilon"])
    assert "the 12 rounds that the server's ledger has received" in spent["said"]
    page = render_status(seen)
    for at in range(page.count("ε = ")):
        assert "δ = " in page.split("ε = ")[at + 1][:40]
    assert page.count("ε = ") == 2 and page.count(ACCOUNTANT) == 2 and "for each patient" in page


def test_what_a_hospital_has_spent_is_what_was_received_of_it(facts: Facts) -> None:
    seen = see(person("it@hospital-b.example", "hospital_b", "org_admin"), facts, "nothing")
    (line,) = of(seen, PRIVATE)["sites"]
    assert (
        line["private_updates"] == 5
        and 0 < line["spent"]["epsilon"] < of(seen, PRIVATE)["privacy"]["planned"]["epsilon"]
    )


def test_without_a_guarantee_no_epsilon_is_said(facts: Facts) -> None:
    run = of(see(person(OPERATOR, "consortium", "project_admin"), facts, "nothing"), RUN)
    assert run["privacy"] == {"said": "no formal guarantee", "planned": None, "released": None}
    assert all(line["spent"] is None for line in run["sites"])


def test_why_there_is_no_guarantee_may_name_sites_and_is_for_who_sees_everything(facts: Facts) -> None:
    said = "no formal guarantee (hospital-b: percentile 10)"
    runs = tuple(
        type(run)(run.run_key, run.outcome and run.outcome.model_copy(update={"privacy": said, "guarantee": None}))
        for run in facts.runs
    )
    changed = Facts(**{**facts.__dict__, "runs": runs})
    assert "percentile" not in sent(see(OF_A["member"], changed, "state"))
    assert "percentile" in sent(see(OF_A["member"], changed, "everything"))


def test_what_could_not_be_read_is_said_on_the_page(kit: Kit) -> None:
    (kit.state / "incidents/incidents.jsonl").write_text("damaged\n")
    seen = see(OF_A["member"], collect(kit, datetime.now(UTC)), "nothing")
    assert seen["not_shown"] == ["the incidents"] and "None is open" not in render_status(seen)


def test_words_of_others_are_text_and_no_markup(facts: Facts) -> None:
    (run,) = [run for run in facts.runs if run.run_key == "first-try"]
    assert run.outcome
    bad = run.outcome.model_copy(update={"reason": "<script>alert(1)</script>", "job_name": "<img src=x>"})
    changed = Facts(**{**facts.__dict__, "runs": (type(run)(run.run_key, bad),)})
    page = render_status(see(person(OPERATOR, "consortium", "project_admin"), changed, "nothing"))
    assert "<script>alert" not in page and "<img" not in page and "&lt;script&gt;" in page


def test_the_sample_is_what_a_server_writes(sample: Sample) -> None:
    assert load_outcome(sample.server.state / "runs" / RUN / "outcome.json").status == "unfinished"
