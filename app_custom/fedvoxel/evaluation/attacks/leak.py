"""Runs gradient inversion on one of a hospital's patients: without protection, under the job's noise, and as sent.

All three look for the same part of the same scan, with the same label and the same search. The first shows that the
attack works. The second adds to that very gradient what the job's mechanism adds in one step, the patient alone in it.
The third takes what the hospital sent in round 0: steps and patients are mixed in it, and whole scans, so that a
failure there says that this attack fails, not that every attack does.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch

from fedvoxel.errors import CohortError, TrainingError
from fedvoxel.evaluation.attacks.findings import InversionFinding
from fedvoxel.evaluation.attacks.inversion import Attacked, Gradient, Search, Told, reconstruct
from fedvoxel.evaluation.attacks.likeness import Size, Volume, correlation, likeness, part_of
from fedvoxel.evaluation.attacks.material import Material, Weights, first_sent
from fedvoxel.privacy.noise import Noise
from fedvoxel.privacy.patient_mechanism import PatientMechanism
from fedvoxel.privacy.sections import PatientMechanismConfig
from fedvoxel.training.networks import build_loss
from fedvoxel.training.segmenter import Segmenter
from fedvoxel.training.trainer import Trainer

LARGEST: Size = (24, 32, 24)
"""Voxels of the part that is reconstructed: larger ones take minutes each on one core."""

_MULTIPLES = (8, 16, 32)


@dataclass(frozen=True)
class Reconstructions:
    """Holds what is shown: never written anywhere but into the hospital's own folder.

    Attributes:
        truth: The part of the scan, (X, Y, Z).
        labels: Its label codes.
        found: Reconstructions by what they were made from: "unprotected", "protected" and "sent".
        finding: The figures.
    """

    truth: Volume
    labels: Volume
    found: dict[str, Volume]
    finding: InversionFinding


def invert(material: Material, seed: int, search: Search | None = None, told: Told | None = None) -> Reconstructions:
    """Attacks one training patient, chosen by `seed`.

    Args:
        material: The job, the hospital's patients, and the model at the start of the run, which must be known.
        seed: Chooses the patient and the images that the searches begin with.
        search: How the attacker looks.
        told: Told after every step of all searches.

    Raises:
        CohortError: There are fewer than two patients, or none with a structure.
        TrainingError: The start model is not known.
    """
    started = time.monotonic()
    segmenter = _at_the_start(material)
    chosen, scans = _choose(material, seed), [patient[0] for patient in (*material.members, *material.others)]
    size = _usable_size(segmenter)
    images, (truth, labels) = [part_of(scan, size)[0] for scan in scans], part_of(scans[chosen], size)
    attacked = Attacked(segmenter.network, build_loss(material.job.task.training.loss), _tensor(labels, segmenter))
    seen, sent_is = _seen(material, attacked.gradient(_tensor(truth, segmenter)))
    found = {
        name: reconstruct(attacked, gradient, search or Search(), seed, _share(told, index, len(seen)))
        for index, (name, gradient) in enumerate(seen.items())
    }
    judged = {name: likeness(volume, images, chosen) for name, volume in found.items()}
    finding = InversionFinding(
        patients=len(images),
        nearest_other=max(correlation(truth, image) for index, image in enumerate(images) if index != chosen),
        size=size,
        unprotected=judged["unprotected"],
        protected=judged.get("protected"),
        sent=judged.get("sent"),
        sent_is=sent_is,
        seconds=time.monotonic() - started,
    )
    return Reconstructions(truth, labels, found, finding)


def protected(plain: Gradient, config: PatientMechanismConfig, noise: Noise | None = None) -> dict[str, torch.Tensor]:
    """Returns what the job's mechanism would release of one step with this patient alone in it.

    Args:
        plain: The patient's gradient.
        config: The job's privacy section.
        noise: Other noise than the mechanism's own, for tests.
    """
    mechanism = PatientMechanism(config, noise)
    length = torch.stack([one.double().square().sum() for one in plain.values()]).sum().sqrt()
    (factor,) = mechanism.clip_factor(np.array([float(length)]))
    released = mechanism.noisy_mean({name: (one.double() * factor).cpu().numpy() for name, one in plain.items()})
    return {name: torch.from_numpy(released[name]).to(one) for name, one in plain.items()}


def _at_the_start(material: Material) -> Segmenter:
    """Returns the job's network in training, with the weights that the run began with."""
    if material.start is None:
        raise TrainingError("the model that the run began with is not at hand: give it with --start")
    segmenter = Segmenter(material.job.task.training, material.job.task.classes, material.device)
    segmenter.load(material.start)
    segmenter.network.train()
    return segmenter


def _seen(material: Material, gradient: Gradient) -> tuple[dict[str, Gradient], str]:
    """Returns what the attacker sees in each case, by its name, and what "sent" is in words."""
    plain = {name: one.detach() for name, one in gradient.items()}
    seen: dict[str, Gradient] = {"unprotected": plain}
    if isinstance(material.job.task.privacy, PatientMechanismConfig):
        seen["protected"] = protected(plain, material.job.task.privacy)
    update, said = _sent(material)
    if update is not None:
        seen["sent"] = {name: -torch.from_numpy(update[name]).to(one) for name, one in plain.items()}
    return seen, said


def _choose(material: Material, seed: int) -> int:
    marked = [index for index, scans in enumerate(material.members) if scans[0].label.any()]
    if not marked or len(material.members) + len(material.others) < 2:
        raise CohortError("expected two patients or more, one of them with a structure, to look for one among them")
    return int(np.random.default_rng(seed).choice(marked))


def _usable_size(segmenter: Segmenter) -> Size:
    """Returns the size of the part to reconstruct: the largest allowed, or what the network can take."""
    whole = segmenter.config.sampling.size
    for multiple in _MULTIPLES:
        x, y, z = (
            min(full, max(multiple, most // multiple * multiple)) for full, most in zip(whole, LARGEST, strict=True)
        )
        if _takes(segmenter, (x, y, z)):
            return x, y, z
    return whole


def _takes(segmenter: Segmenter, size: Size) -> bool:
    """Says whether the network can segment an image of this size; some insist on their own."""
    try:
        with torch.no_grad():
            output = segmenter.network(torch.zeros((1, 1, *size), device=segmenter.device))
    except (RuntimeError, ValueError):
        return False
    return tuple(output.shape[-3:]) == size


def _sent(material: Material) -> tuple[Weights | None, str]:
    """Returns what the hospital sent in round 0, and what that is in words."""
    task = material.job.task
    if isinstance(task.privacy, PatientMechanismConfig):
        update = first_sent(material)
        if update is None:
            return None, "nothing: this hospital's ledger has no release of the run's round 0 that was sent"
        return update, "the noised bytes that this hospital sent in round 0, from its ledger"
    trainer = Trainer(task.training, task.classes, material.cases, material.site, material.device)
    computed = trainer.train_round(material.start or {}, 0, material.job.rounds)
    return dict(computed.arrays), "this hospital's update of round 0, computed again as the job does, without noise"


def _share(told: Told | None, index: int, count: int) -> Callable[[int, int], None] | None:
    if told is None:
        return None
    report = told
    return lambda done, total: report(index * total + done, count * total)


def _tensor(volume: Volume, segmenter: Segmenter) -> torch.Tensor:
    return torch.from_numpy(volume)[None, None].to(segmenter.device)
