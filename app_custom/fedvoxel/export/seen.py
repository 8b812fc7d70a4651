"""What a reader has seen of each index of releases, so that an older copy is not taken for the present one."""

import hashlib
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from pydantic import Field, NonNegativeInt

from fedvoxel.config import FrozenModel, load_json_config
from fedvoxel.errors import ConfigError, PackageError
from fedvoxel.records.atomic import write_json
from fedvoxel.records.chain_entry import Entry
from fedvoxel.records.names import Sha256


class Head(FrozenModel):
    """Is the last entry that was seen."""

    index: NonNegativeInt
    hash: Sha256


class SeenIndexes(FrozenModel):
    """Is the content of the file.

    Attributes:
        folders: Hash of the first entry of the index that lay in a folder, by the SHA-256 of the folder's path.
        heads: Last entry seen of each index, by the hash of its first.
    """

    schema_version: Literal[1] = 1
    folders: dict[Sha256, Sha256] = Field(default_factory=dict)
    heads: dict[Sha256, Head] = Field(default_factory=dict)


class Seen:
    """Is the memory on disk."""

    def __init__(self, path: Path | None = None) -> None:
        """Touches no file.

        Args:
            path: The file; `fedvoxel/releases.json` in the user's state folder when None.
        """
        self._path = path or default_path()

    def remember(self, folder: Path, entries: Sequence[Entry]) -> None:
        """Checks an index against what was seen, and remembers where it is now.

        Args:
            folder: Where it lies.
            entries: What stands in it, verified.

        Raises:
            PackageError: It is empty, went backwards, is another than lay there before, or cannot be remembered.
        """
        if not entries:
            raise PackageError("the index of releases is empty")
        seen = self._load()
        first, last, place = entries[0].hash, entries[-1], _place(folder)
        if seen.folders.get(place, first) != first:
            raise PackageError(
                f"another index of releases lies where one was seen before; ask who keeps it, and if that is right, "
                f"remove {self._path.name} from your state folder"
            )
        known = seen.heads.get(first)
        if known and (len(entries) <= known.index or entries[known.index].hash != known.hash):
            raise PackageError(
                f"the index of releases went backwards: entry {known.index + 1} was seen and is gone; it may lack a "
                "withdrawal, so get the newest copy"
            )
        new = SeenIndexes(
            folders=seen.folders | {place: first},
            heads=seen.heads | {first: Head(index=last.index, hash=last.hash)},
        )
        if new != seen:
            self._save(new)

    def check_is_new(self, folder: Path) -> None:
        """Checks that no index was seen in a folder where there is none now.

        Raises:
            PackageError: One was.
        """
        if _place(folder) in self._load().folders:
            raise PackageError("the index of releases that lay here is gone; put a copy back, or take another folder")

    def _load(self) -> SeenIndexes:
        if not self._path.exists():
            return SeenIndexes()
        try:
            return load_json_config(SeenIndexes, self._path, "the memory of indexes of releases")
        except ConfigError as error:
            raise PackageError(str(error)) from None

    def _save(self, seen: SeenIndexes) -> None:
        try:
            write_json(self._path, seen.model_dump(mode="json"), mode=0o600)
        except OSError as error:
            raise PackageError(
                f"what was seen of the index cannot be remembered ({error.strerror or type(error).__name__}); an older "
                "copy could then not be told from it"
            ) from None


def default_path() -> Path:
    """Returns the file in the user's state folder. Source: the XDG base directory specification."""
    state = os.environ.get("XDG_STATE_HOME", "")
    folder = Path(state) if state.startswith("/") else Path.home() / ".local" / "state"
    return folder / "fedvoxel" / "releases.json"


def _place(folder: Path) -> str:
    return hashlib.sha256(str(folder.resolve()).encode()).hexdigest()
