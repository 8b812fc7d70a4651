"""Puts the files of one prediction into a folder of their own, all of them or none, under a name that says nothing."""

import os
import secrets
import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path

from fedvoxel.errors import ConfigError
from fedvoxel.records.atomic import write_bytes

_OWNER_ONLY, _OWNER_FOLDER = 0o600, 0o700


def new_name() -> str:
    """Returns a name for a prediction that nobody can trace to a patient."""
    return f"prediction-{secrets.token_hex(6)}"


def write_result(out: Path, name: str, files: Mapping[str, bytes]) -> Path:
    """Writes files to OUT/NAME (files 0600, folders 0700); a kill leaves the whole folder or none.

    Returns:
        The folder.

    Raises:
        ConfigError: The folder cannot be written.
    """
    try:
        out.mkdir(mode=_OWNER_FOLDER, parents=True, exist_ok=True)
        waiting = Path(tempfile.mkdtemp(prefix=".unfinished-", dir=out))
        try:
            for file, content in files.items():
                write_bytes(waiting / file, content, _OWNER_ONLY)
            os.rename(waiting, out / name)
        except BaseException:
            shutil.rmtree(waiting, ignore_errors=True)
            raise
    except OSError as error:
        raise ConfigError(
            f"expected a folder for the results that can be written ({os.strerror(error.errno or 0)}); "
            "free disk space or name another one with --out"
        ) from None
    return out / name
