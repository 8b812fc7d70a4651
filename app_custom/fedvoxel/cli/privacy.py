"""`fedvoxel privacy`: what a hospital may spend of its patients' privacy, what it has spent, and how sure that is."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from fedvoxel.cli.privacy_audit import AUDIT_EXAMPLE, audit
from fedvoxel.cli.privacy_reconcile import RECONCILE_EXAMPLE, is_server_kit, reconcile, verify_server_kit
from fedvoxel.cli.privacy_simulate import SIMULATE_EXAMPLE, simulate
from fedvoxel.cli.privacy_view import print_json, show_status, show_unprotected, status_json

if TYPE_CHECKING:
    from fedvoxel.privacy.ledger import Ledger

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    help="Show, check and plan what is spent of a hospital's privacy budget.",
)

app.command("simulate", epilog=SIMULATE_EXAMPLE)(simulate)
app.command("reconcile", epilog=RECONCILE_EXAMPLE)(reconcile)
app.command("audit", epilog=AUDIT_EXAMPLE)(audit)

KitArgument = Annotated[
    Path, typer.Argument(help="The hospital's kit: the folder with local/ and state/ in it.", show_default=False)
]
CohortOption = Annotated[
    str | None, typer.Option("--cohort", help="One cohort; every cohort of the policy by default.")
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON alone on standard output.")]


@app.command(epilog="Example: fedvoxel privacy status hospital-a --cohort hippocampus")
def status(kit: KitArgument, cohort: CohortOption = None, as_json: JsonOption = False) -> None:
    """Shows budget, spent and left of each cohort, which run has spent it, and which cohorts have no budget.

    Exit codes: 3 if the policy is missing or wrong, 12 if a ledger cannot be trusted.
    """
    from fedvoxel.privacy.policy import NoBudget, PublicCohort, load_privacy_policy

    statuses = [ledger.status() for ledger in _ledgers(kit, cohort).values()]
    policy = load_privacy_policy(kit / "local")
    open_ones, public = (policy.decided(kind) if cohort is None else [] for kind in (NoBudget, PublicCohort))
    if as_json:
        protected = [status_json(shown) for shown in statuses]
        print_json({"cohorts": protected, "no_formal_guarantee": open_ones, "declared_public": public})
        return
    for shown in statuses:
        show_status(shown)
    show_unprotected(open_ones, public)
    if not policy.cohorts:
        typer.echo("The site's privacy policy names no cohort: nothing may leave the site.")


@app.command(epilog="Example: fedvoxel privacy verify hospital-a --cohort hippocampus --noted 9f86d081884c7d65...")
def verify(
    kit: KitArgument,
    cohort: CohortOption = None,
    noted: Annotated[
        str | None,
        typer.Option(help="A head's hash, or the id of a sent release, as noted outside the site; needs --cohort."),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Checks every line of the ledgers, and shows each head's hash: note it outside the site, and ask for it later.

    Of a server's kit, the record of what it received and released is checked; see also: fedvoxel privacy reconcile.
    A ledger that was changed, cut or replaced by an older copy is refused with exit code 12. A restored copy of the
    whole site can only be told with --noted.
    """
    if is_server_kit(kit):
        verify_server_kit(kit, noted, as_json)
        return
    if noted is not None and cohort is None:
        raise typer.BadParameter("name the cohort whose ledger should know it with --cohort", param_hint="--noted")
    results: list[dict[str, Any]] = []
    for name, ledger in _ledgers(kit, cohort).items():
        damaged = ledger.verify(noted)
        shown = ledger.status()
        results.append(
            {"cohort": name, "entries": shown.entries, "head": shown.head, "damaged_releases": list(damaged)}
        )
    if as_json:
        print_json({"cohorts": results})
        return
    for result in results:
        typer.echo(f"{result['cohort']}: {result['entries']} entries, unbroken; head {result['head'] or '(empty)'}")
        for release_id in result["damaged_releases"]:
            typer.echo(f"{result['cohort']}: the bytes of release {release_id} are missing or damaged", err=True)


@app.command(
    "record-gap",
    epilog="Example: fedvoxel privacy record-gap hospital-a --cohort hippocampus --epsilon 2.5 --delta 0.0001 "
    "--operator 'J. Doe, IT' --reason 'disk failed, ledger restored from Monday'",
)
def record_gap(
    kit: KitArgument,
    cohort: Annotated[str, typer.Option(help="The cohort whose ledger has lost entries.")],
    epsilon: Annotated[float, typer.Option(min=0, help="What the lost entries have spent; rather more than less.")],
    delta: Annotated[float, typer.Option(min=0, help="Likewise.")],
    operator: Annotated[str, typer.Option(help="Who answers for this.")],
    reason: Annotated[str, typer.Option(help="What happened.")],
    as_json: JsonOption = False,
) -> None:
    """Records what lost entries have spent, after an older copy of a ledger was put back; cannot be undone.

    Stop the site first. Where a line is damaged and there is no other copy, delete the lines from that one on, then
    record the gap. Runs that had begun take no more draws. Exit code 12 if less is given than is known to be lost.
    """
    shown = _ledgers(kit, cohort)[cohort].record_gap(epsilon, delta, operator, reason)
    if as_json:
        print_json({"cohorts": [status_json(shown)]})
        return
    show_status(shown)


def _ledgers(kit: Path, cohort: str | None) -> dict[str, "Ledger"]:
    """Returns the ledger of a cohort, or of all that the policy gives a budget; only local/ and state/ are needed."""
    from fedvoxel.privacy.ledger import open_ledger
    from fedvoxel.privacy.policy import load_privacy_policy

    names = sorted(load_privacy_policy(kit / "local").budgets()) if cohort is None else [cohort]
    return {name: open_ledger(kit / "local", kit / "state", name) for name in names}
