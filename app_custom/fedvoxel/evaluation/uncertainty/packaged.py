"""The calibration that a package carries, or that a hospital has made for itself."""

from pathlib import Path
from typing import Any

from fedvoxel.config import parse_config, read_json
from fedvoxel.errors import ConfigError, PackageError
from fedvoxel.export.description import ModelDescription
from fedvoxel.export.manifest import CALIBRATION
from fedvoxel.export.package import Package
from fedvoxel.federation.calibration.calibration import CALIBRATION_SCHEMA_VERSION, Calibration


def calibration_of(package: Package) -> Calibration | None:
    """Returns a package's calibration; None where it has none.

    Raises:
        PackageError: It is of a newer version, malformed, or of another model's structures.
    """
    if package.calibration is None:
        return None
    try:
        return parse_calibration(package.calibration, package.description, f"the package's {CALIBRATION}")
    except ConfigError as error:
        raise PackageError(str(error)) from None


def read_own_calibration(path: Path, description: ModelDescription) -> Calibration:
    """Reads the calibration that a hospital has made for itself.

    Raises:
        ConfigError: It is missing, of a newer version, malformed, or of another model's structures.
    """
    return parse_calibration(read_json(path, "the calibration"), description, "the calibration")


def check_for_package(path: Path, description: ModelDescription, weights_sha256: str) -> None:
    """Checks that a calibration may go into a package.

    Args:
        path: Its file.
        description: The package's.
        weights_sha256: Of the weights that are packed.

    Raises:
        ConfigError: It is malformed, or of another model.
    """
    calibration = read_own_calibration(path, description)
    if calibration.model_sha256 not in (None, weights_sha256):
        raise ConfigError(
            "the calibration is of other weights than those that are packed: calibrate the run whose model it is, and "
            "pack the same model (--model best is what a calibration job takes)"
        )


def parse_calibration(values: Any, description: ModelDescription, what: str) -> Calibration:
    """Returns the calibration of a model.

    Raises:
        ConfigError: It is of a newer version, malformed, or of another model's structures.
    """
    version = values.get("schema_version") if isinstance(values, dict) else None
    if isinstance(version, int) and version > CALIBRATION_SCHEMA_VERSION:
        raise ConfigError(f"{what} is of version {version}, and this fedvoxel reads 1; update fedvoxel")
    calibration = parse_config(Calibration, values, what)
    expected = tuple(structure.name for structure in description.structures)
    if calibration.plan.structures != expected:
        found = ", ".join(calibration.plan.structures)
        raise ConfigError(f"{what} is of a model of {found}; this one finds {', '.join(expected)}")
    return calibration
