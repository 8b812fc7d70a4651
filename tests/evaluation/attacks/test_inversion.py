"""Inversion: one patient's plain gradient gives the scan away, the same gradient under noise does not."""

import numpy as np
import pytest
import torch

from fedvoxel.errors import CohortError, TrainingError
from fedvoxel.evaluation.attacks.inversion import Search
from fedvoxel.evaluation.attacks.inversion_picture import inversion_picture
from fedvoxel.evaluation.attacks.leak import invert, protected
from fedvoxel.evaluation.attacks.likeness import correlation, likeness, part_of
from fedvoxel.evaluation.attacks.material import Material
from fedvoxel.evaluation.trained_job import TrainedJob
from fedvoxel.privacy.sections import PatientMechanismConfig, read_section
from fedvoxel.volumes.plan import PreparedCase, by_patient
from tests.finished_job import ROUNDS, SITE, blob_task, initial_weights
from tests.private_section import PRIVACY
from tests.sample_run import sample_outcome

SIZE = (16, 16, 16)


def patients(count: int) -> tuple[PreparedCase, ...]:
    """Smooth scans that look different, each with a blob."""
    random = np.random.default_rng(5)
    cases = []
    for index in range(count):
        coarse = torch.from_numpy(random.normal(size=(1, 1, 4, 4, 4)))
        image = torch.nn.functional.interpolate(coarse, SIZE, mode="trilinear").numpy()[0].astype(np.float32)
        grid = np.indices(SIZE).transpose(1, 2, 3, 0)
        label = (np.linalg.norm(grid - random.integers(5, 11, 3), axis=-1) < 4).astype(np.uint8)
        cases.append(PreparedCase(f"case-{index}", image, label, (1.0, 1.0, 1.0), np.eye(4), f"patient-{index}"))
    return tuple(cases)


def material(tmp_path, privacy=None, count: int = 8, start: bool = True) -> Material:  # type: ignore[no-untyped-def]
    network = {"name": "UNet", "arguments": {"channels": [16, 32], "strides": [2], "num_res_units": 0}}
    task, cases = blob_task(privacy, network=network), patients(count)
    weights = initial_weights(task)
    job, outcome = TrainedJob(task, ROUNDS, weights), sample_outcome()
    members, others = by_patient(cases[: count - 2]), by_patient(cases[count - 2 :])
    kit = tmp_path / SITE
    return Material(outcome, job, SITE, members, others, cases[:-2], weights if start else None, kit, "cpu")


def test_a_plain_gradient_gives_the_patient_away_and_noise_protects(tmp_path) -> None:  # type: ignore[no-untyped-def]
    made = invert(material(tmp_path, PRIVACY), 1, Search(steps=100))
    found = made.finding
    assert found.patients == 8 and found.size == SIZE
    assert found.unprotected.rank == 1 and found.unprotected.margin > 0.15 and found.unprotected.ncc > 0.5
    assert found.protected is not None and abs(found.protected.ncc) < 0.2, "noise twice the clip bound hides the scan"
    assert found.sent is None and "no release" in found.sent_is
    picture = inversion_picture(made)
    assert picture.png.startswith(b"\x89PNG") and picture.shows_scan and "case-" not in picture.alt


def test_an_update_without_protection_is_computed_again(tmp_path) -> None:  # type: ignore[no-untyped-def]
    told: list[tuple[int, int]] = []
    made = invert(material(tmp_path), 1, Search(steps=3), lambda done, total: told.append((done, total)))
    assert made.finding.protected is None and made.finding.sent is not None
    assert "computed again" in made.finding.sent_is
    assert told == [(done, 6) for done in range(1, 7)]


def test_protection_is_the_mechanisms_own(tmp_path) -> None:  # type: ignore[no-untyped-def]
    config = read_section(PRIVACY | {"noise_multiplier": None})
    assert isinstance(config, PatientMechanismConfig)
    plain = {"kernel": torch.full((3, 4), 7.0), "bias": torch.zeros(2)}
    clipped = protected(plain, config)
    length = sum(float(one.square().sum()) for one in clipped.values()) ** 0.5 * config.expected_batch
    assert length == pytest.approx(config.clip_norm, rel=1e-5)


def test_what_cannot_be_attacked_is_said(tmp_path) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(TrainingError, match="give it with --start"):
        invert(material(tmp_path, start=False), 1)
    alone = material(tmp_path, count=3)
    with pytest.raises(CohortError, match="two patients or more"):
        invert(Material(**{**vars(alone), "others": ()}), 1)


def test_likeness_ranks_the_patient_among_the_others() -> None:
    random = np.random.default_rng(0)
    scans = [random.normal(size=(4, 4, 4)).astype(np.float32) for _ in range(5)]
    same = likeness(scans[2] * 3 + 1, scans, 2)
    assert same.ncc == pytest.approx(1) and same.rank == 1 and same.margin > 0
    other = likeness(scans[3], scans, 2)
    assert other.rank > 1 and other.margin < 0
    assert likeness(np.zeros((4, 4, 4), np.float32), scans, 2).rank == 5, "a tie recognises nobody"
    assert correlation(scans[0], -scans[0]) == pytest.approx(-1)


def test_a_part_is_cut_around_the_structures_and_padded() -> None:
    (scan,) = patients(1)
    image, label = part_of(scan, (8, 24, 8))
    assert image.shape == label.shape == (8, 24, 8) and label.any()
    assert not image[:, 0].any() or not image[:, -1].any(), "zeros beyond the edge"
