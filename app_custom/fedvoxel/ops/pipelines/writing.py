"""Writes what a cluster is given."""

from pathlib import Path

from fedvoxel.errors import ConfigError
from fedvoxel.records.atomic import write_text


def write_manifest(path: Path, text: str) -> None:
    """Writes a manifest.

    Raises:
        ConfigError: It cannot be written.
    """
    try:
        write_text(path, text)
    except OSError as error:
        raise ConfigError(f"expected --out as a file that can be written, got: {error.strerror}") from None
