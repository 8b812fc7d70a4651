"""A model trained on the Decathlon's hippocampi segments a DICOM series, if the header's orientation is heeded."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import permutations, product
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from pydicom import dcmread
from scipy import ndimage

from fedvoxel.config import parse_config
from fedvoxel.dicom.series import find_series
from fedvoxel.training.config import TrainingConfig
from fedvoxel.training.trainer import Trainer
from fedvoxel.volumes.dicom_label import label_of
from fedvoxel.volumes.dicom_volume import DicomVolume, volume_of
from fedvoxel.volumes.hippocampus import CLASSES, HOSPITALS, hippocampus_cohort, hippocampus_tables
from fedvoxel.volumes.loading import load_cases
from fedvoxel.volumes.plan import PreparedCase, PreprocessingPlan, prepare
from fedvoxel.volumes.resampling import reorient
from fedvoxel.volumes.volume import LabelledVolume, Volume
from tests.volumes.dicom_cases import seg_of
from tests.volumes.scans import site_config
from tests.volumes.site_pipeline import deidentified, store

pytestmark = pytest.mark.slow

JOB = Path(__file__).parents[2] / "jobs/hippocampus_fedavg/app/config/config_fed_client.json"
ROUNDS = 4
# The highest and lowest value over the training labels is taken as is; no tolerance is added.
WHOLE = 0.9


@dataclass(frozen=True)
class Shape:
    """What makes a mask plausible, for each class: its volume, its place, and how much of it hangs together.

    Attributes:
        volume_mm3: (classes,).
        place: Centre of mass from the crop's centre, as a share of the crop's size, (classes, 3).
        largest_part: Share of the largest connected part, (classes,).
        at_border: Whether the mask touches the border of the crop.
    """

    volume_mm3: NDArray[np.float64]
    place: NDArray[np.float64]
    largest_part: NDArray[np.float64]
    at_border: bool

    @classmethod
    def of(cls, label: NDArray[np.uint8], spacing_mm: Sequence[float]) -> "Shape":
        masks = [label == 1 + index for index in range(len(CLASSES))]
        size = np.array(label.shape)
        inner = np.pad(np.ones(size - 2, dtype=bool), 1)
        counts = np.array([mask.sum() for mask in masks])
        centres = [ndimage.center_of_mass(mask) if mask.any() else (np.nan,) * 3 for mask in masks]
        parts = [np.bincount(ndimage.label(mask)[0].ravel(), minlength=2)[1:].max() for mask in masks]
        return cls(
            counts * np.prod(spacing_mm),
            (np.array(centres) - (size - 1) / 2) / size,
            np.array(parts) / np.maximum(counts, 1),
            bool((label > 0)[~inner].any()),
        )


def is_plausible(shape: Shape, known: Sequence[Shape]) -> bool:
    """Says whether both classes have a size and place that occur in training, hang together, and lie inside."""
    volumes, places = np.array([one.volume_mm3 for one in known]), np.array([one.place for one in known])
    right_size = np.all((volumes.min(axis=0) <= shape.volume_mm3) & (shape.volume_mm3 <= volumes.max(axis=0)))
    right_place = np.all((places.min(axis=0) <= shape.place) & (shape.place <= places.max(axis=0)))
    return bool(right_size and right_place and np.all(shape.largest_part >= WHOLE) and not shape.at_border)


def settings() -> tuple[PreprocessingPlan, TrainingConfig]:
    """The plan and training of the main job, as they stand there."""
    arguments = json.loads(JOB.read_text())["executors"][0]["executor"]["args"]
    plan = parse_config(PreprocessingPlan, arguments["plan"], "the job's plan")
    return plan, parse_config(TrainingConfig, arguments["training"], "the job's training section")


@pytest.fixture(scope="module")
def training_cases(data_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> list[PreparedCase]:
    folder = tmp_path_factory.mktemp("hospitals")
    tables = hippocampus_tables(data_folder, folder)
    site = site_config(**{name: hippocampus_cohort(tables[name], 0.0, 0.0) for name in HOSPITALS})
    plan, _ = settings()
    loaded = [load_cases(site, name, tuple(CLASSES), plan, "training", folder) for name in HOSPITALS]
    return [case for cases, _ in loaded for case in cases]


@pytest.fixture(scope="module")
def known(training_cases: list[PreparedCase]) -> list[Shape]:
    return [Shape.of(case.label, case.spacing_mm) for case in training_cases]


@pytest.fixture(scope="module")
def model(training_cases: list[PreparedCase]) -> Trainer:
    trainer = Trainer(settings()[1], tuple(CLASSES), training_cases, "pooled", "cpu")
    weights = trainer.weights()
    for index in range(ROUNDS):
        update = trainer.train_round(weights, index, ROUNDS)
        weights = {name: weights[name] + update.arrays[name] for name in weights}
    scores = trainer.evaluate(weights, training_cases[::10])
    assert all(np.mean([score.dice[name] or 0.0 for score in scores]) > 0.8 for name in CLASSES)
    return trainer


@pytest.fixture(scope="module")
def folder(data_folder: Path) -> Path:
    return data_folder / "dicom_studies/hippocrop/Study1"


@pytest.fixture(scope="module")
def volume(folder: Path) -> DicomVolume:
    """The pipeline: found, de-identified, made into a volume."""
    (files,) = find_series(folder).series
    return volume_of(deidentified(files))


def segmented(model: Trainer, image: Volume) -> tuple[PreparedCase, NDArray[np.uint8]]:
    case = prepare(LabelledVolume("case", image, np.zeros(image.shape, np.uint8)), settings()[0])
    return case, model.predict(case.image)


def shape_of(model: Trainer, image: Volume) -> Shape:
    case, mask = segmented(model, image)
    return Shape.of(mask, case.spacing_mm)


def test_the_criterion_accepts_every_training_label(known: list[Shape]) -> None:
    assert all(is_plausible(shape, known) for shape in known)


def test_the_mask_is_plausible(model: Trainer, known: list[Shape], volume: DicomVolume) -> None:
    assert is_plausible(shape_of(model, volume.volume), known)


def test_the_mask_is_dark_tissue_like_the_training_labels(
    model: Trainer, training_cases: list[PreparedCase], volume: DicomVolume
) -> None:
    case, mask = segmented(model, volume.volume)
    means = [float(known.image[0][known.label > 0].mean()) for known in training_cases]
    assert min(means) <= float(case.image[0][mask > 0].mean()) <= max(means)


def stacked_as_numbered(folder: Path) -> NDArray[np.float32]:
    """Pixels as a loader stacks them that looks at InstanceNumber only."""
    slices = sorted((dcmread(path) for path in folder.iterdir()), key=lambda one: int(one.InstanceNumber))
    return np.stack([one.pixel_array for one in slices]).astype(np.float32)


def test_without_the_headers_orientation_it_is_not(
    model: Trainer, known: list[Shape], volume: DicomVolume, folder: Path
) -> None:
    voxels = volume.volume.voxels
    numbered = stacked_as_numbered(folder)
    ignoring = [voxels, voxels[:, :, ::-1], numbered, numbered.transpose(2, 1, 0)]
    for pixels in ignoring:
        assert not is_plausible(shape_of(model, Volume(pixels, np.eye(4))), known)


def test_no_other_orientation_is_plausible(model: Trainer, known: list[Shape], volume: DicomVolume) -> None:
    upright, _ = reorient(volume.volume.voxels, volume.volume.affine, "RAS")
    plausible = []
    for order, flips in product(permutations(range(3)), product((1, -1), repeat=3)):
        turned = upright.transpose(order)[:: flips[0], :: flips[1], :: flips[2]]
        if is_plausible(shape_of(model, Volume(turned, np.eye(4))), known):
            plausible.append((order, flips))
    assert plausible == [((0, 1, 2), (1, 1, 1))]


def test_the_mask_goes_back_to_dicom_and_comes_in_again(
    model: Trainer, volume: DicomVolume, folder: Path, tmp_path: Path
) -> None:
    import highdicom as hd
    from nibabel.orientations import aff2axcodes

    case, mask = segmented(model, volume.volume)
    stored, _ = reorient(mask, case.affine, "".join(aff2axcodes(volume.volume.affine)))
    sources = [dcmread(path) for path in sorted(folder.iterdir())]
    for source in sources:
        source.PatientBirthDate, source.PatientSex, source.StudyTime = "", "", ""
        source.AccessionNumber, source.SpecificCharacterSet = "", "ISO_IR 100"
    frame = sources[0].FrameOfReferenceUID
    grid = hd.Volume(stored.transpose(2, 1, 0), volume.geometry.affine, "PATIENT", frame)
    seg = store(tmp_path, seg_of(sources, grid, tuple(CLASSES)))
    names = {name: (name,) for name in CLASSES}
    image, label = (deidentified(find_series(place).series[0], names) for place in (folder, seg))
    assert np.array_equal(label_of(label, volume_of(image), image, names), stored)
