"""One hospital calibrates a package for itself, with the same sums that many hospitals would add up.

Nobody signs what comes of it. Where the package has a calibration, a hospital's own therefore replaces the volume
intervals alone: what refuses an image stays as it was signed.
"""

import math
from dataclasses import replace
from pathlib import Path
from typing import Literal

from fedvoxel.config import FrozenModel, load_json_config
from fedvoxel.errors import CohortError, ConfigError
from fedvoxel.evaluation.inference.model import Model
from fedvoxel.evaluation.uncertainty.examination import Progress
from fedvoxel.evaluation.uncertainty.hospital_sums import HospitalCases
from fedvoxel.export.calibration import calibration_of, check_structures
from fedvoxel.export.package import Package
from fedvoxel.federation.calibration.answers import MINIMUM_PATIENTS, FirstAnswer, SecondAnswer
from fedvoxel.federation.calibration.calibration import Calibration
from fedvoxel.federation.calibration.fitting import make_calibration, make_plan
from fedvoxel.federation.calibration.plan import ViewPlan
from fedvoxel.records.names import Sha256
from fedvoxel.volumes.loading import load_cases
from fedvoxel.volumes.site import load_site_config


class OwnCalibration(FrozenModel):
    """Is the file that `fedvoxel calibrate` writes.

    Attributes:
        package_sha256: The package that it was made with, and that alone it may be used with.
        calibration: What was found.
    """

    schema_version: Literal[1] = 1
    package_sha256: Sha256
    calibration: Calibration


def with_own_calibration(model: Model, path: Path) -> Model:
    """Returns a model that speaks by the calibration that a hospital has made for itself; see `own_calibration_of`."""
    return replace(model, calibration=own_calibration_of(model.package, path))


def own_calibration_of(package: Package, path: Path) -> Calibration:
    """Returns what counts of a package where a hospital has calibrated it for itself.

    Of a package with a calibration only the volume intervals, and the number of patients that they are of, change; one
    without takes the whole.

    Raises:
        ConfigError: It is missing, malformed, or was made with another package.
    """
    own = load_json_config(OwnCalibration, path, "the calibration (of `fedvoxel calibrate`)")
    if own.package_sha256 != package.sha256:
        raise ConfigError(
            "the calibration was made with another package or version: run fedvoxel calibrate with this one"
        )
    check_structures(own.calibration, package.description, "the calibration")
    packed = calibration_of(package)
    return own.calibration if packed is None else _with_volumes(packed, own.calibration)


def package_cases(model: Model, site_file: Path, cohort: str) -> HospitalCases:
    """Returns a cohort's cases, prepared as a package's model has it.

    Raises:
        ConfigError: The site's file cannot be read.
        CohortError: The cohort is unknown or has no usable case.
    """
    said, site = model.package.description, load_site_config(site_file)
    names = tuple(structure.name for structure in said.structures)
    training, validation = (
        load_cases(site, cohort, names, said.plan, split, site_file.parent)[0] for split in ("training", "validation")
    )
    return HospitalCases(model.predictor.window, names, training, validation, said.plan.intensity)


def calibrate(
    cases: HospitalCases, model: Model, progress: Progress | None = None, views: ViewPlan | None = None
) -> OwnCalibration:
    """Returns volume intervals of these cases for a package with a calibration, and all for one without.

    Args:
        cases: The hospital's.
        model: The package's.
        progress: Is told how many cases are done, and of how many.
        views: Changed copies that the model is to endure, where all is fitted.

    Raises:
        CohortError: There are too few patients.
    """
    packed = model.calibration
    made = _volumes(cases, packed, progress) if packed else _whole(cases, views or ViewPlan(), progress)
    return OwnCalibration(package_sha256=model.package.sha256, calibration=made)


def _volumes(cases: HospitalCases, packed: Calibration, progress: Progress | None) -> Calibration:
    first = replace(cases, training=()).first(progress)
    if not isinstance(first, FirstAnswer):
        raise _too_few()
    changed = {
        "volume_errors": first.volume_errors,
        "patients": first.validation_patients,
        "hospitals": 1,
    }
    return packed.model_copy(update=changed)


def _whole(cases: HospitalCases, views: ViewPlan, progress: Progress | None) -> Calibration:
    first = cases.first(progress)
    if not isinstance(first, FirstAnswer):
        raise _too_few()
    plan = make_plan([first], views)
    second = cases.second(plan, progress)
    if not isinstance(second, SecondAnswer):
        raise _too_few()
    return make_calibration(plan, [first], [second])


def _with_volumes(packed: Calibration, own: Calibration) -> Calibration:
    return packed.model_copy(update={name: getattr(own, name) for name in ("volume_errors", "patients", "hospitals")})


def factor_of(bound: float) -> float:
    """Returns by which factor a volume may be off, of a bound on the logarithm."""
    return math.exp(bound)


def _too_few() -> CohortError:
    return CohortError(
        f"expected at least {MINIMUM_PATIENTS} validation patients; enlarge split.validation in the site's file"
    )
