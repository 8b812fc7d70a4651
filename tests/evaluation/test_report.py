"""The report: what it claims, what it refuses to claim, and the page that people read."""

import html
import json
import re
from html.parser import HTMLParser
from pathlib import Path

import pytest

from fedvoxel.config import load_json_config
from fedvoxel.errors import ConfigError
from fedvoxel.evaluation.baseline import Baseline
from fedvoxel.evaluation.charts import illustrate
from fedvoxel.evaluation.figures import Picture
from fedvoxel.evaluation.page import render_page
from fedvoxel.evaluation.report import Report, build_report, write_report
from fedvoxel.federation.absences import Absences
from fedvoxel.federation.outcome import RunOutcome
from fedvoxel.privacy.guarantee import NO_GUARANTEE, PUBLIC_DATA
from tests.sample_run import (
    CASES,
    all_baselines,
    failed_outcome,
    local_baseline,
    pooled_baseline,
    private_outcome,
    sample_outcome,
    site_score,
)

VOID = {"meta", "img", "link", "br"}


class _Outline(HTMLParser):
    """Collects tags, and checks that each one that opens is closed."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def _outline(page: str) -> _Outline:
    outline = _Outline()
    outline.feed(page)
    assert outline.open == []
    return outline


def _with_tests(**cases: int) -> RunOutcome:
    test = {site.replace("_", "-"): site_score(count) for site, count in cases.items()}
    return sample_outcome().model_copy(update={"test": test, "sites": tuple(test)})


def test_holds_scores_of_all_models_and_a_verdict_per_hospital() -> None:
    report = build_report(sample_outcome(), all_baselines())
    assert {row.model for row in report.rows} == {"federated", "local", "pooled"}
    local = {gain.site: gain.verdict for gain in report.gains if gain.class_name is None and gain.against == "local"}
    assert local == {
        "hospital-a": "gained",
        "hospital-b": "no clear difference",
        "hospital-c": "lost",
        "hospital-d": "too few cases to say",
    }
    assert report.quality_claim
    assert [entry.cases for entry in report.overall] == [36, 36]
    assert report.headline == "Finished: 12 of 12 rounds with 4 hospitals."


def test_overall_dice_is_weighted_by_cases() -> None:
    outcome = sample_outcome().model_copy(
        update={"test": {"hospital-a": site_score(9, 0.9), "hospital-b": site_score(1, 0.4)}}
    )
    (overall,) = build_report(outcome).overall
    assert overall.dice_mean == pytest.approx(0.85)


def test_names_who_was_missing_refused_or_too_small() -> None:
    caveats = build_report(sample_outcome()).caveats
    assert "hospital-d has 3 unseen cases: nothing is claimed about it." in caveats
    assert "hospital-c was missing in rounds 3, 4 (0 is the first)." in caveats
    assert "hospital-c was refused in round 7 (0 is the first)." in caveats


def test_names_who_was_not_validated_or_tested_and_who_has_unusable_cases() -> None:
    untested = Absences(missing={"hospital-b": "no reply within 60 s"}, refused={"hospital-d": "a score above 1"})
    kept = {site: score for site, score in sample_outcome().test.items() if site not in untested.said}
    report = build_report(sample_outcome().model_copy(update={"test": kept, "untested": untested}))
    said = [caveat for caveat in report.caveats if caveat.startswith("No ")]
    assert said == [
        "No score of the last model's validation came from hospital-c (missing: lost its connection).",
        "No test scores came from hospital-b (missing: no reply within 60 s).",
        "No test scores came from hospital-d (refused: a score above 1).",
    ]
    assert [caveat for caveat in report.caveats if "could not use" in caveat] == [
        "hospital-b could not use 2 of its cases: `fedvoxel cohort check` there says which and why."
    ]
    page = render_page(report, [])
    assert "refused: non-finite values in model.0.conv.weight; last validation missing: lost its connection" in page
    assert "test refused: a score above 1" in page


def test_the_page_names_who_was_slow() -> None:
    outcome = sample_outcome()
    slow = outcome.rounds[5].model_copy(update={"slow": {"hospital-b": "slow: 70 s, it usually takes 22 s"}})
    rounds = (*outcome.rounds[:5], slow, *outcome.rounds[6:])
    page = render_page(build_report(outcome.model_copy(update={"rounds": rounds})), [])
    assert "round 5 slow: 70 s, it usually takes 22 s" in page


def test_page_counts_unusable_cases_where_the_site_told_them() -> None:
    page = render_page(build_report(sample_outcome()), [])
    rows = {site: re.findall(r"<td[^>]*>([^<]*)</td>", page.split(f'row">{site}</th>')[-1])[1] for site in CASES}
    assert rows == {"hospital-a": "0", "hospital-b": "2", "hospital-c": "\N{EN DASH}", "hospital-d": "\N{EN DASH}"}


@pytest.mark.parametrize(("cases", "claim"), [(9, False), (10, True)])
def test_claims_nothing_from_fewer_than_ten_cases(cases: int, claim: bool) -> None:
    report = build_report(_with_tests(hospital_a=5, hospital_b=cases - 5))
    assert report.quality_claim is claim
    assert any("no quality claim" in caveat for caveat in report.caveats) is not claim


def test_too_few_cases_in_all_silence_every_verdict() -> None:
    small = local_baseline("hospital-a", -0.05)
    outcome = _with_tests(hospital_a=3, hospital_b=3).model_copy(update={"test": {"hospital-b": site_score(6)}})
    gains = build_report(outcome, [small]).gains
    assert {gain.verdict for gain in gains} == {"too few cases to say"}


def test_says_which_site_sent_no_scores() -> None:
    outcome = sample_outcome()
    kept = {site: score for site, score in outcome.test.items() if site != "hospital-b"}
    assert "No test scores came from hospital-b." in build_report(outcome.model_copy(update={"test": kept})).caveats


def test_leaves_out_a_baseline_that_was_compared_with_another_model() -> None:
    other = sample_outcome().model_copy(update={"test": {"hospital-a": site_score(14, 0.5)}})
    report = build_report(other, [local_baseline("hospital-a", -0.02)])
    assert report.gains == ()
    assert any("another federated model" in caveat for caveat in report.caveats)


@pytest.mark.parametrize(
    ("baselines", "said"),
    [
        ([local_baseline("hospital-a", 0.0)] * 2, "two local baselines are about hospital-a"),
        ([pooled_baseline()] * 2, "two pooled baselines"),
    ],
)
def test_refuses_two_baselines_of_a_kind(baselines: list[Baseline], said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        build_report(sample_outcome(), baselines)


def test_refuses_a_baseline_of_another_consortium() -> None:
    with pytest.raises(ConfigError, match="hospital-d, which is not in this run"):
        build_report(failed_outcome(), [local_baseline("hospital-d", 0.0)])


def test_a_failed_run_is_reported_as_one() -> None:
    report = build_report(failed_outcome())
    assert report.headline == (
        "Failed after 0 of 12 rounds with 3 hospitals: round 0 had 1 of the 2 sites that it needs."
    )
    assert "nothing can be said about quality" in report.caveats[0]
    assert (report.rows, report.gains, report.overall, illustrate(report)) == ((), (), (), [])
    page = render_page(report, [])
    _outline(page)
    assert "trainer ended with signal 9" in page
    assert "(not committed)" in page


def test_page_needs_nothing_from_outside_and_is_accessible() -> None:
    report = build_report(sample_outcome(), all_baselines())
    page = render_page(report, illustrate(report))
    outline = _outline(page)
    names = [name for name, _ in outline.tags]
    assert "script" not in names
    assert "link" not in names
    assert "iframe" not in names
    assert not re.search(r"https?://|url\(|@import", page)
    assert names.count("h1") == 1
    assert all(attributes.get("scope") for name, attributes in outline.tags if name == "th")
    images = [attributes for name, attributes in outline.tags if name == "img"]
    assert len(images) == 2
    assert all(str(image["src"]).startswith("data:image/png;base64,") and image["alt"] for image in images)
    assert ("html", {"lang": "en"}) in outline.tags
    assert "no formal guarantee" in page
    assert "0b" * 32 in page
    assert "nvflare 2.9.0" in page


def test_page_escapes_what_sites_and_jobs_say() -> None:
    bad = "<script>alert('x')</script>"
    outcome = failed_outcome().model_copy(update={"job_name": bad, "reason": bad, "versions": {bad: bad}})
    picture = Picture(f'"{bad}', f'"{bad}', b"\x89PNG")
    page = render_page(build_report(outcome), [picture])
    _outline(page)
    assert "<script" not in page


def test_page_warns_of_pictures_of_scans() -> None:
    report = build_report(failed_outcome())
    assert "as you would the scans" in render_page(report, [Picture("t", "a", b"", shows_scan=True)])
    assert "as you would the scans" not in render_page(report, [Picture("t", "a", b"")])


def test_files_are_written_read_back_and_repeatable(tmp_path: Path) -> None:
    report = build_report(sample_outcome(), all_baselines())
    paths = write_report(tmp_path / "report", report, illustrate(report))
    first = paths.html.read_bytes()
    assert load_json_config(Report, paths.json, "the report") == report
    assert "case-" not in paths.json.read_text(encoding="utf-8")
    again = build_report(sample_outcome(), all_baselines())
    write_report(tmp_path / "report", again, illustrate(again))
    assert paths.html.read_bytes() == first
    assert sorted(path.name for path in paths.html.parent.iterdir()) == ["report.html", "report.json"]


def test_page_states_a_guarantee_whole() -> None:
    outcome = private_outcome()
    page = html.unescape(render_page(build_report(outcome), []))
    _outline(page)
    guarantee = outcome.guarantee
    assert guarantee and outcome.privacy.rstrip(".") in page
    for part in (guarantee.neighbouring, guarantee.adversary, guarantee.composition, guarantee.accountant):
        assert page.count(part) >= 2, "in the sentence and in its parts"
    for channel in outcome.channels:
        assert channel.why in page
    assert "It began with the last model of run pretraining (" in page and PUBLIC_DATA in page and "2d" * 32 in page
    assert "clipped and noised at each hospital; no case count, loss or score did" in page
    assert "puts no bound" not in page


def test_page_shows_no_weight_as_a_number_of_cases() -> None:
    assert told_cases(private_outcome()) == {"not told"}
    assert "not told" not in told_cases(sample_outcome())


def told_cases(outcome: RunOutcome) -> set[str]:
    """Is what the table of participants says about training cases."""
    rows = render_page(build_report(outcome), []).split('<tr><th scope="row">hospital-')
    return {cell for row in rows[1:] for cell in re.findall(r'<td class="n">([^<]*)</td>', row)[:1]}


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"privacy": NO_GUARANTEE}, "the scores shown here did; updates can reveal something"),
        ({"privacy": f"{NO_GUARANTEE} (open: updates)"}, "this run puts no bound on that"),
        ({"privacy": PUBLIC_DATA}, "made from cases that their hospitals declare public"),
    ],
)
def test_page_says_what_is_not_guaranteed(change: dict[str, str], said: str) -> None:
    page = render_page(build_report(sample_outcome().model_copy(update=change)), [])
    assert said in page and f"<strong>{change['privacy']}</strong>" in page


def test_page_says_that_the_server_adds_a_hospitals_noise() -> None:
    outcome = private_outcome()
    assert outcome.guarantee
    unit = {"unit": "hospital", "neighbouring": "add or remove one hospital"}
    guarantee = outcome.guarantee.model_copy(update=unit)
    claimed = outcome.model_copy(update={"guarantee": guarantee, "privacy": guarantee.said()})
    assert "the server saw before it added the noise" in render_page(build_report(claimed), [])


def test_a_comparison_is_said_to_be_outside_the_guarantee() -> None:
    said = "guarantee does not cover them"
    compared = build_report(private_outcome(), [local_baseline("hospital-a", 0.0)])
    assert any(said in caveat for caveat in compared.caveats)
    assert not any(said in caveat for caveat in build_report(private_outcome()).caveats)
    assert not any(said in caveat for caveat in build_report(sample_outcome(), all_baselines()).caveats)


def test_report_holds_the_claim_for_programs(tmp_path: Path) -> None:
    write_report(tmp_path, build_report(private_outcome()), [])
    run = json.loads((tmp_path / "report.json").read_text())["run"]
    assert run["guarantee"]["unit"] == "patient" and run["guarantee"]["epsilon"] > 0
    assert len(run["channels"]) == 11 and run["start_from"]["run_key"] == "pretraining"
