"""`fedvoxel pacs`: says whether a hospital's PACS answers, counts and fetches series, and stores results."""

import json
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from fedvoxel.cli.pacs_findings import checked, opened
from fedvoxel.cli.pacs_results import earlier_results, results_in
from fedvoxel.errors import ConfigError, DicomError
from fedvoxel.governance.finding import has_errors

if TYPE_CHECKING:
    from fedvoxel.dicom.query import FoundSeries
    from fedvoxel.volumes.site import SiteConfig

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    help="Check the connection to the hospital's PACS, count and fetch its series, store results.",
)

SiteOption = Annotated[Path, typer.Option("--site", help="The site's own file: <kit>/local/fedvoxel_site.json.")]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON alone on standard output.")]


@app.command(epilog="Example: fedvoxel pacs check --site hospital-a/local/fedvoxel_site.json")
def check(
    site: SiteOption,
    pacs: Annotated[str | None, typer.Option("--pacs", help="One PACS; every PACS of the file by default.")] = None,
    as_json: JsonOption = False,
) -> None:
    """Call the PACS and say whether name, port, TLS, credentials, AE titles, query and retrieval are in order.

    Exit codes: 0 if every PACS answers; 3 if the site's file, a certificate or the password file is wrong;
    15 if a PACS does not answer, or does not grant this site what it needs.
    """
    config = _site(site)
    findings = [checked(config, name, site.parent) for name in _names(config, pacs)]
    if as_json:
        shown = {name: finding.as_json() for name, finding in zip(_names(config, pacs), findings, strict=True)}
        typer.echo(json.dumps({"schema_version": 1, "ready": not _has_problem(findings), "pacs": shown}, indent=2))
    else:
        for finding in findings:
            typer.echo(f"{finding.level:8} {finding.message}")
    for finding in findings:
        if finding.level == "error":
            raise ConfigError(finding.message)
    for finding in findings:
        if finding.level == "warning":
            raise DicomError("pacs_check", finding.message)


@app.command(
    epilog="Examples: fedvoxel pacs find --site hospital-a/local/fedvoxel_site.json --pacs radiology "
    "--study-date 20240101-20241231 --modality MR --series-description '*t1*'; with patients' identifiers: "
    "fedvoxel pacs find --site ... --pacs radiology --query query.json"
)
def find(
    site: SiteOption,
    pacs: Annotated[str | None, typer.Option("--pacs", help="The PACS; needed if there are several.")] = None,
    query: Annotated[
        Path | None,
        typer.Option(
            "--query",
            help="A JSON file with the keys of a cohort's query; PatientID and AccessionNumber can be given here only, "
            "since other users of this machine can see a command line.",
        ),
    ] = None,
    study_date: Annotated[str | None, typer.Option("--study-date", help="20240101 or 20240101-20241231.")] = None,
    modality: Annotated[
        str | None, typer.Option("--modality", help="The series' modality; several with commas.")
    ] = None,
    study_description: Annotated[str | None, typer.Option("--study-description", help="With * and ?.")] = None,
    series_description: Annotated[str | None, typer.Option("--series-description", help="With * and ?.")] = None,
    as_json: JsonOption = False,
) -> None:
    """Count what a query finds: patients, studies, series and instances of each modality; nobody is named.

    Nothing is pulled. Exit codes: 0; 3 if the site's file or the query is wrong; 15 if the PACS fails.
    """
    from fedvoxel.config import parse_config, read_json
    from fedvoxel.dicom.query import SeriesQuery

    config = _site(site)
    name = _only(config, pacs)
    keys: dict[str, Any] = {} if query is None else dict(read_json(query, "the query"))
    given = {"StudyDate": study_date, "StudyDescription": study_description, "SeriesDescription": series_description}
    keys |= {key: value for key, value in given.items() if value is not None}
    keys |= {} if modality is None else {"Modality": [name.strip() for name in modality.split(",")]}
    asked = parse_config(SeriesQuery, keys, "the query")
    counts = _counts(opened(config, name, site.parent).find(asked))
    if as_json:
        typer.echo(json.dumps({"schema_version": 1, "pacs": name, "modalities": counts}, indent=2))
    else:
        Console().print(_table(name, counts))


@app.command(
    epilog="Example: fedvoxel pacs fetch --site hospital-a/local/fedvoxel_site.json --pacs radiology "
    "--query query.json --out studies"
)
def fetch(
    site: SiteOption,
    query: Annotated[
        Path,
        typer.Option(
            "--query", help="A JSON file with StudyInstanceUID, AccessionNumber or PatientID, and perhaps Modality."
        ),
    ],
    out: Annotated[Path, typer.Option("--out", help="Folder for the series (mode 0700); what is there stays.")],
    pacs: Annotated[str | None, typer.Option("--pacs", help="The PACS; needed if there are several.")] = None,
) -> None:
    """Copy the series of the studies that a query names into a folder, as for `fedvoxel review`. Nothing is changed.

    The folder holds patients' data: remove it when you are done.

    Exit codes: 0; 3 if the site's file or the query is wrong; 15 if the PACS fails; 18 if it finds nothing.
    """
    from fedvoxel.cli.progress import counting
    from fedvoxel.config import parse_config, read_json
    from fedvoxel.dicom.query import SeriesQuery
    from fedvoxel.evaluation.inference.pulling import pull_images

    config = _site(site)
    asked = parse_config(SeriesQuery, read_json(query, "the query"), "the query")
    source = opened(config, _only(config, pacs), site.parent)
    with counting(Console(stderr=True), "pulling series") as progress:
        pulled = pull_images(source, asked, None, out, progress)
    typer.echo(f"{pulled} series are in {out}, which holds patients' data: remove it when you are done.")
    typer.echo(f"Next: fedvoxel review PACKAGE {out}")


@app.command(
    epilog="Example: fedvoxel pacs store predictions/prediction-5f0c7a51e2d4 "
    "--site hospital-a/local/fedvoxel_site.json --pacs radiology"
)
def store(
    folder: Annotated[Path, typer.Argument(help="A folder with results: its .dcm files, and those of its folders.")],
    site: SiteOption,
    pacs: Annotated[str | None, typer.Option("--pacs", help="The PACS; needed if there are several.")] = None,
    others: Annotated[
        bool, typer.Option("--others", help="Also objects that are no segmentation or report of fedvoxel.")
    ] = False,
    new_study: Annotated[
        bool, typer.Option("--new-study", help="Also where the PACS does not know the study: another archive.")
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Store results at the PACS, and ask it whether it lists them; storing the same again is harmless.

    First it says what goes, and asks the PACS whose the studies are: another patient's are not sent.

    Exit codes: 0 if the PACS lists every object; 3 if the site's file or the folder is wrong, or an object is no
    result; 15 if the PACS fails, does not know the study, or has it under another patient.
    """
    from fedvoxel.dicom.confirming import store_confirmed

    config = _site(site)
    name = _only(config, pacs)
    earlier = earlier_results(folder)
    paths = results_in(folder, name, others)
    store_confirmed(opened(config, name, site.parent), paths, new_study)
    if as_json:
        typer.echo(json.dumps({"schema_version": 1, "pacs": name, "objects": len(paths)}, indent=2))
    else:
        typer.echo(f"{name} has {len(paths)} objects, and lists every one. Next: open the study in your viewer.")
    for remark in earlier:
        typer.echo(f"warning: {remark}", err=True)


def _only(config: "SiteConfig", pacs: str | None) -> str:
    names = _names(config, pacs)
    if len(names) > 1:
        raise ConfigError(f"expected one PACS, this site has {', '.join(names)}; choose one with --pacs")
    return names[0]


def _site(path: Path) -> "SiteConfig":
    from fedvoxel.volumes.site import load_site_config

    return load_site_config(path)


def _names(config: "SiteConfig", name: str | None) -> tuple[str, ...]:
    names = tuple(config.pacs) if name is None else (name,)
    if not names:
        raise ConfigError('the site\'s file describes no PACS; add one under "pacs"')
    return names


def _has_problem(findings: Iterable[Any]) -> bool:
    return has_errors(findings) or any(finding.level == "warning" for finding in findings)


def _counts(found: "Iterable[FoundSeries]") -> dict[str, dict[str, int]]:
    """Returns how many patients, studies, series and instances there are of each modality."""
    by_modality: dict[str, list[FoundSeries]] = {}
    for series in found:
        by_modality.setdefault(series.modality or "unknown", []).append(series)
    return {
        modality: {
            "patients": len({one.patient_id for one in series}),
            "studies": len({one.study_uid for one in series}),
            "series": len(series),
            "instances": sum(one.instances or 0 for one in series),
        }
        for modality, series in sorted(by_modality.items())
    }


def _table(name: str, counts: dict[str, dict[str, int]]) -> Table:
    table = Table("modality", title=f"{name}: {sum(count['series'] for count in counts.values())} series")
    for heading in ("patients", "studies", "series", "instances"):
        table.add_column(heading, justify="right")
    for modality, count in counts.items():
        table.add_row(modality, *(str(number) for number in count.values()))
    return table
