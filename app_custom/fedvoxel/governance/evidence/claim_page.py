"""`claim_draft.md`: what a run's artefacts say to each item of CLAIM, a draft for the authors of a paper.

Source: Mongan, Moy and Kahn, Checklist for Artificial Intelligence in Medical Imaging (CLAIM), Radiology: Artificial
Intelligence 2(2), 2020, e200029; the words for its items are ours.
"""

from collections.abc import Iterator, Mapping
from typing import Any

from fedvoxel.governance.evidence.checklist import Known, checklist_page
from fedvoxel.governance.evidence.page_words import plain, told

_ITEMS = (
    "title: which kind of method",
    "abstract",
    "background, intended use and clinical role",
    "aims and hypotheses",
    "prospective or retrospective",
    "goal of the study",
    "data sources",
    "who was eligible, where and when",
    "preprocessing",
    "selection of subsets",
    "definitions of data elements",
    "de-identification",
    "missing data",
    "reference standard",
    "why this reference standard",
    "who annotated, with which qualification",
    "tools for annotation",
    "variability within and between annotators",
    "intended sample size",
    "how cases were assigned to partitions",
    "level at which partitions are disjoint",
    "description of the model",
    "software with versions",
    "initialisation of parameters",
    "training approach",
    "how the final model was chosen",
    "ensembles",
    "measures of performance",
    "statistical significance and uncertainty",
    "robustness",
    "explainability",
    "validation on external data",
    "flow of participants",
    "demographic and clinical characteristics of cases",
    "performance on all partitions",
    "estimates of accuracy and their precision",
    "failures",
    "limitations, bias, generalisability",
    "implications for practice",
    "registration",
    "where the full protocol is",
    "funding",
)
CLAIM = {f"item {number}": what for number, what in enumerate(_ITEMS, start=1)}


def claim_draft(known: Known) -> str:
    """Returns the page."""
    note = (
        "A draft for authors who report on the model of this run: what verified artefacts and the form say to each "
        "item of the Checklist for Artificial Intelligence in Medical Imaging (Mongan, Moy, Kahn 2020), told in words "
        "of our own. It does not say that a report is complete."
    )
    said = {f"item {number}": text for number, text in (_study(known) | _model(known) | _results(known)).items()}
    return checklist_page("CLAIM: a draft", note, CLAIM, said)


def _study(known: Known) -> dict[int, str]:
    run, cohort, classes = known.facts["outcome"], known.of("job", "cohort"), known.of("job", "classes")
    unusable = {site: one["unusable_cases"] for site, one in run.get("sites", {}).items()}
    return {
        1: f"deep learning for segmentation; federated, hospitals: {len(unusable)}" if run else "",
        3: known.asked("intended_use"),
        4: known.asked("goals"),
        7: f"cohort {cohort} of each hospital" if cohort else "",
        8: known.asked("population"),
        11: f"structures: {classes}" if classes else "",
        13: f"cases that a hospital could not use: {told(unusable)}" if run else "",
    }


def _model(known: Known) -> dict[int, str]:
    run, files = known.facts["outcome"], known.named("job")
    if not run:
        return {22: known.of("job", "network")}
    start, best = run["start_from"], run["best_round"]
    rounds = f"rounds planned {run['rounds_planned']}, committed {run['rounds_committed']}"
    return {
        9: files,
        22: known.of("job", "network"),
        23: told(run["versions"]),
        24: f"the model of run {plain(start['run_key'])}" if start else "no earlier model",
        25: "; ".join(filter(None, (f"federated, {rounds}; privacy: {plain(run['privacy'])}", files))),
        26: f"round {best} had the best validation score" if best is not None else "the last round's model",
        41: known.named("job", "provenance"),
    }


def _results(known: Known) -> dict[int, str]:
    judged = [one.facts for one in known.those("evaluation")]
    scores = "; ".join([*_scores(known.facts["outcome"]), *(line for facts in judged for line in _judged(facts))])
    external = ", ".join(filter(None, (known.named("cross_site"), known.evaluations("external"))))
    return {
        28: "Dice by structure and hospital" if scores else "",
        29: "intervals by bootstrap" if scores else "",
        32: external,
        34: known.named("cohort_statistics"),
        36: scores,
        37: known.named("reader_study"),
        38: known.named("model_card"),
        42: known.asked("funding"),
    }


def _scores(run: Mapping[str, Any]) -> Iterator[str]:
    for site, one in sorted(run.get("sites", {}).items()):
        for name, score in sorted(((one["test"] or {}).get("classes") or {}).items()):
            low, high = told(score["dice_low"]), told(score["dice_high"])
            mean = told(score["dice_mean"])
            yield f"{plain(name)} at {site}: Dice {mean} ({low} to {high}), test cases {score['cases']}"


def _judged(facts: Mapping[str, Any]) -> Iterator[str]:
    for one in facts.get("structures", ()):
        low, high = told(one["low"]), told(one["high"])
        yield (
            f"{plain(one['name'])} in an evaluation at a hospital: Dice {told(one['value'])} ({low} to {high}), "
            f"patients {one['patients']}"
        )
