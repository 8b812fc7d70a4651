"""Does occlusion say what a model looks at? The trained model is held against the same network with untrained weights.

Source: Adebayo et al. 2018, "Sanity Checks for Saliency Maps": an explanation that does not change when a model's
weights are thrown away explains nothing of the model.
"""

import numpy as np

from benchmarks.parts import Values
from benchmarks.quality.onnx_model import onnx_model
from benchmarks.quality.training import Hospitals
from fedvoxel.evaluation.uncertainty.examination import Model
from fedvoxel.evaluation.uncertainty.occlusion import Effort, explain, mass_near
from fedvoxel.evaluation.uncertainty.probability import labels_of
from fedvoxel.training.networks import build_network, get_weights

CASES = 4
NEAR_MM = 6.0
EFFORT = Effort(limit_s=3600.0, least_side=8)


def looked_at(hospitals: Hospitals, model: Model) -> list[Values]:
    """Returns, of some test cases, where the heat of both models lies, asked about the same voxels."""
    task = hospitals.task
    network = build_network(task.training.network, len(task.classes) + 1, task.training.seed + 1000)
    untrained = onnx_model(task, get_weights(network))
    rows = []
    cases = [case for site in hospitals.sites.values() for case in site.test][:: max(1, 48 // CASES)][:CASES]
    for case in cases:
        chance = model.probabilities(case.image)
        for code, name in enumerate(task.classes, start=1):
            mask = labels_of(chance) == code
            made = [explain(case.image, chance, code, one, EFFORT) for one in (model, untrained)]
            if made[0] is None or made[1] is None:
                continue
            heats = [one.heat for one in made if one is not None]
            rows.append(
                {
                    "structure": name,
                    "near": mass_near(heats[0], mask, case.spacing_mm, NEAR_MM),
                    "near_untrained": mass_near(heats[1], mask, case.spacing_mm, NEAR_MM),
                    "near_by_chance": mass_near(np.ones(mask.shape, np.float32), mask, case.spacing_mm, NEAR_MM),
                    "alike": float(np.corrcoef(heats[0].ravel(), heats[1].ravel())[0, 1]),
                }
            )
    return rows
