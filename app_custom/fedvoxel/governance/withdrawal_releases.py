"""Which releases came of a model that holds updates of a site, by what their packages say of their origin."""

from typing import Literal

from fedvoxel.export.origin import ModelOrigin
from fedvoxel.governance.withdrawal import Findings
from fedvoxel.governance.withdrawal_certificate import LostRun, WithdrawnRun

Verdict = Literal["contains", "clean", "unclear"]
"""Whether a release holds updates of the site; "unclear" where nobody can say."""


def verdict_on(origin: ModelOrigin | None, findings: Findings) -> tuple[Verdict, str]:
    """Returns whether a package's model holds updates of the site, and by what that is known.

    Args:
        origin: What the package says; None where it says nothing, or is not there.
        findings: What was found of the site on the server.
    """
    if origin is None:
        return "unclear", "its package is not there, or does not say which run it is of"
    runs: tuple[WithdrawnRun | LostRun, ...] = (*findings.runs, *findings.lost_runs)
    held = {sha256: run.run_key for run in runs for sha256 in run.contaminated}
    maybe = {sha256: run.run_key for run in runs for sha256 in run.may_hold}
    named = [sha256 for sha256 in (origin.model_sha256, origin.start_sha256) if sha256]
    for sha256 in named:
        if sha256 in held:
            return "contains", f"of run {held[sha256]}"
    for sha256 in named:
        if sha256 in maybe:
            return "unclear", f"run {maybe[sha256]} goes back to a model of which that cannot be said"
    run = next((one for one in findings.runs if origin.job_id in one.jobs), None)
    if run is not None:
        return _of_run(run.part, run.run_key)
    if any(origin.job_id in lost.jobs for lost in findings.lost_runs):
        return "unclear", f"a model of run {origin.run_key} that the log does not name"
    if origin.job_id in findings.others:
        return "clean", f"run {origin.run_key} has nothing to do with the site"
    return "unclear", f"this server does not know job {origin.job_id} of run {origin.run_key}"


def _of_run(part: str, run_key: str) -> tuple[Verdict, str]:
    """Judges a model that is none of the run's contaminated ones."""
    if part == "trained":
        return "clean", f"run {run_key}, from before the site trained in it"
    if part == "beside":
        return "clean", f"run {run_key}, in which the site has not trained"
    return "unclear", f"run {run_key} goes back to a model of which that cannot be said"
