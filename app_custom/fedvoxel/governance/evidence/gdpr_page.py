"""`gdpr_record.md`: a draft of the record of processing activities (GDPR, Article 30(1)) from artefacts and the form.

What an artefact says stands beside its kind; what only a person can say comes from the form, or is said to be needed.
"""

from collections.abc import Iterator, Sequence

from fedvoxel.governance.evidence.artefact import KINDS, Artefact
from fedvoxel.governance.evidence.datasheet_page import facts_of
from fedvoxel.governance.evidence.page_words import answer_rows, artefact_table, plain, table, told

_MEASURES = ("server_audit_log", "server_policy", "site_policy", "privacy_ledger", "approvals", "job", "package")


def gdpr_record(artefacts: Sequence[Artefact], answers: dict[str, str]) -> str:
    """Returns the page.

    Args:
        artefacts: All that were looked for.
        answers: What people have stated.
    """
    return "\n".join(_lines(artefacts, answers)) + "\n"


def _lines(artefacts: Sequence[Artefact], answers: dict[str, str]) -> Iterator[str]:
    run, job = facts_of(artefacts, "outcome"), facts_of(artefacts, "job")
    yield from ("# Record of processing: a draft", "")
    yield f"Federated training, run {plain(run['run_key'])}, job {plain(run['job_id'])}."
    yield f"From {run['started']} to {run['finished']}. After Article 30(1) of the GDPR. It is no legal advice, and"
    yield "complete only once people have answered what is asked."
    sections: dict[str, list[str]] = {
        "(a) Controller, representative, data protection officer": _asked(
            ("controller", "data_protection_officer"), answers
        ),
        "(b) Purposes, and their legal basis": _asked(("intended_use", "legal_basis", "ethics_approval"), answers),
        "(c) Data subjects and categories of data": [
            f"- cohort: {told(job.get('cohort'))}; structures: {told(job.get('classes'))} (the job's files)",
            f"- hospitals: {told(sorted(run['sites']))} (the outcome)",
            f"- people who submitted the job, named in logs: {told(job.get('submitted_by'))} (the server's audit log)",
        ],
        "(d) Recipients, and what reached them": [
            f"- the server received {run['bytes_up']} bytes of updates and sent {run['bytes_down']} (the outcome)",
            *_channels(run["channels"]),
        ],
        "(d), (e) Recipients outside, third countries": _asked(("transfers",), answers),
        "(f) Erasure": _asked(("retention",), answers),
        "(g) Security (Article 32(1))": [
            f"- privacy of the run: {plain(run['privacy'])} (the outcome)",
            "",
            *artefact_table(one.entry for one in artefacts if one.entry.kind in _MEASURES),
        ],
    }
    for heading, lines in sections.items():
        yield from ("", f"## {heading}", "", *lines)
    absent = sorted({KINDS[one.entry.kind] for one in artefacts if one.entry.check == "missing"})
    yield from ("", "## Not found", "", *(f"- {words}" for words in absent))


def _asked(fields: Sequence[str], answers: dict[str, str]) -> list[str]:
    return table(("question", "answer"), answer_rows(fields, answers))


def _channels(channels: Sequence[dict[str, str]]) -> list[str]:
    if not channels:
        return ["- the outcome lists no channels by which private cases could have shown"]
    rows = [(plain(one["name"]), one["status"], plain(one["why"])) for one in channels]
    return ["", *table(("what could have carried private cases out", "status", "why"), rows)]
