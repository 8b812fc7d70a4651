"""A package's calibration: held against the weights that it was fitted for, before it is packed and when it is read."""

from typing import Any

from fedvoxel.config import parse_config
from fedvoxel.errors import ConfigError, PackageError
from fedvoxel.export.description import ModelDescription
from fedvoxel.export.manifest import CALIBRATION
from fedvoxel.export.origin import PROVENANCE
from fedvoxel.export.package import Package
from fedvoxel.export.provenance import Provenance
from fedvoxel.export.signature import read_object
from fedvoxel.federation.calibration.calibration import CALIBRATION_SCHEMA_VERSION, Calibration


def calibration_of(package: Package) -> Calibration | None:
    """Returns a package's calibration; None where it has none.

    Raises:
        PackageError: It is of a newer version, malformed, or of another model than the package says it holds.
    """
    if package.calibration is None:
        return None
    what = f"the package's {CALIBRATION}"
    try:
        calibration = _parsed(package.calibration, what)
        check_structures(calibration, package.description, what)
        if PROVENANCE in package.names:  # every exported package has one
            values = read_object(package.member(PROVENANCE), f"the package's {PROVENANCE}")
            _check_weights(calibration, parse_config(Provenance, values, PROVENANCE).origin.model_sha256, what)
    except ConfigError as error:
        raise PackageError(str(error)) from None
    return calibration


def check_calibration(content: bytes, description: ModelDescription, weights_sha256: str) -> None:
    """Checks that a calibration may go into a package.

    Args:
        content: Of its file.
        description: The package's.
        weights_sha256: Of the run's weights that are packed.

    Raises:
        PackageError: It is no JSON object.
        ConfigError: It is malformed, or of another model.
    """
    calibration = _parsed(read_object(content, CALIBRATION), "the calibration")
    check_structures(calibration, description, "the calibration")
    _check_weights(calibration, weights_sha256, "the calibration")


def check_structures(calibration: Calibration, description: ModelDescription, what: str) -> None:
    """Checks that a calibration is of a model's structures.

    Raises:
        ConfigError: It is not.
    """
    expected = tuple(structure.name for structure in description.structures)
    if calibration.plan.structures != expected:
        found = ", ".join(calibration.plan.structures)
        raise ConfigError(f"{what} is of a model of {found}; this one finds {', '.join(expected)}")


def _check_weights(calibration: Calibration, weights_sha256: str, what: str) -> None:
    if calibration.model_sha256 != weights_sha256:
        raise ConfigError(
            f"{what} is of other weights than those that are packed: calibrate the run whose model it is, and "
            "pack the same model (--model best is what a calibration job takes)"
        )


def _parsed(values: Any, what: str) -> Calibration:
    version = values.get("schema_version") if isinstance(values, dict) else None
    if isinstance(version, int) and version > CALIBRATION_SCHEMA_VERSION:
        raise ConfigError(f"{what} is of version {version}, and this fedvoxel reads 1; update fedvoxel")
    return parse_config(Calibration, values, what)
