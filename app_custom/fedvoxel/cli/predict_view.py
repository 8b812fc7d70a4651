"""What `fedvoxel predict` says at its end: what was found, what to know of it, and what to do next."""

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import typer

if TYPE_CHECKING:
    from rich.console import Console

    from fedvoxel.dicom.result import Finding
    from fedvoxel.errors import FedVoxelError
    from fedvoxel.evaluation.inference.outcome import Outcome
    from fedvoxel.evaluation.inference.run import Job


@dataclass(frozen=True)
class Failure:
    """Is a study that was not predicted.

    Attributes:
        name: What it is called on the screen.
        error: Why.
    """

    name: str
    error: "FedVoxelError"

    def as_json(self) -> dict[str, Any]:
        """Returns it for a script."""
        reason = getattr(self.error, "reason", type(self.error).__name__)
        return {"image": self.name, "reason": reason, "message": str(self.error)}


@dataclass(frozen=True)
class Done:
    """Is what came of all images."""

    outcomes: tuple["Outcome", ...]
    failures: tuple[Failure, ...]


def show(done: Done, job: "Job", stored_at: str | None, as_json: bool) -> None:
    """Prints the results.

    Args:
        done: What came of the images.
        job: How they were predicted.
        stored_at: The PACS that has confirmed them; None if they were not stored.
        as_json: Whether a script reads it.
    """
    from rich.console import Console

    package = job.model.package
    if as_json:
        model = {"name": package.manifest.name, "version": package.manifest.version, "package_sha256": package.sha256}
        shown = {
            "schema_version": 1,
            "model": model,
            "results": [outcome.as_json() for outcome in done.outcomes],
            "failures": [failure.as_json() for failure in done.failures],
            "stored_at": stored_at,
        }
        typer.echo(json.dumps(shown, indent=2))
        return
    console = Console(soft_wrap=True, highlight=False, markup=False)
    for outcome in done.outcomes:
        _say(outcome, console)
    if len(done.failures) + len(done.outcomes) > 1:
        for failure in done.failures:
            console.print(f"{failure.name}: not predicted: {failure.error}")
        console.print(f"{len(done.outcomes)} predicted, {len(done.failures)} not")
    if done.outcomes:
        _say_next(done, stored_at, console)


def _say(outcome: "Outcome", console: "Console") -> None:
    source = ", ".join(f"{what} {value}" for what, value in outcome.source.items())
    console.print(source)
    width = max(len(finding.label) for finding in outcome.findings)
    for finding in outcome.findings:
        volume = f"{finding.volume_ml:9.3f} mL" if finding.is_found else "not found"
        interval = finding.interval
        within = "" if interval is None else f" ({interval.low_ml:.3f} to {interval.high_ml:.3f} mL)"
        console.print(f"  {finding.label:{width}}  {volume}{within}{_trusted(finding)}")
    for remark in outcome.remarks:
        console.print(f"  Note: {remark}")
    for what, count in outcome.left_out:
        console.print(f"  Left out: {count} x {what}")
    console.print(f"  {outcome.folder}: {', '.join(outcome.files)}")


def _trusted(finding: "Finding") -> str:
    """Returns what is known of a finding's reliability, in words."""
    said = "".join(f"; {one.name.meaning.lower()} {one.value:.2f}" for one in finding.numbers)
    return said + "".join(f"; {one.value.meaning.lower()}" for one in finding.judgements)


def _say_next(done: Done, stored_at: str | None, console: "Console") -> None:
    console.print("For research use only. The results carry the patient: keep them in the hospital.")
    if stored_at is not None:
        console.print(f"Stored at {stored_at}, which lists every object. Next: open the study in your viewer.")
    elif any(outcome.objects for outcome in done.outcomes):
        console.print(
            "Next: look at it in your viewer beside the images; if it is good: fedvoxel pacs store FOLDER --site "
            "KIT/local/fedvoxel_site.json --pacs NAME"
        )
    else:
        console.print("Next: look at the label map over the image in your viewer.")
