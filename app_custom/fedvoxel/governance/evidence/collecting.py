"""Looks for every artefact of a run in the order in which the pack lists them."""

import hashlib
from collections.abc import Sequence
from pathlib import Path

from fedvoxel.governance.evidence.artefact import KINDS, Artefact, Entry
from fedvoxel.governance.evidence.form import FORM, QUESTIONS
from fedvoxel.governance.evidence.logs import log_artefacts, read_logs
from fedvoxel.governance.evidence.package_artefacts import PackageFacts, package_artefacts, why_stranger
from fedvoxel.governance.evidence.result_artefacts import Results
from fedvoxel.governance.evidence.risk_map import ANSWER
from fedvoxel.governance.evidence.run_artefacts import run_artefacts
from fedvoxel.governance.evidence.server_artefacts import server_artefacts
from fedvoxel.governance.evidence.site_artefacts import site_artefacts
from fedvoxel.governance.evidence.subject import Subject


def collect(subject: Subject, package: PackageFacts | None, results: Sequence[Path]) -> list[Artefact]:
    """Returns what was found about a run, and what was not.

    Args:
        subject: The run, and the kits.
        package: Its package; None where none was named.
        results: Folders of results and reports besides the run's own.
    """
    logs = read_logs(subject)
    ours = package.sha256 if package and not why_stranger(subject, package) else None
    others = Results(subject, logs, (subject.folder, *results), ours)
    artefacts = [
        *run_artefacts(subject, logs),
        *log_artefacts(subject, logs),
        *server_artefacts(subject),
        *site_artefacts(subject, logs),
        *package_artefacts(subject, package),
        *others.artefacts(),
    ]
    order = list(KINDS)
    return sorted(artefacts, key=lambda one: (order.index(one.entry.kind), one.entry.site, one.entry.source))


def form_entry(content: bytes, answers: Sequence[str]) -> Entry:
    """Returns the form as the inventory has it: found, and what it says checked by nobody.

    Args:
        content: Its bytes.
        answers: The fields that are not blank.
    """
    return Entry(
        kind="human_input",
        source=f"pack: {FORM}",
        sha256=hashlib.sha256(content).hexdigest(),
        check="unverified",
        said=f"{len(answers)} of {len(QUESTIONS)} questions answered; statements of people, checked by nobody",
        shows=tuple(f"{ANSWER}{field}" for field in answers),
        file=FORM,
    )
