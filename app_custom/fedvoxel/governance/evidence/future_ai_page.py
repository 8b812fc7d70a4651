"""`future_ai_draft.md`: what a run's artefacts say to each recommendation of FUTURE-AI.

Source: Lekadir et al., FUTURE-AI: international consensus guideline for trustworthy and deployable artificial
intelligence in healthcare, BMJ 388, 2025, e081554; the words for its recommendations are ours.
"""

from fedvoxel.governance.evidence.checklist import Known, checklist_page

FUTURE_AI = {
    "fairness 1": "sources of bias, looked for from the beginning",
    "fairness 2": "attributes of people and data, collected where it is allowed",
    "fairness 3": "biases measured, and what was done about them",
    "universality 1": "intended settings, and how they vary",
    "universality 2": "standards of the field that were used",
    "universality 3": "evaluation on external data, or at several places",
    "universality 4": "validity at each place, before it is used there",
    "traceability 1": "risk management over the whole life",
    "traceability 2": "technical and clinical documentation",
    "traceability 3": "quality control of inputs and outputs",
    "traceability 4": "periodic auditing and updating",
    "traceability 5": "logs of use",
    "traceability 6": "governance: who answers for what",
    "usability 1": "intended use and what users require",
    "usability 2": "interaction with people, and their oversight",
    "usability 3": "training of users",
    "usability 4": "usability in clinical work",
    "usability 5": "clinical utility and safety",
    "robustness 1": "sources of variation in data",
    "robustness 2": "training data that represent them",
    "robustness 3": "robustness, measured and improved",
    "explainability 1": "whether explanations are needed, and which",
    "explainability 2": "explanations evaluated with users",
    "general 1": "stakeholders of several disciplines throughout",
    "general 2": "protection of data",
    "general 3": "measures against risks",
    "general 4": "a plan of evaluation",
    "general 5": "which rules apply",
    "general 6": "ethical issues",
    "general 7": "effects on society",
}


def future_ai_draft(known: Known) -> str:
    """Returns the page."""
    note = (
        "A draft for whoever judges the model of this run by FUTURE-AI (Lekadir et al., BMJ, 2025): what verified "
        "artefacts and the form say to each recommendation, told in words of our own. It does not say that one is met."
    )
    said = {
        "fairness 1": known.asked("biases"),
        "fairness 2": known.named("cohort_statistics"),
        "fairness 3": known.evaluations("groups"),
        "universality 1": known.asked("intended_use", "population"),
        "universality 2": known.named("package"),
        "universality 3": ", ".join(filter(None, (known.named("cross_site"), known.evaluations("external")))),
        "traceability 1": known.asked("risk_owner", "review_plan"),
        "traceability 2": known.named("model_card", "provenance", "sbom"),
        "traceability 3": known.named("calibration"),
        "traceability 4": known.asked("review_plan", "changes"),
        "traceability 5": known.named("server_audit_log", "site_audit_log"),
        "traceability 6": known.asked("risk_owner"),
        "usability 1": known.asked("intended_use"),
        "usability 3": known.asked("staff_training"),
        "usability 4": known.named("reader_study"),
        "robustness 1": known.named("cohort_statistics"),
        "robustness 3": known.named("cross_site", "calibration"),
        "general 1": known.asked("team"),
        "general 2": known.named("privacy_ledger", "privacy_policy", "privacy_audit"),
        "general 3": known.asked("risk_tolerance", "impacts"),
        "general 4": known.asked("acceptance"),
        "general 5": known.asked("legal_basis"),
        "general 6": known.asked("ethics_approval"),
    }
    return checklist_page("FUTURE-AI: a draft", note, FUTURE_AI, said)
