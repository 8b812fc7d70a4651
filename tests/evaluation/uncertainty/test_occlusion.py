"""Occlusion points at what a model looks at, in the time that it may take."""

import numpy as np

from fedvoxel.evaluation.uncertainty.occlusion import Effort, explain, mass_near
from tests.evaluation.uncertainty.blobs import BrightModel, patient


def test_a_model_that_looks_at_brightness_is_explained_by_the_structure_itself() -> None:
    case, model = patient(1), BrightModel()
    chance = model.probabilities(case.image)
    seen: list[int] = []
    found = explain(case.image, chance, 1, model, Effort(20.0), lambda done, total: seen.append(done))
    assert found is not None and found.done == 1.0 and seen[-1] == len(seen)
    near = mass_near(found.heat, case.label == 1, case.spacing_mm, 4.0)
    share = float(np.mean(case.label == 1))
    assert near is not None and near > 0.6 > 5 * share


def test_a_model_that_looks_elsewhere_is_found_out() -> None:
    class Elsewhere(BrightModel):
        """Calls the middle of the first half anterior, as sure as one corner is bright."""

        def probabilities(self, image, progress=None):  # type: ignore[no-untyped-def]
            chance = np.zeros((3, *image.shape[1:]), np.float32)
            spot = float(1 / (1 + np.exp(-np.ptp(image[0, :4, -4:, :4]))))
            chance[1, 6:12, 4:10, 6:12] = spot
            chance[0] = 1 - chance[1]
            return chance

    case, model = patient(2), Elsewhere()
    chance = model.probabilities(case.image)
    found = explain(case.image, chance, 1, model, Effort(20.0))
    assert found is not None
    near = mass_near(found.heat, chance[1] > 0.5, case.spacing_mm, 4.0)
    assert near is not None and near < 0.2


def test_time_is_bounded_and_the_nearest_blocks_come_first() -> None:
    case, model = patient(3), BrightModel()
    wide = np.pad(case.image, ((0, 0), (0, 0), (0, 40), (0, 0)), constant_values=case.image.min())
    chance = model.probabilities(wide)
    found = explain(wide, chance, 2, model, Effort(0.0))
    assert found is not None and model.asked == 3 and found.done == 0.5
    looked = np.argwhere(found.heat != 0)
    assert looked.min() >= 0 and found.heat[tuple(np.argwhere(case.label == 2).mean(axis=0).astype(int))] != 0


def test_what_was_not_found_is_not_explained() -> None:
    image = patient(4).image
    chance = np.zeros((3, *image.shape[1:]), np.float32)
    chance[0] = 1
    assert explain(image, chance, 1, BrightModel(), Effort(1.0)) is None
    assert mass_near(np.zeros(image.shape[1:], np.float32), image[0] > 0, (1, 1, 1), 1.0) is None
