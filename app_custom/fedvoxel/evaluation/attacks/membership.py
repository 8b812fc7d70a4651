"""Membership inference: can one tell from a released model's loss who was trained on?

Members are a hospital's training patients, the others its test patients, whom nobody trained on. The score is minus the
mean loss over a patient's scans, the attack that needs nothing but the model and the scans themselves. Attacks that
train models of their own find somewhat more.

Source: Yeom et al., "Privacy risk in machine learning: analyzing the connection to overfitting", CSF 2018; rates at few
false alarms as Carlini et al., "Membership inference attacks from first principles", IEEE S&P 2022, ask for.
"""

import math
from collections.abc import Sequence

import numpy as np
import torch
from monai.inferers import sliding_window_inference

from fedvoxel.evaluation.attacks.findings import Separation
from fedvoxel.evaluation.attacks.separation import auroc, auroc_interval, rate_at
from fedvoxel.privacy.guarantee import Guarantee
from fedvoxel.training.networks import build_loss
from fedvoxel.training.segmenter import Segmenter, loss_of
from fedvoxel.updates.update import Arrays
from fedvoxel.volumes.plan import PreparedCase

Patients = Sequence[Sequence[PreparedCase]]
"""All scans of each patient."""


def separation(segmenter: Segmenter, model: Arrays, members: Patients, others: Patients, seed: int) -> Separation:
    """Says how well a model's loss tells members from others.

    Args:
        segmenter: Of the job; it keeps `model` afterwards.
        model: The weights that the attacker has.
        members: Patients trained on, at least one.
        others: Patients not trained on, at least one.
        seed: Of the interval.
    """
    segmenter.load(model)
    inside = [-_mean_loss(segmenter, scans) for scans in members]
    outside = [-_mean_loss(segmenter, scans) for scans in others]
    low, high = auroc_interval(inside, outside, seed)
    return Separation(
        auroc=auroc(inside, outside),
        auroc_low=low,
        auroc_high=high,
        rate_at_10_percent=rate_at(inside, outside, 0.1),
        rate_at_1_percent=rate_at(inside, outside, 0.01),
    )


def allowed_rate(guarantee: Guarantee, false_alarms: float) -> float:
    """Returns the largest share of members that any attack can find under a guarantee, at a rate of false alarms.

    Source: Kairouz, Oh, Viswanath, "The composition theorem for differential privacy", ICML 2015, theorem 2.1.
    """
    grown = math.exp(min(guarantee.epsilon, 700.0))
    return min(1.0, grown * false_alarms + guarantee.delta, 1 - (1 - false_alarms - guarantee.delta) / grown)


def _mean_loss(segmenter: Segmenter, scans: Sequence[PreparedCase]) -> float:
    return float(np.mean([_loss(segmenter, scan) for scan in scans]))


def _loss(segmenter: Segmenter, scan: PreparedCase) -> float:
    inference = segmenter.config.inference
    segmenter.network.eval()
    with torch.inference_mode():
        logits = sliding_window_inference(
            torch.from_numpy(scan.image)[None].to(segmenter.device),
            roi_size=inference.roi_size,
            sw_batch_size=inference.batch_size,
            predictor=segmenter.network,
            overlap=inference.overlap,
            mode="gaussian",
        )
        codes = torch.from_numpy(scan.label[None, None].astype(np.float32)).to(segmenter.device)
        return float(loss_of(build_loss(segmenter.config.loss), logits, codes))
