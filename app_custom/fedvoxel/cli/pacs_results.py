"""What `fedvoxel pacs store` is about to send from a folder: said first, and refused where it is no result."""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from fedvoxel.errors import ConfigError

if TYPE_CHECKING:
    from fedvoxel.dicom.outgoing import Outgoing


def results_in(folder: Path, pacs: str, others: bool) -> list[Path]:
    """Returns the files that go to a PACS, and says on standard error what they are.

    Args:
        folder: With results, its own and those of its folders.
        pacs: The name of the PACS.
        others: Whether objects go that are no results of this software.

    Raises:
        ConfigError: There is none, or one is no result.
        DicomError: A file cannot be read.
    """
    from fedvoxel.dicom.outgoing import read_outgoing

    paths = sorted(path for path in folder.rglob("*.dcm") if _is_shown(path.relative_to(folder)))
    if not paths:
        raise ConfigError("expected a folder with .dcm files, got one without")
    outgoing = read_outgoing(paths)
    typer.echo(f"To {pacs}: {_said_of(outgoing)}", err=True)
    foreign = sum(not one.is_result for one in outgoing)
    if foreign and not others:
        raise ConfigError(
            f"{foreign} of {len(paths)} objects are no segmentation or report that fedvoxel made; nothing was sent: "
            "name the folder of the results alone, or say --others"
        )
    return paths


def earlier_results(folder: Path) -> tuple[str, ...]:
    """Returns what is to be said of results that were stored from this folder and no longer count.

    Raises:
        ConfigError: It is the folder of a review, with every answer that was ever given.
    """
    from fedvoxel.evaluation.reading.finished import STUDY_FILE
    from fedvoxel.review.export_folder import exported_in

    if (folder / STUDY_FILE).is_file() and (folder / "readers").is_dir():
        raise ConfigError(
            "expected a folder of results, got that of a review, with answers that count no more: call "
            "`fedvoxel review export` and name the folder that it writes"
        )
    return exported_in(folder).remarks


def _said_of(outgoing: "Sequence[Outgoing]") -> str:
    kinds = Counter(one.modality for one in outgoing)
    listed = ", ".join(f"{count} {modality}" for modality, count in sorted(kinds.items()))
    studies, patients = ({getattr(one, what) for one in outgoing} for what in ("study_uid", "patient"))
    return f"{len(outgoing)} objects ({listed}); studies: {len(studies)}, patients: {len(patients)}"


def _is_shown(path: Path) -> bool:
    """Says whether a path lies in no hidden folder: those are results that were not finished."""
    return not any(part.startswith(".") for part in path.parts)
