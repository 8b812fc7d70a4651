"""Proves that the forms in a package agree on real images: the weights, the torch.export program, and ONNX.

Each is run as inference runs it, window by window over the prepared image.
"""

from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np
import torch
from monai.inferers import sliding_window_inference
from numpy.typing import NDArray

from fedvoxel.config import FrozenModel, parse_config
from fedvoxel.errors import CohortError, ConfigError, PackageError
from fedvoxel.export.agreement import compare
from fedvoxel.export.bundle import PROGRAM, WEIGHTS
from fedvoxel.export.description import ModelDescription
from fedvoxel.export.forms import Predictor, load_weights, onnx_predictor, program_predictor, torch_predictor
from fedvoxel.export.manifest import ONNX
from fedvoxel.export.origin import PROVENANCE
from fedvoxel.export.package import Package
from fedvoxel.export.provenance import Provenance
from fedvoxel.export.signature import read_object
from fedvoxel.training.networks import build_network
from fedvoxel.training.scoring import score_case
from fedvoxel.volumes.loading import load_cases
from fedvoxel.volumes.nifti_file import read_nifti
from fedvoxel.volumes.plan import PreparedCase, prepare
from fedvoxel.volumes.site import load_site_config
from fedvoxel.volumes.volume import LabelledVolume, Volume

Logits = NDArray[np.float32]


class FormResult(FrozenModel):
    """Says how well one form agrees with the weights on one case.

    Attributes:
        case: Pseudonym, or the number of the file.
        form: "torch.export" or "ONNX".
        voxels: How many were compared.
        argmax_agreement: Share of them with the same label.
        largest_softmax_difference: Of a probability.
        dice: Between the two label maps, by structure; None where neither finds it.
        holds: Whether that is enough.
    """

    case: str
    form: str
    voxels: int
    argmax_agreement: float
    largest_softmax_difference: float
    dice: dict[str, float | None]
    holds: bool


def check_forms(package: Package, cases: Iterable[PreparedCase]) -> Iterator[FormResult]:
    """Compares a package's forms, case by case.

    Raises:
        PackageError: A form cannot be loaded, or the package does not say of which network it is.
    """
    description = package.description
    reference = _weights_predictor(package)
    others = {"torch.export": program_predictor(package.member(PROGRAM)), "ONNX": onnx_predictor(package.member(ONNX))}
    for case in cases:
        expected = _logits(reference, case, description)
        for form, predictor in others.items():
            yield _result(case, form, _logits(predictor, case, description), expected, description)


def images_of(paths: Iterable[Path], description: ModelDescription) -> Iterator[PreparedCase]:
    """Yields NIfTI images as the network takes them, named by number.

    Raises:
        GeometryError: One cannot be used.
    """
    for number, path in enumerate(paths, start=1):
        volume = Volume(*read_nifti(path, "image", "missing_image"))
        nothing = np.zeros(volume.shape, dtype=np.uint8)
        yield prepare(LabelledVolume(f"image {number}", volume, nothing), description.plan)


def cohort_cases(site_file: Path, cohort: str | None, description: ModelDescription) -> tuple[PreparedCase, ...]:
    """Returns the test cases of a site's cohort as the network takes them.

    Args:
        site_file: The site's own file.
        cohort: The cohort; its only one when None.
        description: The model's.

    Raises:
        ConfigError: The file is not valid, or has several cohorts and none is named.
        CohortError: The cohort is unknown, or has no usable test case.
    """
    site = load_site_config(site_file)
    if cohort is None and len(site.cohorts) != 1:
        raise ConfigError(f"the site has the cohorts {', '.join(sorted(site.cohorts))}; name one with --cohort")
    classes = tuple(structure.name for structure in description.structures)
    chosen = cohort or next(iter(site.cohorts))
    cases, _ = load_cases(site, chosen, classes, description.plan, "test", site_file.parent)
    if not cases:
        raise CohortError(f"cohort {chosen} has no test case; raise split.test in the site's own file")
    return cases


def made_up_case(description: ModelDescription) -> PreparedCase:
    """Returns noise a little larger than the window: better than no image, and no proof."""
    shape = tuple(size + size // 2 for size in description.inference.roi_size)
    image = np.random.default_rng(7).standard_normal((1, *shape)).astype(np.float32)
    return PreparedCase("made-up image", image, np.zeros(shape, dtype=np.uint8), (1.0, 1.0, 1.0), np.eye(4))


def _weights_predictor(package: Package) -> Predictor:
    values = read_object(package.member(PROVENANCE), f"the package's {PROVENANCE}")
    try:
        provenance = parse_config(Provenance, values, f"the package's {PROVENANCE}")
        network = build_network(provenance.network, package.description.channels, seed=0)
    except ConfigError as error:
        raise PackageError(str(error)) from None
    load_weights(network, package.member(WEIGHTS))
    return torch_predictor(network.eval())


def _logits(predictor: Predictor, case: PreparedCase, description: ModelDescription) -> Logits:
    window = description.inference
    found = sliding_window_inference(
        torch.from_numpy(case.image)[None],
        roi_size=window.roi_size,
        sw_batch_size=window.batch_size,
        predictor=lambda images: torch.from_numpy(predictor(images.contiguous().numpy())),
        overlap=window.overlap,
        mode="gaussian",
    )
    return np.asarray(found.numpy())


def _result(
    case: PreparedCase, form: str, found: Logits, expected: Logits, description: ModelDescription
) -> FormResult:
    agreement = compare(found, expected)
    labels, reference = (np.asarray(logits.argmax(1)[0], dtype=np.uint8) for logits in (found, expected))
    names = tuple(structure.name for structure in description.structures)
    score = score_case(case.case, labels, reference, names, case.spacing_mm, surfaces=False)
    return FormResult(
        case=case.case,
        form=form,
        voxels=agreement.voxels,
        argmax_agreement=agreement.argmax,
        largest_softmax_difference=agreement.softmax,
        dice=dict(score.dice),
        holds=agreement.holds,
    )
