"""How a site's withdrawal is shown: sentences for people, JSON for scripts."""

import json
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from fedvoxel.cli.certificates_view import say

if TYPE_CHECKING:
    from fedvoxel.cli.withdrawal_releases import Judged
    from fedvoxel.export.trust import Signer
    from fedvoxel.governance.withdrawal import Findings
    from fedvoxel.governance.withdrawal_certificate import (
        LostRun,
        RevokedCertificate,
        WithdrawalCertificate,
        WithdrawnRun,
    )

_PARTS = {
    "trained": "trained from round {} on",
    "inherited": "the run began with a model that holds the site",
    "unknown": "the run began with a model of which nobody can say whether it holds the site",
    "beside": "no update in a model; scores or the first model only",
}


def show_found(
    found: "Findings", judged: "Sequence[Judged]", revoked: "Sequence[RevokedCertificate]", trouble: str | None
) -> None:
    """Shows what was found of a site."""
    from fedvoxel.governance.withdrawal import restarts

    _show_runs(found.site, found.runs)
    for lost in found.lost_runs:
        which = f"Run {lost.run_key} (jobs {', '.join(lost.jobs)}), of which the log alone is left"
        say(f"{which}: {_counted(lost)}")
    for run_key, start_from in restarts(found):
        say(f'Begin run {run_key} again, under a new run_key, with "start_from": {json.dumps(start_from)}')
    for one in judged:
        release = one.release
        say(f"Release {release.name} {release.version} ({release.state}): {one.verdict}, {one.why}")
    for run_key in found.unfinished:
        say(f"Run {run_key} has not ended: nothing can be certified before it has; abort its job in the console")
    serials = ", ".join(one.serial for one in revoked) or "none; those that there were have expired"
    say(trouble or f"Revoked certificates: {serials}")


def show_statement(certificate: "WithdrawalCertificate", signer: "Signer") -> None:
    """Shows a certificate that was verified."""
    said = certificate.statement
    say(f"Certificate of withdrawal of {said.site}, issued by {signer} at {certificate.signature.signed_at}")
    _show_runs(said.site, said.runs)
    for release in said.releases or ():
        say(f"Release {release.name} {release.version} is withdrawn since {release.withdrawn}: {release.reason}")
    for line in said.unclear_releases:
        say(f"Release of which nobody can say what it holds: {line}")
    say("Not undone or not covered:", *(f"- {line}" for line in said.not_undone), said.re_aggregation)


def found_as_json(
    found: "Findings", judged: "Sequence[Judged]", revoked: "Sequence[RevokedCertificate]", trouble: str | None
) -> dict[str, Any]:
    """Returns what was found as a JSON-like mapping."""
    from fedvoxel.governance.withdrawal import restarts

    releases = [
        {"name": one.release.name, "version": one.release.version, "state": one.release.state}
        | {"verdict": one.verdict, "why": one.why}
        for one in judged
    ]
    return {
        "schema_version": 1,
        "site": found.site,
        "runs": [run.model_dump(mode="json") for run in found.runs],
        "lost_runs": [lost.model_dump(mode="json") for lost in found.lost_runs],
        "start_from": dict(restarts(found)),
        "releases": releases,
        "unfinished": list(found.unfinished),
        "revoked": [one.model_dump(mode="json") for one in revoked],
        "not_revoked": trouble,
    }


def certificate_as_json(
    certificate: "WithdrawalCertificate", signer: "Signer", verdict: tuple[str, str] | None
) -> dict[str, Any]:
    """Returns a certificate that was verified as a JSON-like mapping."""
    by = {"name": signer.name, "role": signer.role, "organisation": signer.organisation}
    model = {"verdict": verdict[0], "why": verdict[1]} if verdict else None
    return {"signed_by": by, "model": model, **certificate.model_dump(mode="json")}


def _show_runs(site: str, runs: "Sequence[WithdrawnRun]") -> None:
    if not runs:
        say(f"No run on this server has to do with {site}.")
        return
    for run in runs:
        part = _PARTS[run.part].format(run.trained_round)
        say(f"Run {run.run_key} ({run.status}): {part}; {_counted(run)}")
        say(f"  excludes it: {_excluding(run)}")


def _counted(run: "WithdrawnRun | LostRun") -> str:
    return f"{len(run.contaminated)} models hold it" + (f", {len(run.may_hold)} may" if run.may_hold else "")


def _excluding(run: "WithdrawnRun") -> str:
    if not run.excluding:
        return f"none: {run.none_because}"
    last = run.excluding[-1]
    sites = ", ".join(last.sites) or "nobody"
    signed = len(last.log.countersigned)
    made = f"the model from before round {last.round}, in which {sites} had taken part"
    return f"{made}; SHA-256 {last.sha256}; the server's log of it is countersigned by {signed} sites"
