"""Named arrays as `.npz` bytes and files: no pickle, so that opening one can never run code."""

import io
import zipfile
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from fedvoxel.errors import UpdateError
from fedvoxel.records.atomic import write_bytes
from fedvoxel.records.twofold import read_twofold, write_twofold
from fedvoxel.updates.update import Arrays


def to_bytes(arrays: Arrays) -> bytes:
    """Returns `arrays` as an uncompressed `.npz`, sorted by name: the same arrays give the same bytes anywhere."""
    stream = io.BytesIO()
    np.savez(stream, allow_pickle=False, **{name: np.asarray(arrays[name], order="C") for name in sorted(arrays)})
    return stream.getvalue()


def from_bytes(content: bytes) -> dict[str, NDArray[np.float32]]:
    """Returns the arrays of an `.npz`.

    Raises:
        UpdateError: `content` is not an `.npz` of plain arrays.
    """
    try:
        with np.load(io.BytesIO(content), allow_pickle=False) as archive:
            return {name: archive[name] for name in archive.files}
    except (ValueError, OSError, EOFError, zipfile.BadZipFile) as error:
        raise UpdateError(f"expected an .npz file of plain arrays, got something else ({error})") from None


def save_weights(path: Path, arrays: Arrays) -> None:
    """Writes `arrays` atomically to `path`."""
    write_bytes(path, to_bytes(arrays))


def load_weights(path: Path) -> dict[str, NDArray[np.float32]]:
    """Reads what `save_weights` wrote.

    Raises:
        UpdateError: The file is missing or is not an `.npz` of plain arrays.
    """
    if not path.is_file():
        raise UpdateError(f"no weights here: expected a file {path.name}")
    return from_bytes(path.read_bytes())


def keep_weights(path: Path, arrays: Arrays) -> None:
    """Writes `arrays` to `path` and to a copy beside it, see `records.twofold`."""
    write_twofold(path, to_bytes(arrays))


def kept_weights(path: Path) -> dict[str, NDArray[np.float32]]:
    """Reads what `keep_weights`, or `save_weights` of an earlier release, wrote.

    Raises:
        UpdateError: The file is missing, or neither it nor its copy is what was written.
    """
    try:
        return from_bytes(read_twofold(path))
    except (OSError, UpdateError):
        # Not from a backup: an older one does not belong to what the server and secure sums have of the site by now.
        raise UpdateError(
            f"what this site keeps of the run, {path.name} in the run's folder of state/runs/, is missing or damaged, "
            "with its copy: give the job a new run_key"
        ) from None
