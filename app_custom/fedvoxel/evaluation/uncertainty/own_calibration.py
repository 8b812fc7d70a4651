"""One hospital calibrates a package for itself, with the same sums that many hospitals would add up."""

import math
from dataclasses import replace
from pathlib import Path

from fedvoxel.errors import CohortError, ConfigError
from fedvoxel.evaluation.inference.model import Model
from fedvoxel.evaluation.uncertainty.examination import Progress
from fedvoxel.evaluation.uncertainty.hospital_sums import HospitalCases
from fedvoxel.federation.calibration.answers import MINIMUM_PATIENTS, FirstAnswer, SecondAnswer
from fedvoxel.federation.calibration.calibration import Calibration
from fedvoxel.federation.calibration.fitting import make_calibration, make_plan
from fedvoxel.federation.calibration.plan import ViewPlan
from fedvoxel.volumes.loading import load_cases
from fedvoxel.volumes.site import load_site_config


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


def calibrate_volumes(cases: HospitalCases, model: Model, progress: Progress | None = None) -> Calibration:
    """Returns a package's calibration with volume intervals of these validation cases alone.

    Raises:
        ConfigError: The package has none.
        CohortError: There are too few patients.
    """
    if model.calibration is None:
        raise ConfigError("the package has no calibration of which the rest could be kept; give --anew")
    first = replace(cases, training=()).first(progress)
    if not isinstance(first, FirstAnswer):
        raise _too_few()
    changed = {
        "volume_errors": first.volume_errors,
        "patients": first.validation_patients,
        "hospitals": 1,
    }
    return model.calibration.model_copy(update=changed)


def calibrate_anew(
    cases: HospitalCases, model: Model, progress: Progress | None = None, views: ViewPlan | None = None
) -> Calibration:
    """Returns a calibration of these cases alone.

    Raises:
        CohortError: There are too few patients.
    """
    first = cases.first(progress)
    if not isinstance(first, FirstAnswer):
        raise _too_few()
    kept = views or (model.calibration.plan.views if model.calibration else ViewPlan())
    plan = make_plan([first], kept)
    second = cases.second(plan, progress)
    if not isinstance(second, SecondAnswer):
        raise _too_few()
    return make_calibration(plan, [first], [second])


def factor_of(bound: float) -> float:
    """Returns by which factor a volume may be off, of a bound on the logarithm."""
    return math.exp(bound)


def _too_few() -> CohortError:
    return CohortError(
        f"expected at least {MINIMUM_PATIENTS} validation patients; enlarge split.validation in the site's file"
    )
