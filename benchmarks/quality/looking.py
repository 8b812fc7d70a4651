"""Does occlusion say what a model looks at? The trained model is held against the same network with untrained weights.

Source: Adebayo et al. 2018, "Sanity Checks for Saliency Maps": an explanation that does not change when a model's
weights are thrown away explains nothing of the model.
"""

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import ndimage, stats

from benchmarks.parts import Values
from benchmarks.quality.onnx_model import onnx_model
from benchmarks.quality.training import Hospitals
from fedvoxel.evaluation.uncertainty.examination import Model
from fedvoxel.evaluation.uncertainty.gradients import integrated_gradients
from fedvoxel.evaluation.uncertainty.occlusion import Effort, explain, mass_near
from fedvoxel.evaluation.uncertainty.probability import Voxels, labels_of
from fedvoxel.training.networks import build_network, get_weights, set_weights
from fedvoxel.updates.update import Arrays

CASES = 4
NEAR_MM = 6.0
DIVISOR = 4
EFFORT = Effort(limit_s=3600.0, least_side=8)


def looked_at(hospitals: Hospitals, model: Model, weights: Arrays) -> list[Values]:
    """Returns, of some test cases, where the heat of both models lies, asked about the same voxels.

    Args:
        hospitals: Whose cases.
        model: The trained model.
        weights: Its weights, for gradients.
    """
    task = hospitals.task
    trained = build_network(task.training.network, len(task.classes) + 1, task.training.seed)
    set_weights(trained, weights)
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
            gradients = _gradients(trained, case.image, mask, code)
            rows.append(
                {
                    "structure": name,
                    "near": mass_near(heats[0], mask, case.spacing_mm, NEAR_MM),
                    "near_untrained": mass_near(heats[1], mask, case.spacing_mm, NEAR_MM),
                    "near_by_chance": mass_near(np.ones(mask.shape, np.float32), mask, case.spacing_mm, NEAR_MM),
                    "near_gradients": mass_near(gradients, mask, case.spacing_mm, NEAR_MM),
                    "like_gradients": float(stats.spearmanr(_blocks(gradients), _blocks(np.abs(heats[0]))).statistic),
                    "alike": float(np.corrcoef(heats[0].ravel(), heats[1].ravel())[0, 1]),
                }
            )
    return rows


def _gradients(network: torch.nn.Module, image: Voxels, mask: NDArray[np.bool_], code: int) -> Voxels:
    """Returns the size of integrated gradients from the blurred image, (X, Y, Z)."""
    wider = [(0, -size % DIVISOR) for size in mask.shape]
    padded = np.pad(image, ((0, 0), *wider))
    blurred = np.asarray(ndimage.gaussian_filter(padded, (0, 4, 4, 4)), np.float32)
    found = integrated_gradients(network.eval(), padded, np.pad(mask, wider), code, blurred)
    x, y, z = mask.shape
    return np.abs(found[:x, :y, :z])


def _blocks(heat: Voxels) -> NDArray[np.float32]:
    """Returns the mean heat of blocks of occlusion's size."""
    side = EFFORT.least_side
    x, y, z = (size // side * side for size in heat.shape)
    blocks = heat[:x, :y, :z].reshape(x // side, side, y // side, side, z // side, side)
    return blocks.mean(axis=(1, 3, 5)).ravel()
