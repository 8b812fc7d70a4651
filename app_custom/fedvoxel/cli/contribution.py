"""`fedvoxel contribution`: says what each hospital contributed to a finished run, and what looks wrong."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

    from fedvoxel.evaluation.credit.account import Account
    from fedvoxel.federation.outcome import RunOutcome

app = typer.Typer(no_args_is_help=True, add_completion=False, help="Say what each hospital contributed to a run.")

_EXAMPLE = "Example: fedvoxel contribution downloads/3c5c62d1 --html contribution.html"


@app.command(epilog=_EXAMPLE)
def contribution(
    job: Annotated[Path, typer.Argument(help="The folder that download_job made, or an outcome.json.")],
    html: Annotated[Path | None, typer.Option(help="Write a page for the consortium to this file.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the account as JSON alone.")] = False,
) -> None:
    """Adds a run's rounds up: value, 95 % interval and share of credit per hospital, cost, and flags.

    Flags are reasons to ask: a hospital without which the models were better, a free rider, two hospitals that are
    alike. The job must have had rounds.contribution.
    """
    from rich.console import Console

    from fedvoxel.evaluation.credit.account import account_of

    account = account_of(_outcome(job))
    if html:
        _write(html, account)
    if as_json:
        typer.echo(account.model_dump_json(indent=2))
    else:
        _show(Console(), account, job, html)


def _outcome(job: Path) -> "RunOutcome":
    from fedvoxel.evaluation.job_result import open_job_result
    from fedvoxel.federation.outcome import load_outcome

    return load_outcome(job) if job.is_file() else open_job_result(job).outcome


def _write(path: Path, account: "Account") -> None:
    from fedvoxel.errors import JobError
    from fedvoxel.evaluation.credit.page import render_account
    from fedvoxel.records.atomic import write_text

    try:
        write_text(path, render_account(account))
    except OSError as error:
        raise JobError(f"the page cannot be written to {path}: {error.strerror}; choose another file") from None


def _show(console: "Console", account: "Account", job: Path, html: Path | None) -> None:
    from rich.markup import escape

    from fedvoxel.evaluation.credit.page import cost_text

    console.print(_table(account))
    for flag in account.flags:
        said = f"{' and '.join(flag.sites)}: {flag.kind}; {flag.reason}."
        console.print(f"[yellow]![/yellow] {escape(said)}", highlight=False)
    if not account.flags:
        console.print(
            "Nothing looks wrong: nobody harmful, no free rider, no two hospitals that are alike, nothing refused."
        )
    for caveat in account.caveats:
        console.print(f"[yellow]![/yellow] {escape(caveat)}", highlight=False)
    console.print(f"Cost: {cost_text(account)}", highlight=False)
    following = f"Wrote {html}" if html else f"Next: fedvoxel contribution {job} --html contribution.html"
    console.print(escape(following), soft_wrap=True, highlight=False)


def _table(account: "Account") -> "Table":
    from rich import box
    from rich.markup import escape
    from rich.table import Table

    from fedvoxel.evaluation.credit.account import METHOD_NAMES, flagged
    from fedvoxel.evaluation.credit.page import share_text, value_text

    looked = f"{account.rounds_looked_at} of {account.rounds} rounds"
    method = METHOD_NAMES.get(account.method, account.method)
    table = Table(title=escape(f"{account.job_name}: {method}, {looked}"), title_justify="left", box=box.SIMPLE)
    table.add_column("hospital", overflow="fold")
    for heading in ("value (95 % interval)", "share", "rounds"):
        table.add_column(heading, justify="right")
    table.add_column("flags")
    for credit in account.sites:
        kinds = ", ".join(flag.kind for flag in flagged(account, credit.site)) or "none"
        table.add_row(escape(credit.site), value_text(credit), share_text(credit), str(credit.rounds), kinds)
    return table
