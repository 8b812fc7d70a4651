"""`chai_model_card.xml`: the Applied Model Card of the Coalition for Health AI, filled in from artefacts and the form.

Source: CHAI Applied Model Card schema, version 0.2 (a draft), https://mc.chai.org/v0.2/schema.xsd. Every element that
the schema asks for is there; what no artefact says and nobody has stated stands there as that.
"""

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from typing import Any, TypeAlias
from xml.etree import ElementTree

from fedvoxel.governance.evidence.artefact import KINDS, Artefact
from fedvoxel.governance.evidence.datasheet_page import facts_of
from fedvoxel.governance.evidence.page_words import HUMAN

NAMESPACE = "https://mc.chai.org/v0.2/schema.xsd"

Content: TypeAlias = str | Mapping[str, "Content"] | list["Content"]
"""An element's text, its children in order, or several elements of the same name."""

Asked = Callable[..., str]
"""Returns what people have answered to some questions of the form, or that it is needed."""

_RESEARCH = "For research use only. No approval as a medical device is known to the software that wrote this card."
_NOT_TOLD = "No artefact of the run says."


def chai_card(artefacts: Sequence[Artefact], answers: Mapping[str, str]) -> bytes:
    """Returns the card as XML.

    Args:
        artefacts: All that were looked for.
        answers: What people have stated.
    """
    verified = [one for one in artefacts if one.entry.check == "verified"]
    # The card is about the run, whose record there is: whether anybody else knows it too, the summary says.
    facts = {kind: facts_of(verified, kind) for kind in KINDS} | {"outcome": facts_of(artefacts, "outcome")}
    known = any(one.entry.kind == "outcome" for one in verified)

    def asked(*fields: str) -> str:
        return "\n\n".join(answers.get(field, HUMAN) for field in fields)

    root = ElementTree.Element("AppliedModelCard", xmlns=NAMESPACE)
    for part in (partial(_about, known), _use, _trust, _measured):
        for name, content in part(facts, asked).items():
            _add(root, name, content)
    ElementTree.indent(root)
    text: bytes = ElementTree.tostring(root, encoding="utf-8", xml_declaration=True)
    return text + b"\n"


def _add(parent: ElementTree.Element, name: str, content: Content) -> None:
    if isinstance(content, list):
        for one in content:
            _add(parent, name, one)
        return
    made = ElementTree.SubElement(parent, name)
    if isinstance(content, str):
        # XML has no way to say the others at all.
        made.text = "".join(letter for letter in content if letter.isprintable() or letter in "\n\t")
        return
    for child, inner in content.items():
        _add(made, child, inner)


def _about(known: bool, facts: Mapping[str, dict[str, Any]], asked: Asked) -> dict[str, Content]:
    run, job, package, state = facts["outcome"], facts["job"], facts["package"], facts["release"].get("state")
    name, _, version = str(package["name"]).rpartition(" ") if package else (str(run["job_name"]), "", "")
    classes = [str(one) for one in job.get("classes") or ()]
    summary = (
        f"A segmentation model, trained by {len(run['sites'])} hospitals that shared no image, in "
        f"{run['rounds_committed']} rounds (run {run['run_key']}, job {run['job_id']}). Structures: "
        f"{', '.join(classes) or 'not told'}. Privacy: {run['privacy']}"
        f"{'' if known else ' No log that can be trusted names this record of the run.'}"
    )
    return {
        "BasicInfo": {
            "ModelName": name,
            "ModelDeveloper": asked("developer"),
            "DeveloperContact": asked("developer"),
        },
        "ReleaseInfo": {
            "ReleaseStage": f"{state}, says the consortium's index of releases" if state else "No release is known.",
            "ReleaseDate": str(facts["release"].get("at")) if state else "No release is known.",
            "ReleaseVersion": version or "No package was named, which would have one.",
            "GlobalAvailability": _RESEARCH,
            "RegulatoryApproval": _RESEARCH,
        },
        "ModelSummary": {"Summary": summary, "Keywords": {"Keyword": [*classes]}},
    }


def _use(facts: Mapping[str, dict[str, Any]], asked: Asked) -> dict[str, Content]:
    open_ones = [one["name"] for one in facts["outcome"]["channels"] if one["status"] == "open"]
    known = [
        f"Privacy of the training patients: {facts['outcome']['privacy']}",
        *([f"Nobody accounts for what shows by: {', '.join(open_ones)}."] if open_ones else []),
        "The package's model card states its limits." if facts["package"] else _NOT_TOLD,
    ]
    return {
        "UsesAndDirections": {
            "IntendedUseAndWorkflow": asked("intended_use"),
            "PrimaryIntendedUsers": asked("intended_use"),
            "HowToUse": "With fedvoxel predict or review, as the package's card says; a person looks at each result.",
            "TargetedPatientPopulation": asked("population"),
            "CautionedOutOfScopeSettings": asked("population"),
        },
        "Warnings": {
            "KnownRisksAndLimitations": "\n\n".join([*known, asked("impacts")]),
            "KnownBiasesOrEthicalConsiderations": asked("biases"),
            "ClinicalRiskLevel": asked("clinical_risk"),
        },
    }


def _trust(facts: Mapping[str, dict[str, Any]], asked: Asked) -> dict[str, Content]:
    run, job = facts["outcome"], facts["job"]
    cases = {site: one["training_cases"] for site, one in run["sites"].items()}
    characterised = ", ".join(f"{site}: {count if count is not None else 'not told'}" for site, count in cases.items())
    network, start = job.get("network"), run["start_from"]
    return {
        "TrustIngredients": {
            "AISystemFacts": {
                "OutcomesAndOutputs": "A label for each voxel; the package says which structures and codes.",
                "ModelType": f"Neural network: {json.dumps(network, ensure_ascii=False)}" if network else _NOT_TOLD,
                "FoundationModels": f"Began with the model of run {start['run_key']}." if start else "None.",
                "InputDataSource": f"Cohort {job.get('cohort', 'not told')} of {len(run['sites'])} hospitals.",
                "OutputAndInputDataTypes": "Input: one series of volumetric images. Output: a segmentation of it.",
                "DevelopmentDataCharacterization": f"Training cases by hospital: {characterised}.",
                "BiasMitigationApproaches": asked("biases"),
                "OngoingMaintenance": asked("review_plan"),
                "Security": "Mutual TLS, signed jobs, and logs that hospitals countersign; see the pack's inventory.",
                "Transparency": "The pack that this card is part of lists every artefact with its hash.",
            },
            "TransparencyInformation": {
                "FundingSource": asked("funding"),
                "StakeholdersConsulted": asked("team"),
            },
        }
    }


def _measured(facts: Mapping[str, dict[str, Any]], asked: Asked) -> dict[str, Content]:
    run, groups = facts["outcome"], facts["evaluation"].get("groups")
    tested, judged = [*_scores(run)], [*_judged(facts["evaluation"])]
    unseen = "Cases of each hospital that nobody has trained on." if tested else ""
    unseen += " Those of an evaluation at a hospital are as its report says." if judged else ""
    scores = [*tested, *judged]
    refused = sum(one["rounds_refused"] for one in run["sites"].values())
    guarantee = run["guarantee"]
    spent = [_value(f"epsilon for each {guarantee['unit']}", guarantee["epsilon"])] if guarantee else []
    useful = _metric(
        scores, "Overlap with the reference outline (Dice), by structure and hospital.", unseen.strip(), run
    )
    useful["ValidationProcessAndJustification"] += " Intervals: 95 %, by bootstrap." if scores else ""
    fair = _metric([], "Scores by subgroup of patients and scanners.", unseen, run)
    if groups:
        fair["Interpretation"] = f"Judged by {', '.join(groups)}: see to_share.json, whose hash the pack has."
    asked_of_it = "No test: the ledgers' accounts of privacy, and the server's count of refusals."
    loss: list[Content] = [*spent, _value("updates that the server refused", refused)]
    safe = _metric(loss, "Privacy loss of training patients, refusals.", asked_of_it, run)
    safe["TestType"] = "Accounting, no test."
    return {
        "KeyMetrics": {"UsefulnessUsabilityEfficacy": useful, "FairnessEquity": fair, "SafetyReliability": safe},
        "Resources": {
            "PeerReviewedPublications": asked("publications"),
            "PatientConsentOrDisclosure": asked("legal_basis"),
        },
        "Bibliography": "",
    }


def _metric(results: list[Content], goal: str, data: str, run: Mapping[str, Any]) -> dict[str, Any]:
    told = "As measured; whether it suffices is for people to judge."
    return {
        "MetricGoal": goal,
        "Results": {"MetricResult": results or [_value("not told", None)]},
        "Interpretation": told if results else "The artefacts at hand disclose no such number.",
        "TestType": "Retrospective, at the hospitals.",
        "TestingDataDescription": data if results else _NOT_TOLD,
        "ValidationProcessAndJustification": f"Run {run['run_key']}; no number is about fewer than "
        f"{run['minimum_cases']} cases of a hospital.",
    }


def _scores(run: Mapping[str, Any]) -> Iterator[Content]:
    for site, one in sorted(run["sites"].items()):
        for name, score in sorted(((one["test"] or {}).get("classes") or {}).items()):
            mean, low, high = (score[key] for key in ("dice_mean", "dice_low", "dice_high"))
            if mean is None:
                continue
            yield _estimate(f"Dice of {name} at {site}, {score['cases']} cases", mean, low, high)


def _judged(evaluation: Mapping[str, Any]) -> Iterator[Content]:
    for one in evaluation.get("structures", ()):
        label = f"Dice of {one['name']} in an evaluation at a hospital, {one['patients']} patients"
        yield _estimate(label, *(one[key] for key in ("value", "low", "high")))


def _value(label: str, value: float | None) -> dict[str, Content]:
    return {"Label": label, "ValueJson": json.dumps({"kind": "single", "value": value})}


def _estimate(label: str, value: float | None, low: float | None, high: float | None) -> Content:
    if low is None:
        return _value(label, value)
    interval = {"kind": "estimate_ci", "estimate": value, "lower": low, "upper": high, "level": 95}
    return {"Label": label, "ValueJson": json.dumps(interval)}
