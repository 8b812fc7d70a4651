"""`fedvoxel site`: prepares a hospital's kit (or the server's), says whether it is ready, and runs it."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.table import Table

from fedvoxel.cli import site_approval
from fedvoxel.cli.pacs_findings import SHORT_S, checked
from fedvoxel.cli.site_certificates import install, renew, request
from fedvoxel.cli.site_score import score
from fedvoxel.errors import ConfigError, FedVoxelError, SiteCheckError
from fedvoxel.governance.finding import Finding, error, has_errors, ok, warning
from fedvoxel.governance.kit import Kit, open_kit

if TYPE_CHECKING:
    from fedvoxel.volumes.site import SiteConfig

app = typer.Typer(
    no_args_is_help=True, add_completion=False, help="Prepare a hospital's kit, check that it is ready, and run it."
)

app.command(epilog="Example: fedvoxel site score hospital-a downloads/3c5c62d1")(score)
app.command(epilog="Example: fedvoxel site request hospital-a --org hospital_a")(request)
app.command(epilog="Example: fedvoxel site install hospital-a.kit.zip --key hospital-a.key --fingerprint SHA256:...")(
    install
)
app.command(epilog="Example: fedvoxel site renew hospital-a hospital-a.crt")(renew)
app.command(epilog=site_approval.APPROVE_EXAMPLE)(site_approval.approve)
app.command(epilog=site_approval.REFUSE_EXAMPLE)(site_approval.refuse)
app.command(epilog=site_approval.LIST_EXAMPLE)(site_approval.approvals)

KitArgument = Annotated[
    Path, typer.Argument(help="The startup kit: the folder with startup/ and local/ in it.", show_default=False)
]
_COLOURS = {"ok": "green", "warning": "yellow", "error": "red"}


@app.command(epilog="Example: fedvoxel site check hospital-a")
def check(
    kit: KitArgument,
    as_json: Annotated[bool, typer.Option("--json", help="Write JSON to standard output.")] = False,
) -> None:
    """Says whether certificates, policy, data, disk, memory and the server are in order, and what to do if not.

    Exit code 9 when something must be corrected before the kit is started.
    """
    opened = open_kit(kit)
    findings = site_findings(opened)
    if as_json:
        shown = {"schema_version": 1, "kit": opened.name, "kind": opened.kind, "ready": not has_errors(findings)}
        typer.echo(json.dumps({**shown, "findings": [finding.as_json() for finding in findings]}, indent=2))
    else:
        _show(opened, findings)
    _refuse_errors(opened, findings)


@app.command(epilog="Example: fedvoxel site init hospital-a")
def init(kit: KitArgument) -> None:
    """Writes the safe local policy anew into a kit that was made with an earlier version; safe to repeat.

    Your own local/resources.json, authorization.json, privacy.json, fedvoxel_site.json, fedvoxel_privacy.json and
    fedvoxel_approval.json are left as they are.
    """
    from fedvoxel.governance.local_policy import write_local_policy
    from fedvoxel.governance.start_scripts import adapt_start_scripts

    opened = open_kit(kit)
    written = write_local_policy(opened) if opened.kind in ("server", "site") else []
    adapt_start_scripts(opened)
    names = [f"local/{name}" for name in written] + ["the start script"]
    Console().print(f"{opened.name}: wrote {', '.join(names)}", soft_wrap=True, highlight=False)


@app.command(epilog="Example: fedvoxel site start hospital-a")
def start(kit: KitArgument) -> None:
    """Checks the kit and runs it until it is stopped (Ctrl-C or SIGTERM); made to be run by systemd or a container."""
    from fedvoxel.flare.kit_process import run_kit

    opened = open_kit(kit)
    check_ready(opened)
    raise typer.Exit(run_kit(opened))


def check_ready(opened: Kit) -> None:
    """Shows what is not in order.

    Raises:
        SiteCheckError: Something must be corrected before the kit is started.
    """
    findings = site_findings(opened)
    if any(finding.level != "ok" for finding in findings):
        _show(opened, findings)
    _refuse_errors(opened, findings)


def site_findings(kit: Kit) -> list[Finding]:
    """Returns everything that the checks found for a kit."""
    from fedvoxel.governance.certificates import check_certificates
    from fedvoxel.governance.ledger_presence import check_note
    from fedvoxel.governance.relay_policy import check_relay
    from fedvoxel.governance.surroundings import check_surroundings

    findings = check_certificates(kit) + check_relay(kit)
    if kit.kind in ("server", "site"):
        findings += _policy_findings(kit) + check_note(kit)
    if kit.kind == "site":
        findings += _data_findings(kit)
    return findings + check_surroundings(kit)


def _policy_findings(kit: Kit) -> list[Finding]:
    from fedvoxel.governance.local_policy import OUTBOUND_FILTER
    from fedvoxel.governance.site_policy import check_policy, privacy_filters

    findings = check_policy(kit)
    if has_errors(findings):
        return findings
    filters = [entry for entry in privacy_filters(kit) if entry != OUTBOUND_FILTER]
    if filters:
        from fedvoxel.flare.kit_filters import check_filter_classes

        findings += check_filter_classes(filters)
    return findings


def _data_findings(kit: Kit) -> list[Finding]:
    """Says of each described cohort what may leave about it and what is usable."""
    from fedvoxel.governance.cohort_policy import check_cohort_policy
    from fedvoxel.governance.ledger_presence import check_ledgers
    from fedvoxel.volumes.site import SITE_FILE, load_site_config

    try:
        site = load_site_config(kit.local / SITE_FILE)
    except ConfigError as problem:
        return [*check_cohort_policy(kit, ()), error("data", f"{problem}; correct local/{SITE_FILE}")]
    decided = check_cohort_policy(kit, site.cohorts) + check_ledgers(kit, site.cohorts) + _promise_findings(kit, site)
    decided += [checked(site, name, kit.local, SHORT_S) for name in site.pacs]
    decided += [_reading_finding(kit, site, name) for name in site.reader_studies]
    decided += [_watch_finding(kit, site, name) for name in site.drift_watches]
    if not site.cohorts:
        none = f"no cohort is described yet: jobs find no data here; add one to local/{SITE_FILE}"
        return [*decided, warning("data", none)]
    return decided + [_cohort_finding(kit, name) for name in site.cohorts]


def _promise_findings(kit: Kit, site: "SiteConfig") -> list[Finding]:
    """Says which promise of the site's privacy policy cannot be kept; what cannot be read is said elsewhere."""
    from fedvoxel.flare.cohort_size import budget_problem
    from fedvoxel.flare.patient_promises import promise_problems
    from fedvoxel.privacy.policy import load_privacy_policy

    problems: list[str | None] = []
    try:
        policy = load_privacy_policy(kit.local)
        for name, budget in policy.budgets().items():
            if name in site.cohorts:
                problems += promise_problems(site, policy, name, kit.local)
                problems.append(budget_problem(name, budget, site, kit.local))
    except FedVoxelError:
        return []
    return [error("policy", problem) for problem in problems if problem]


def _reading_finding(kit: Kit, site: "SiteConfig", name: str) -> Finding:
    """Says whether a reader study would get counts of a reading; none is no reason not to start."""
    from fedvoxel.evaluation.reading.finished import read_finished
    from fedvoxel.privacy.policy import load_privacy_policy

    declared = site.reader_studies[name]
    try:
        site.reader_study(name, declared.cohort)
        finished = read_finished(kit.local / declared.folder)
        least = load_privacy_policy(kit.local).reader_studies(declared.cohort).minimum_cases
    except FedVoxelError as problem:
        return warning("readings", f"reader study {name}: a job that asks for it is told nothing: {problem}")
    read = f"{len(finished.cases)} of {finished.listed} cases of package {finished.package[:12]} are read"
    return ok("readings", f"reader study {name}: {read}; counts of fewer than {least} cases are hidden")


def _watch_finding(kit: Kit, site: "SiteConfig", name: str) -> Finding:
    """Says whether a drift watch would get counts of a model's use; none is no reason not to start."""
    from fedvoxel.privacy.policy import load_privacy_policy

    declared = site.drift_watches[name]
    try:
        site.drift_watch(name, declared.cohort)
        least = load_privacy_policy(kit.local).drift_watches(declared.cohort).minimum_images
    except FedVoxelError as problem:
        return warning("watches", f"drift watch {name}: a job that asks for it is told nothing: {problem}")
    if not (kit.local / declared.folder).is_dir():
        return warning("watches", f"drift watch {name}: there is no folder of results where local/ says it is")
    return ok("watches", f"drift watch {name}: counts of fewer than {least} images are hidden")


def _cohort_finding(kit: Kit, name: str) -> Finding:
    from fedvoxel.volumes.check import check_cohort
    from fedvoxel.volumes.site import SITE_FILE, load_site_config

    details = f"see: fedvoxel cohort check --site {kit.local / SITE_FILE} --cohort {name}"
    try:
        report = check_cohort(load_site_config(kit.local / SITE_FILE), name, None, kit.local)
    except FedVoxelError as problem:
        return error("data", f"cohort {name}: {problem}")
    if not report.usable:
        return error("data", f"cohort {name}: none of {len(report.refused)} cases is usable; {details}")
    if report.refused:
        return warning(
            "data", f"cohort {name}: {len(report.usable)} cases usable, {len(report.refused)} refused; {details}"
        )
    return ok("data", f"cohort {name}: {len(report.usable)} cases usable")


def _show(kit: Kit, findings: list[Finding]) -> None:
    table = Table(title=f"{kit.name} ({kit.kind} of {kit.project})", show_lines=False)
    for heading in ("", "about", "what"):
        table.add_column(heading, overflow="fold")
    for finding in findings:
        table.add_row(f"[{_COLOURS[finding.level]}]{finding.level}[/]", finding.topic, finding.message)
    Console().print(table)


def _refuse_errors(kit: Kit, findings: list[Finding]) -> None:
    errors = [finding for finding in findings if finding.level == "error"]
    if errors:
        more = f" (and {len(errors) - 1} more)" if len(errors) > 1 else ""
        raise SiteCheckError(f"{kit.name} is not ready: {errors[0].topic}: {errors[0].message}{more}")
