"""`datasheet_SITE.md`: what the run and its cohort statistics disclose of one hospital, and nothing more.

Source: Gebru et al. 2021, Datasheets for Datasets, Communications of the ACM 64(12).
"""

from collections.abc import Iterator, Sequence
from typing import Any

from fedvoxel.governance.evidence.artefact import Artefact
from fedvoxel.governance.evidence.page_words import NOT_TOLD, answer_rows, artefact_table, plain, table, told

_SCORES = ("cases", "dice_mean", "dice_low", "dice_high", "hd95_mm_median")
_STATISTICS = {
    "minimum_cases": "no number is about fewer cases than",
    "cases": "cases",
    "cases_per_split": "cases by part",
    "refused_per_reason": "cases that cannot be used, by reason",
    "median_spacing_mm": "median voxel size in mm (right, anterior, superior)",
    "median_shape": "median volume in voxels (right, anterior, superior)",
    "cases_with_class": "cases in which a class is marked",
    "suppressed_cells": "numbers that the hospital has hidden",
}
_FIELDS = ("ethics_approval", "legal_basis", "retention")


def datasheet(site: str, artefacts: Sequence[Artefact], answers: dict[str, str]) -> str:
    """Returns the page of one hospital.

    Args:
        site: Its pseudonym.
        artefacts: All that were looked for.
        answers: What people have stated.
    """
    return "\n".join(_lines(site, artefacts, answers)) + "\n"


def _lines(site: str, artefacts: Sequence[Artefact], answers: dict[str, str]) -> Iterator[str]:
    run, job, statistics = (facts_of(artefacts, kind) for kind in ("outcome", "job", "cohort_statistics"))
    yield from (f"# Datasheet of {site}", "")
    yield f"Run {plain(run['run_key'])}. Numbers about fewer than {run['minimum_cases']} cases are left out, and so is"
    yield f"what the run does not disclose (“{NOT_TOLD}”)."
    log = facts_of(artefacts, "site_audit_log", site)
    yield from ("", "## In this run", "", *_in_run(run["sites"][site], job), *_cohort(log), "")
    yield from ("## How good the model is on its unseen cases", "", *_scores(run["sites"][site]), "")
    yield from ("## What its cohort statistics disclose", "", *_statistics(site, statistics), "")
    yield from ("## Privacy", "", f"- the run says: {plain(run['privacy'])}", *_privacy(site, artefacts), "")
    yield from ("## What only people can say", "", *table(("question", "answer"), answer_rows(_FIELDS, answers)), "")
    used = [one.entry for one in artefacts if one.entry.site == site or one.entry.kind in _COMMON]
    yield from ("## From these artefacts", "", *artefact_table(used))


_COMMON = ("outcome", "job", "cohort_statistics")


def facts_of(artefacts: Sequence[Artefact], kind: str, site: str = "") -> dict[str, Any]:
    """Returns what the artefact of a kind says; nothing where it is missing."""
    found = next((one for one in artefacts if (one.entry.kind, one.entry.site) == (kind, site)), None)
    return dict(found.facts) if found else {}


def _in_run(site: dict[str, Any], job: dict[str, Any]) -> Iterator[str]:
    yield f"- cohort: {told(job.get('cohort'))}; classes: {told(job.get('classes'))}"
    missing, refused = told(site["rounds_missing"]), told(site["rounds_refused"])
    yield f"- rounds with its update: {told(site['rounds_contributed'])}; missing: {missing}; refused: {refused}"
    yield f"- training cases, as of its last contribution: {told(site['training_cases'])}"
    yield f"- cases that it could not use: {told(site['unusable_cases'])}"


def _cohort(log: dict[str, Any]) -> Iterator[str]:
    """Says by which hash the hospital's log names its cohort, keyed so that nobody else can work it out."""
    for name, sha256 in log.get("cohorts", {}).items():
        yield f"- hash of cohort {plain(name)} in the hospital's log: `{sha256}`"


def _scores(site: dict[str, Any]) -> list[str]:
    score = site["test"]
    if not score:
        return ["The run discloses no scores of this hospital, or they are about too few cases."]
    rows = [
        (plain(name), *(told(one.get(column)) for column in _SCORES)) for name, one in sorted(score["classes"].items())
    ]
    head = ("class", "cases", "mean Dice", "low", "high", "median surface distance (mm)")
    return [f"{score['cases']} test cases.", "", *table(head, rows)]


def _statistics(site: str, statistics: dict[str, Any]) -> list[str]:
    if not statistics:
        return ["No cohort statistics were found."]
    if site in statistics["below_minimum"]:
        return ["The hospital has fewer cases than its own minimum, and told nothing else."]
    if site in statistics["not_repeated"]:
        return ["The hospital tells numbers about fewer cases than a pack does, so that none is repeated here."]
    said = statistics["sites"].get(site)
    if said is None:
        return ["The statistics do not include this hospital."]
    return table(("", "told"), [(words, told(said[key])) for key, words in _STATISTICS.items()])


def _privacy(site: str, artefacts: Sequence[Artefact]) -> Iterator[str]:
    for one in artefacts:
        if one.entry.site != site or one.entry.check == "missing":
            continue
        if one.entry.kind == "privacy_policy":
            yield f"- the hospital's policy: {told(one.facts['cohorts'])}"
        if one.entry.kind == "privacy_ledger" and one.facts:
            budget, spent = one.facts["budget"], one.facts["spent"]
            yield (
                f"- ledger of each {one.facts['unit']} of {plain(one.facts['cohort'])}: of {told(budget)}, spent by "
                f"all runs {told(spent)}; by this run {told(one.facts['this_run'])}"
            )
