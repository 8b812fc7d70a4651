"""How requests for evaluations, what they would run, and answers are shown; what came from outside is written out."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from fedvoxel.governance.submission_changes import shown

if TYPE_CHECKING:
    from fedvoxel.governance.evaluation_request import Asked
    from fedvoxel.ops.datasite.desk import OnDesk
    from fedvoxel.ops.datasite.evaluating import Prepared

_FIGURES = {
    "dice": "mean Dice",
    "nsd": "mean surface Dice",
    "hd95_mm": "mean HD95, mm",
    "volume_error_ml": "mean volume error, mL",
    "volume_error_percent": "mean volume error, %",
}


def values_of(one: "OnDesk") -> dict[str, Any]:
    """Returns a request as JSON values."""
    about = {"job": one.letter.job, "sender": one.letter.sender, "files_never_run": one.letter.more}
    if one.asked is None or one.standing is None:
        return {**about, "standing": "invalid", "problem": one.problem}
    said = [
        {"person": each.person, "word": each.word, "at": each.at, "reason": each.reason} for each in one.standing.said
    ]
    return {
        **about,
        "standing": one.standing.word,
        "content": one.asked.content,
        "asked_at": one.asked.at,
        "organisation": one.asked.asker.organisation,
        "request": one.asked.request.model_dump(mode="json"),
        "approvals_needed": one.standing.needed,
        "said": said,
    }


def tell_requests(listed: Sequence["OnDesk"], kit: Path) -> None:
    """Prints a line or two for each request, and what to do next."""
    for one in listed:
        if one.asked is None or one.standing is None:
            typer.echo(
                f"invalid    {shown(one.letter.job)} from {shown(one.letter.sender)}: {shown(one.problem or '')}"
            )
            continue
        asked = one.asked.request
        typer.echo(
            f"{one.standing.word:<9}  {one.asked.content[:12]}  {asked.model} {asked.version} on {asked.cohort} "
            f"({asked.split}), asked by {one.asked.asker.name}: {shown(asked.purpose)}"
        )
        for said in one.standing.said:
            reason = f": {shown(said.reason)}" if said.reason else ""
            typer.echo(f"           {said.word} by {said.person} at {said.at}{reason}")
    if not listed:
        typer.echo("No request is in the box.")
    elif any(one.standing and one.standing.word == "waiting" for one in listed):
        typer.echo(f"Next: fedvoxel datasite show {kit} REQUEST, with the first digits of its hash")


def tell_prepared(one: "OnDesk", asked: "Asked", prepared: "Prepared") -> None:
    """Prints what a request would run here, and what would return."""
    request, package = asked.request, prepared.package
    typer.echo(f"request {asked.content}")
    typer.echo(f"asked by {asked.asker.name} of {asked.asker.organisation} at {asked.at}: {shown(request.purpose)}")
    typer.echo("WOULD RUN, by FedVoxel as it is installed here:")
    typer.echo(f"  {request.model} {request.version}, signed by {package.signed_by}, package {package.sha256}")
    typer.echo(f"  {shown(prepared.remark)}" if prepared.remark else "  released in the index of releases")
    typer.echo(f"  on cohort {request.cohort}, {request.split} split: {prepared.patients} patients are listed")
    typer.echo(f"NEVER RUN: the script and code that Syft puts into every job, and {one.letter.more} other files in it")
    typer.echo("WOULD RETURN, signed by this site, and nothing else:")
    typer.echo(f"  {', '.join(request.metrics)}, for each structure, over all patients together; how many patients")
    typer.echo(
        f"  no number about fewer than {prepared.minimum_patients} patients; no case, file, pseudonym or picture"
    )


def tell_answers(found: Sequence[dict[str, Any]]) -> None:
    """Prints what became of each request."""
    for one in found:
        typer.echo(f"{one['status']:<9}  {one['request'][:12]}")
        if one["problem"]:
            typer.echo(f"           not to be used: {shown(one['problem'])}")
        if one["answer"]:
            _tell_aggregate(one["answer"])
    if not found:
        typer.echo("You have asked nothing there. Next: fedvoxel datasite ask --help")


def _tell_aggregate(answer: dict[str, Any]) -> None:
    asked, told = answer["request"], answer["aggregate"]
    typer.echo(
        f"           {asked['model']} {asked['version']} on {asked['cohort']} ({asked['split']}) of {asked['site']}: "
        f"{told['patients']} patients. {answer['use']}"
    )
    for structure in told["structures"]:
        for name, words in _FIGURES.items():
            if figure := structure.get(name):
                interval = f" ({figure['low']} to {figure['high']})" if "low" in figure and "high" in figure else ""
                typer.echo(f"           {structure['label']}: {words} {figure['value']}{interval}")
        if counts := structure.get("counts"):
            typer.echo(f"           {structure['label']}: " + ", ".join(f"{n} {name}" for name, n in counts.items()))
    if told["not_told"]:
        typer.echo(f"           of too few patients to be told: {', '.join(told['not_told'])}")
