"""`fedvoxel drift`: whether a model in use still meets images and findings like those it was calibrated on."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from fedvoxel.cli.trust_options import RevocationList, Root, read

if TYPE_CHECKING:
    from rich.console import Console

    from fedvoxel.evaluation.drift.watch import Watch
    from fedvoxel.export.package import Package
    from fedvoxel.federation.calibration.calibration import Calibration

app = typer.Typer(add_completion=False, help="Watch whether a model in use still meets what it was calibrated on.")


@app.command(
    epilog="Example: fedvoxel drift hippocampus-1.0.0.fvpkg results --root hospital-a --calibration calibration.json"
)
def drift(
    package: Annotated[Path, typer.Argument(help="The signed package: NAME-VERSION.fvpkg.", show_default=False)],
    results: Annotated[Path, typer.Argument(help="Where `fedvoxel predict` has written.", show_default=False)],
    root: Root,
    crl: RevocationList = None,
    calibration: Annotated[Path | None, typer.Option(help="Your own calibration, where predict used it.")] = None,
    last: Annotated[int, typer.Option("--last", min=20, help="How many of the newest images to look at.")] = 100,
    out: Annotated[Path | None, typer.Option(help="Folder for drift.json, which evidence can name.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON alone on standard output.")] = False,
) -> None:
    """Compares the newest results with what the model was calibrated on: images, share of unusual ones, volumes.

    Nothing is sent anywhere, and no image is read. Exit codes: 0 if nothing has changed that matters, or too few images
    are there to say; 28 for drift; 3 for a package without calibration; 17 if the package is not trusted.
    """
    from rich.console import Console

    from fedvoxel.errors import DriftError
    from fedvoxel.evaluation.drift.summaries import read_signals
    from fedvoxel.evaluation.drift.watch import watch
    from fedvoxel.evaluation.uncertainty.assessment import DOUBTFUL_DICE
    from fedvoxel.export.calibration import calibration_of
    from fedvoxel.export.package import open_package
    from fedvoxel.records.atomic import write_json

    opened = open_package(package, read(root, crl))
    made = _own(opened, calibration) if calibration else calibration_of(opened)
    found = watch(read_signals(results, opened.sha256), made, opened.sha256, last, DOUBTFUL_DICE)
    said = {"schema_version": 1, **found.model_dump(mode="json")}
    if out is not None:
        write_json(out / "drift.json", said)
    if as_json:
        typer.echo(json.dumps(said, indent=2))
    else:
        _show(Console(), found)
    if found.alarms:
        raise DriftError(f"{len(found.alarms)} signs of drift; see docs/drift.md for what to do")


def _own(package: "Package", path: Path) -> "Calibration":
    from fedvoxel.evaluation.uncertainty.own_calibration import own_calibration_of

    return own_calibration_of(package, path)


def _show(console: "Console", found: "Watch") -> None:
    from rich.markup import escape
    from rich.table import Table

    if found.verdict == "too few":
        console.print(f"{found.images} images: too few to say anything.", highlight=False)
    else:
        table = Table(title=f"The newest {found.images} images")
        for heading in ("what", "change", "chance", ""):
            table.add_column(heading)
        for sign in found.signs:
            what = f"volume of {sign.structure}" if sign.of == "volume" else _WORDS[sign.of]
            alarm = "[bold red]drift[/]" if sign in found.alarms else ""
            table.add_row(escape(what), _UNITS[sign.of].format(sign.size), f"{sign.chance:.4f}", alarm)
        console.print(table)
    for name, count in found.doubtful.items():
        console.print(f"{escape(name)}: {count} with a doubtful estimate of their Dice", highlight=False)
    useless = {
        "are of other packages or versions": found.others,
        "were made without a calibration": found.unassessed,
        "cannot be read": found.unreadable,
    }
    for what, count in useless.items():
        if count:
            console.print(f"[yellow]{count} results {what}, and say nothing[/]", highlight=False)


_WORDS = {"images": "farther away than the calibration's", "unusual": "unusual images"}
_UNITS = {"images": "{:.0%} of pairs", "unusual": "{:.0%}", "volume": "{:+.2f} deviations"}
