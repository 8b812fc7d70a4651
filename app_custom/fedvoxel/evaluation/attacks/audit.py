"""Runs all attacks on a finished job at one hospital, and writes what they found into the hospital's own folder."""

import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from fedvoxel.errors import CohortError, FedVoxelError, JobError, TrainingError
from fedvoxel.evaluation.attacks.canaries import audit_mechanism
from fedvoxel.evaluation.attacks.findings import AUDIT_FILE, CanaryFinding, MembershipFinding, PrivacyAudit
from fedvoxel.evaluation.attacks.inversion import Search
from fedvoxel.evaluation.attacks.inversion_picture import inversion_picture
from fedvoxel.evaluation.attacks.leak import Reconstructions, invert
from fedvoxel.evaluation.attacks.material import Material
from fedvoxel.evaluation.attacks.membership import allowed_rate, separation
from fedvoxel.evaluation.figures import Picture
from fedvoxel.records.atomic import write_bytes, write_json, write_text
from fedvoxel.training.segmenter import Segmenter

PAGE_FILE, PICTURE_FILE = "audit.html", "inversion.png"

Found = TypeVar("Found")

Step = Callable[[str, int, int], None]
"""Receives (what is being done, steps done, steps in all)."""

NO_MECHANISM = "No mechanism to audit: the job has no privacy section, and claims nothing."


@dataclass(frozen=True)
class Audited:
    """Holds the figures, and the picture that stays at the hospital; None where nothing was reconstructed."""

    audit: PrivacyAudit
    picture: Picture | None


def run_audit(material: Material, seed: int, told: Step, search: Search | None = None) -> Audited:
    """Runs membership inference, canaries and inversion; what cannot be done is said, and the rest goes on.

    Args:
        material: See `material.gather`.
        seed: Chooses the patient, the coins of the canaries and the resampling. The mechanism's noise has none.
        told: Told about progress.
        search: How long to look for an image.
    """
    skipped: list[str] = []
    membership = _tried(lambda: _membership(material, seed, told), "Membership inference", skipped)
    canaries = _canaries(material, seed, told, skipped)
    made: Reconstructions | None = _tried(
        lambda: invert(material, seed, search, lambda done, total: told("inverting gradients", done, total)),
        "Gradient inversion",
        skipped,
    )
    outcome = material.outcome
    audit = PrivacyAudit(
        run_key=outcome.run_key,
        job_id=outcome.job_id,
        job_name=outcome.job_name,
        site=material.site,
        privacy=outcome.privacy,
        seed=seed,
        membership=membership,
        canaries=canaries,
        inversion=made.finding if made else None,
        skipped=tuple(skipped),
    )
    return Audited(audit, inversion_picture(made) if made else None)


def open_folder(folder: Path) -> None:
    """Makes an audit's folder, closed to everybody but its owner; before the minutes that an audit takes.

    Raises:
        JobError: The folder cannot be made, or holds other things than an earlier audit.
    """
    with _writing(folder):
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        if any(path.name not in (AUDIT_FILE, PAGE_FILE, PICTURE_FILE) for path in folder.iterdir()):
            raise JobError(
                f"{folder} holds other files: an audit's folder is closed to everybody but its owner, "
                "so give it one of its own with --out"
            )
        os.chmod(folder, 0o700)


def write_audit(audited: Audited, folder: Path) -> None:
    """Writes `audit.json`, `audit.html` and `inversion.png`, for their owner alone, into a folder of `open_folder`.

    Raises:
        JobError: The folder cannot be written.
    """
    from fedvoxel.evaluation.attacks.audit_page import render_audit

    page = render_audit(audited.audit, audited.picture)
    with _writing(folder):
        (folder / PICTURE_FILE).unlink(missing_ok=True)
        if audited.picture:
            write_bytes(folder / PICTURE_FILE, audited.picture.png, mode=0o600)
        write_text(folder / PAGE_FILE, page, mode=0o600)
        write_json(folder / AUDIT_FILE, audited.audit.model_dump(mode="json"), mode=0o600)


@contextmanager
def _writing(folder: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise JobError(
            f"the audit cannot be written to {folder}: {error.strerror}; choose another with --out"
        ) from None


def _membership(material: Material, seed: int, told: Step) -> MembershipFinding:
    started = time.monotonic()
    members, others = material.members, material.others
    if not members or not others:
        raise CohortError(
            f"it needs training and test patients, and this hospital has {len(members)} and {len(others)}"
        )
    segmenter = Segmenter(material.job.task.training, material.job.task.classes, material.device)
    told("membership inference", 0, 2)
    model = separation(segmenter, material.job.model, members, others, seed)
    told("membership inference", 1, 2)
    initial = separation(segmenter, material.start, members, others, seed) if material.start else None
    told("membership inference", 2, 2)
    guarantee = material.outcome.guarantee
    bounded = guarantee is not None and guarantee.unit == "patient"
    return MembershipFinding(
        members=len(members),
        others=len(others),
        model=model,
        initial=initial,
        allowed_at_10_percent=allowed_rate(guarantee, 0.1) if guarantee and bounded else None,
        seconds=time.monotonic() - started,
    )


def _canaries(material: Material, seed: int, told: Step, skipped: list[str]) -> CanaryFinding | None:
    config, rounds = material.job.task.privacy, material.job.rounds
    if config is None or not rounds:
        skipped.append(NO_MECHANISM)
        return None
    started = time.monotonic()
    finding = audit_mechanism(config, rounds, seed, told=lambda done, total: told("canaries", done, total))
    claimed, said = finding.epsilon_claimed, material.outcome.guarantee
    if claimed is not None and said is not None and said.unit == finding.unit:
        # What people read is the outcome: should it promise more than the mechanism gives, that is what is tested.
        claimed = min(claimed, said.epsilon)
    return finding.model_copy(update={"epsilon_claimed": claimed, "seconds": time.monotonic() - started})


def _tried(attack: Callable[[], Found], name: str, skipped: list[str]) -> Found | None:
    try:
        return attack()
    except (CohortError, TrainingError) as error:
        skipped.append(_sentence(name, error))
        return None


def _sentence(name: str, error: FedVoxelError) -> str:
    return f"{name} was left out: {error}."
