"""The calibration of the sample model that tells structures by brightness, from generated patients."""

from pathlib import Path

import numpy as np

from fedvoxel.evaluation.uncertainty.hospital_sums import HospitalCases
from fedvoxel.evaluation.uncertainty.own_calibration import calibrate
from fedvoxel.federation.calibration.calibration import Calibration
from fedvoxel.federation.calibration.plan import ViewPlan
from fedvoxel.volumes.plan import PreparedCase, PreprocessingPlan, prepare_image
from fedvoxel.volumes.volume import Volume
from tests.evaluation.inference.bright_studies import LEVELS, SHAPE, bright_model, levels

PLAN = PreprocessingPlan()
AFFINE = np.diag([0.7, 1.2, 3.0, 1.0])


def case(seed: int) -> PreparedCase:
    """A patient whose voxels are as `bright_study` has them, on about the same grid."""
    codes = levels((SHAPE[2], SHAPE[1], SHAPE[0]), seed)
    made = prepare_image(Volume(np.array(LEVELS)[codes].astype(np.float32), AFFINE), PLAN)
    return PreparedCase(f"case{seed}", made.image, codes, (0.7, 1.2, 3.0), made.affine, f"patient{seed}")


def cases(folder: Path, training: int = 25, validation: int = 12) -> HospitalCases:
    model = bright_model(folder).predictor.window
    both = [case(seed) for seed in range(1, 1 + training + validation)]
    return HospitalCases(model, ("anterior", "posterior"), both[:training], both[training:], PLAN.intensity)


def bright_calibration(folder: Path) -> Calibration:
    """What 25 training and 12 validation patients say of the model."""
    model = bright_model(folder)
    return calibrate(cases(folder), model, views=ViewPlan(shift_voxels=0, intensity_scale=0.1)).calibration
