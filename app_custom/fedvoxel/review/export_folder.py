"""The folder that an export lies in: what counts now, and nothing of an export before it.

    exported.json      the files of the export, and which series earlier ones held

What is listed there is all that is ever removed. A folder that holds other files is refused, hidden ones aside: those
are neither removed, nor sent by `fedvoxel pacs store`.
"""

from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, StringConstraints

from fedvoxel.config import FrozenModel, load_json_config
from fedvoxel.errors import ReviewError
from fedvoxel.evaluation.cohorts.private_folder import OWNER_ONLY_FILE, private_folder
from fedvoxel.records.atomic import copy_file, write_json, write_text

EXPORTED_FILE = "exported.json"
FOLDERS = ("corrected", "segmentations", "reports")
_OWNER_ONLY_FOLDER = 0o700

ExportedName = Annotated[
    str,
    StringConstraints(pattern=rf"^(study\.(csv|json)|({'|'.join(FOLDERS)})/[A-Za-z0-9_-]+\.(nii\.gz|dcm))$"),
]


class ExportedFiles(FrozenModel):
    """Is the content of `exported.json`.

    Attributes:
        files: What the export wrote, below its folder; of a DICOM object its SeriesInstanceUID.
        earlier: Of each DICOM object, the series that earlier exports into this folder held in its place.
    """

    schema_version: Literal[1] = 1
    files: dict[ExportedName, str | None] = Field(default_factory=dict)
    earlier: dict[ExportedName, tuple[str, ...]] = Field(default_factory=dict)

    @property
    def remarks(self) -> tuple[str, ...]:
        """Says which results may be in a PACS that no longer count."""
        if not self.earlier:
            return ()
        named = sorted({Path(name).name.removesuffix(".dcm") for name in self.earlier})
        return (
            f"earlier exports held other results of {', '.join(named)}: if they were stored, the PACS keeps them; ask "
            f'its administrator to remove the series that {EXPORTED_FILE} lists as "earlier"',
        )


def exported_in(folder: Path) -> ExportedFiles:
    """Returns what an export says of its folder; nothing, where none was made.

    Raises:
        ConfigError: What it says cannot be read.
    """
    if not (folder / EXPORTED_FILE).exists():
        return ExportedFiles()
    return load_json_config(ExportedFiles, folder / EXPORTED_FILE, "the list of an export's files")


class ExportFolder:
    """Is a folder that exports are made into, one in place of the other."""

    def __init__(self, folder: Path) -> None:
        """Makes the folder if it is not there, and removes nothing.

        Raises:
            ReviewError: It holds files that no export wrote.
            CohortError: It cannot be made, or others may enter it.
            ConfigError: What an earlier export says cannot be read.
        """
        self._folder = private_folder(folder)
        self._kept = exported_in(folder)
        found = {path.relative_to(folder) for path in folder.rglob("*") if path.is_symlink() or not path.is_dir()}
        shown = {path.as_posix() for path in found if not any(part.startswith(".") for part in path.parts)}
        strange = shown - set(self._kept.files) - {EXPORTED_FILE}
        if strange:
            raise ReviewError(
                f"the folder of --out holds {len(strange)} files that no export wrote, and what is there would be "
                "taken for results: move them away, or name an empty folder"
            )

    def replace(self, texts: Mapping[str, str], copies: Mapping[str, Path]) -> ExportedFiles:
        """Removes what the export before this one wrote, and writes another.

        Args:
            texts: What to write, by its name below the folder.
            copies: What to copy.

        Raises:
            OSError: Something cannot be written; what is there by then is known to the next export.
        """
        files = dict.fromkeys(texts) | {name: _series(path) for name, path in copies.items()}
        earlier = self._earlier(files)
        self._note(ExportedFiles(files=dict.fromkeys(self._kept.files) | files, earlier=earlier))
        for name in self._kept.files:
            (self._folder / name).unlink(missing_ok=True)
        for name in FOLDERS:
            with suppress(OSError):  # it is not there
                (self._folder / name).rmdir()
        for name, text in texts.items():
            write_text(self._folder / name, text, OWNER_ONLY_FILE)
        for name, source in copies.items():
            (self._folder / name).parent.mkdir(mode=_OWNER_ONLY_FOLDER, exist_ok=True)
            copy_file(source, self._folder / name, OWNER_ONLY_FILE)
        return self._note(ExportedFiles(files=files, earlier=earlier))

    def _note(self, kept: ExportedFiles) -> ExportedFiles:
        write_json(self._folder / EXPORTED_FILE, kept.model_dump(mode="json"), OWNER_ONLY_FILE)
        self._kept = kept
        return kept

    def _earlier(self, files: Mapping[str, str | None]) -> dict[str, tuple[str, ...]]:
        held = {name: list(series) for name, series in self._kept.earlier.items()}
        for name, series in self._kept.files.items():
            if series is not None:
                held.setdefault(name, []).append(series)
        # What was withheld for a while counts again.
        earlier = {name: tuple(one for one in series if one != files.get(name)) for name, series in held.items()}
        return {name: series for name, series in earlier.items() if series}


def _series(path: Path) -> str | None:
    """Returns the SeriesInstanceUID of a DICOM file; None of another."""
    if path.suffix != ".dcm":
        return None
    from pydicom import dcmread

    return str(dcmread(path, specific_tags=["SeriesInstanceUID"], stop_before_pixels=True).SeriesInstanceUID)
