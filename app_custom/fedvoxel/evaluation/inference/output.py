"""Puts the files of one prediction into a folder of their own, all of them or none, under a name that says nothing."""

import os
import secrets
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from fedvoxel.errors import ConfigError

_OWNER_FOLDER = 0o700


@contextmanager
def result_folder(out: Path) -> Iterator[tuple[Path, Path]]:
    """Yields a folder to write into, which is empty, and the one that it becomes when the block is left well.

    Both lie in `out` (mode 0700) and are named at random. A failure removes the first; a kill leaves it as a hidden
    folder that nobody takes for a result.

    Raises:
        ConfigError: The folder cannot be written.
    """
    try:
        out.mkdir(mode=_OWNER_FOLDER, parents=True, exist_ok=True)
        waiting, place = Path(tempfile.mkdtemp(prefix=".unfinished-", dir=out)), out / new_name()
        try:
            yield waiting, place
            os.rename(waiting, place)
        except BaseException:
            shutil.rmtree(waiting, ignore_errors=True)
            raise
    except OSError as error:
        raise ConfigError(
            f"expected a folder for the results that can be written ({os.strerror(error.errno or 0)}); "
            "free disk space, or name another one with --out"
        ) from None


def new_name() -> str:
    """Returns a name for a prediction that nobody can trace to a patient."""
    return f"prediction-{secrets.token_hex(6)}"
