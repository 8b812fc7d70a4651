"""Unpacks a verified package into a folder of its own."""

import shutil
import tempfile
from pathlib import Path

from fedvoxel.errors import PackageError
from fedvoxel.export.package import Package
from fedvoxel.records.atomic import write_bytes


def unpack_package(package: Package, folder: Path) -> None:
    """Writes every member below a new folder, which appears with all of them or not at all.

    Raises:
        PackageError: The folder exists, cannot be made, or the package is no longer what was opened.
    """
    if folder.exists():
        raise PackageError(f"{folder.name} exists; give the name of a new folder")
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder.parent, prefix=f".{folder.name}.") as temporary:
            inside = Path(temporary) / folder.name
            for name in package.names:
                write_bytes(inside / name, package.member(name))
            shutil.move(inside, folder)
    except OSError as error:
        raise PackageError(f"{folder.name} cannot be written ({error.strerror or type(error).__name__})") from None
