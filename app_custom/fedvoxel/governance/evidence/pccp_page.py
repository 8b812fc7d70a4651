"""`pccp_draft.md`: a draft of a predetermined change control plan for the model, from artefacts and the form.

Source: FDA, Marketing Submission Recommendations for a Predetermined Change Control Plan for Artificial Intelligence-
Enabled Device Software Functions (final guidance, December 2024), whose parts it has: description of modifications,
modification protocol, impact assessment. The words are ours.
"""

from collections.abc import Iterator, Sequence

from fedvoxel.governance.evidence.artefact import Artefact
from fedvoxel.governance.evidence.datasheet_page import facts_of
from fedvoxel.governance.evidence.page_words import answer_rows, artefact_table, plain, table, told

_RETRAINING = ("job", "site_policy", "privacy_policy", "approvals", "cohort_statistics")
_EVALUATION = ("cross_site", "evaluation", "reader_study", "results_report", "calibration")
_UPDATE = ("package", "release", "sbom")


def pccp_draft(artefacts: Sequence[Artefact], answers: dict[str, str]) -> str:
    """Returns the page.

    Args:
        artefacts: All that were looked for.
        answers: What people have stated.
    """
    return "\n".join(_lines(artefacts, answers)) + "\n"


def _lines(artefacts: Sequence[Artefact], answers: dict[str, str]) -> Iterator[str]:
    run, job = facts_of(artefacts, "outcome"), facts_of(artefacts, "job")
    release = facts_of(artefacts, "release")
    yield from ("# Predetermined change control plan: a draft", "")
    yield f"For the model of run {plain(run['run_key'])}, job {plain(run['job_id'])}. A plan binds once people have"
    yield "answered what is asked, and an authority has authorised it; neither is said here."
    parts: dict[str, list[str]] = {
        "1. Description of modifications": [
            *_asked(("changes", "population"), answers),
            "",
            "What a modification begins with:",
            "",
            f"- structures: {told(job.get('classes'))}; cohort: {told(job.get('cohort'))} (the job's files)",
            f"- hospitals: {told(sorted(run['sites']))}; rounds: {run['rounds_committed']} (the outcome)",
            f"- began with an earlier model: {'yes' if run['start_from'] else 'no'} (the outcome)",
        ],
        "2. Modification protocol: data and re-training": [
            "The same files of the job, by their hash, or a new plan; each hospital's own files say which cases are",
            "used, and who has to approve. The log of each hospital has what ran there.",
            "",
            *_of(artefacts, _RETRAINING),
        ],
        "2. Modification protocol: performance evaluation": [
            *_asked(("acceptance",), answers),
            "",
            *_of(artefacts, _EVALUATION),
        ],
        "2. Modification protocol: update": [
            f"Present state of the package in the index of releases: {told(release.get('state'))}. A person whose role",
            "allows it signs each change of state; the version before can be released again, and every reader of the",
            "index refuses one that is withdrawn.",
            "",
            *_of(artefacts, _UPDATE),
            "",
            *_asked(("review_plan",), answers),
        ],
        "3. Impact assessment": _asked(("impacts", "risk_owner", "risk_tolerance", "decommissioning"), answers),
    }
    for heading, lines in parts.items():
        yield from ("", f"## {heading}", "", *lines)


def _asked(fields: Sequence[str], answers: dict[str, str]) -> list[str]:
    return table(("question", "answer"), answer_rows(fields, answers))


def _of(artefacts: Sequence[Artefact], kinds: Sequence[str]) -> list[str]:
    return artefact_table(one.entry for one in artefacts if one.entry.kind in kinds)
