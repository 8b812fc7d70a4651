"""`fedvoxel cohort deidentify`: writes a folder's objects as the cohort's policy leaves them, to look at."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.table import Table

from fedvoxel.errors import CohortError

if TYPE_CHECKING:
    from fedvoxel.deid.folder import FolderOutcome
    from fedvoxel.volumes.build_config import BuildConfig
    from fedvoxel.volumes.site import SiteConfig

EPILOG = (
    "Example: fedvoxel cohort deidentify incoming cleaned --site hospital-a/local/fedvoxel_site.json --cohort liver"
)


def deidentify(
    folder: Annotated[Path, typer.Argument(help="A folder with DICOM files.")],
    out: Annotated[Path, typer.Argument(help="Where the cleaned objects go, named by their new UIDs.")],
    site: Annotated[Path, typer.Option("--site", help="The site's own file: <kit>/local/fedvoxel_site.json.")],
    cohort: Annotated[str, typer.Option("--cohort", help="The cohort whose policy counts.")],
) -> None:
    """De-identify a folder of DICOM files as `cohort build` would, and write the cleaned DICOM objects.

    For a data-protection officer to look at; a cohort needs it not. It can be stopped and run again. Patients who were
    taken out with `cohort exclude` are left out, and what was written of them before is removed, also where their
    originals are gone from FOLDER. What an earlier version wrote is named where nobody can tell whose it is any more.

    Exit codes: 0 if an object of FOLDER is in OUT; 3 if the site's file or the folders are wrong; 5 if the cohort is
    unknown or not one to build, or the list of excluded patients cannot be trusted; 15 if the folder cannot be read; 16
    if every object was refused or left out, or there is none.
    """
    from fedvoxel.cli.progress import counting
    from fedvoxel.deid.folder import HowToClean, deidentify_folder
    from fedvoxel.deid.keys import DeidKeys
    from fedvoxel.errors import DeidError
    from fedvoxel.volumes.cohort.selection import Selection
    from fedvoxel.volumes.exclusions import Exclusions

    config, build = build_of(site, cohort)
    keys = DeidKeys.of(config.pseudonym_key.get_secret_value(), build.deid.project)
    # No table of labels: whose a series is does not depend on its label.
    listed = Selection(build, config.pseudonym_of, None, Exclusions(config, site.parent).patients())
    how = HowToClean(build.deid, keys, build.label_texts, listed.names_of, listed.excluded)
    with counting(Console(stderr=True), "series") as progress:
        outcome = deidentify_folder(folder, out, how, progress)
    _show(outcome)
    if not outcome.written + outcome.kept:
        raise DeidError("nothing_written", f"no object could be de-identified: {_why_none(outcome)}")


def build_of(site: Path, cohort: str) -> "tuple[SiteConfig, BuildConfig]":
    """Returns a site's configuration and how it builds a cohort.

    Raises:
        ConfigError: The site's file is wrong.
        CohortError: The cohort is unknown, or is not one that is built from DICOM.
    """
    from fedvoxel.volumes.site import load_site_config

    config = load_site_config(site)
    build = config.cohort(cohort).build
    if build is None:
        raise CohortError(f'{cohort} is not built from DICOM: its description in the site\'s file has no "build"')
    return config, build


def _why_none(outcome: "FolderOutcome") -> str:
    why = ["the table above says why"] if outcome.refused else []
    if outcome.left_out:
        why.append(f"{outcome.left_out} were left out, since their patients are taken out of all cohorts of this site")
    return "; ".join(why) or "FOLDER holds none"


def _show(outcome: "FolderOutcome") -> None:
    console = Console(soft_wrap=True)
    console.print(f"{outcome.written} objects written, {outcome.kept} were there before")
    if outcome.left_out:
        console.print(f"{outcome.left_out} objects left out: their patients are taken out of all cohorts of this site")
    if outcome.removed:
        console.print(f"{outcome.removed} objects that were there before were removed: their patients are taken out")
    if outcome.whose_unknown:
        console.print(
            f"{len(outcome.whose_unknown)} series in OUT have no originals in FOLDER, and no note of whose they are: "
            "nobody can tell whether their patients are taken out (an earlier version wrote them). Delete these "
            "folders of OUT, or run again with their originals in FOLDER:"
        )
        console.print("\n".join(f"  {series}" for series in outcome.whose_unknown), markup=False)
    if not outcome.refused:
        return
    table = Table(title="refused", title_justify="left")
    table.add_column("reason", no_wrap=True)
    table.add_column("files", justify="right")
    for reason, count in outcome.refused:
        table.add_row(reason, str(count))
    console.print(table)
