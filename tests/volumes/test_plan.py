from itertools import permutations, product

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from fedvoxel.config import parse_config
from fedvoxel.errors import ConfigError, GeometryError
from fedvoxel.volumes.plan import IntensityPlan, PreparedCase, PreprocessingPlan, prepare, scale_intensity
from fedvoxel.volumes.volume import LabelledVolume, Volume
from tests.volumes.scans import image_voxels, label_voxels

SIZES = (24, 28, 20)
ORIENTATIONS = sorted("".join(letters) for pairs in permutations(("LR", "AP", "IS")) for letters in product(*pairs))


def blob_case(affine: np.ndarray, centre: tuple[float, ...] = (9.0, 16.0, 11.0), width: float = 3.0) -> LabelledVolume:
    """A smooth bright ball with a label, at the voxel `centre`."""
    index = np.indices(SIZES)
    distance = np.sqrt(sum(((index[axis] - centre[axis]) / width) ** 2 for axis in range(3)))
    image = (100.0 * np.exp(-(distance**2) / 2)).astype(np.float32)
    return LabelledVolume("case-1", Volume(image, affine), (distance < 1.5).astype(np.uint8))


def world_centre(weights: np.ndarray, affine: np.ndarray) -> np.ndarray:
    weights = np.clip(weights.astype(np.float64), 0, None)
    middle = [(weights * index).sum() / weights.sum() for index in np.indices(weights.shape)]
    return affine[:3, :3] @ middle + affine[:3, 3]


def positive_image(prepared: PreparedCase) -> np.ndarray:
    return np.asarray(prepared.image[0] - prepared.image[0].min())


@given(
    angles=st.tuples(*[st.floats(-180, 180)] * 3),
    spacing=st.tuples(*[st.floats(0.4, 3.0)] * 3),
    mirror=st.booleans(),
    orientation=st.sampled_from(ORIENTATIONS),
    target=st.one_of(st.none(), st.tuples(*[st.floats(0.8, 2.5)] * 3)),
)
def test_a_landmark_stays_where_it_is_in_the_world(
    angles: tuple[float, ...],
    spacing: tuple[float, ...],
    mirror: bool,
    orientation: str,
    target: tuple[float, float, float] | None,
) -> None:
    affine = np.eye(4)
    affine[:3, :3] = Rotation.from_euler("xyz", angles, degrees=True).as_matrix() @ np.diag(spacing)
    affine[:3, 0] *= -1 if mirror else 1
    affine[:3, 3] = (10.0, -20.0, 30.0)
    case = blob_case(affine)
    plan = PreprocessingPlan(orientation=orientation, spacing_mm=target, intensity=IntensityPlan(method="range"))
    prepared = prepare(case, plan)
    tolerance_mm = 0.35 * max(max(spacing), max(prepared.spacing_mm))
    before = world_centre(case.label, affine)
    np.testing.assert_allclose(world_centre(prepared.label, prepared.affine), before, atol=tolerance_mm)
    np.testing.assert_allclose(prepared.spacing_mm, np.linalg.norm(prepared.affine[:3, :3], axis=0))


@pytest.mark.parametrize("orientation", ORIENTATIONS)
def test_reorientation_moves_voxels_and_affine_together(orientation: str) -> None:
    import nibabel

    case = blob_case(np.diag([-1.0, 1.5, 2.0, 1.0]))
    prepared = prepare(case, PreprocessingPlan(orientation=orientation))
    assert "".join(nibabel.aff2axcodes(prepared.affine)) == orientation
    assert prepared.label.sum() == case.label.sum()
    np.testing.assert_allclose(
        world_centre(prepared.label, prepared.affine), world_centre(case.label, case.image.affine), atol=1e-9
    )
    back = prepare(
        LabelledVolume("case-1", Volume(prepared.image[0], prepared.affine), prepared.label),
        PreprocessingPlan(orientation="LAS"),
    )
    np.testing.assert_array_equal(back.label, case.label)
    np.testing.assert_allclose(back.affine, case.image.affine)


@pytest.mark.parametrize("target", [(0.6, 0.6, 0.6), (1.3, 1.0, 2.2), (2.0, 2.0, 2.0)])
def test_resampling_keeps_size_in_the_world_and_the_image_under_the_label(target: tuple[float, float, float]) -> None:
    case = blob_case(np.diag([1.0, 1.0, 1.0, 1.0]), width=4.0)
    prepared = prepare(case, PreprocessingPlan(spacing_mm=target, intensity=IntensityPlan(method="range")))
    assert prepared.spacing_mm == pytest.approx(target)
    volume_mm3 = prepared.label.sum() * np.prod(target)
    assert volume_mm3 == pytest.approx(case.label.sum(), rel=0.1)
    np.testing.assert_allclose(
        world_centre(prepared.label, prepared.affine),
        world_centre(positive_image(prepared) > 0.4, prepared.affine),
        atol=0.5,
    )


def test_prepared_arrays_are_what_a_network_takes() -> None:
    prepared = prepare(blob_case(np.diag([-1.0, 1.0, 1.0, 1.0])), PreprocessingPlan())
    assert (prepared.image.shape, prepared.image.dtype) == ((1, *SIZES), np.float32)
    assert (prepared.label.shape, prepared.label.dtype) == (SIZES, np.uint8)
    for array in (prepared.image, prepared.label):
        assert array.flags.c_contiguous
        assert array.flags.writeable


def test_own_spacing_is_kept_when_the_plan_names_none_or_the_same() -> None:
    case = blob_case(np.diag([0.7031, 0.7031, 2.5, 1.0]))
    for spacing in (None, (0.7, 0.7, 2.5)):
        prepared = prepare(case, PreprocessingPlan(spacing_mm=spacing))
        assert prepared.label.shape == SIZES
        assert prepared.spacing_mm == pytest.approx((0.7031, 0.7031, 2.5))


def test_fine_texture_does_not_alias_into_a_coarse_grid() -> None:
    stripes = (np.indices((48, 12, 12))[0] % 2).astype(np.float32)
    case = LabelledVolume("case-1", Volume(stripes, np.eye(4)), np.ones(stripes.shape, np.uint8))
    whole = IntensityPlan(method="range", lower_percentile=0, upper_percentile=100)
    from fedvoxel.volumes.resampling import resample_image, target_grid

    grid = target_grid(stripes.shape, case.image.affine, (3.0, 1.0, 1.0))
    assert grid is not None
    inner = resample_image(case.image.voxels, grid)[3:-3]
    assert inner.std() < 0.1
    assert inner.mean() == pytest.approx(0.5, abs=0.05)
    assert prepare(case, PreprocessingPlan(spacing_mm=(3, 1, 1), intensity=whole)).label.min() == 1


def test_labels_never_gain_classes() -> None:
    label = np.zeros(SIZES, np.uint8)
    label[4:12], label[12:20] = 1, 3
    case = LabelledVolume("case-1", Volume(image_voxels(SIZES), np.eye(4)), label)
    prepared = prepare(case, PreprocessingPlan(spacing_mm=(1.7, 0.8, 1.1)))
    assert set(np.unique(prepared.label)) == {0, 1, 3}


def test_zscore_and_range_do_what_they_say() -> None:
    voxels = image_voxels((20, 20, 20))
    zscore = scale_intensity(voxels, IntensityPlan())
    assert (zscore.mean(), zscore.std()) == pytest.approx((0, 1), abs=1e-5)
    ranged = scale_intensity(voxels, IntensityPlan(method="range"))
    assert (ranged.min(), ranged.max()) == (0, 1)


@given(st.sampled_from(["zscore", "range"]), st.floats(1e-3, 1e5), st.floats(-1e3, 1e3))
def test_scanner_gain_and_offset_do_not_matter(method: str, gain: float, offset: float) -> None:
    plan = parse_config(IntensityPlan, {"method": method}, "the plan")
    voxels = image_voxels()
    changed = (voxels.astype(np.float64) * gain + offset * gain).astype(np.float32)
    np.testing.assert_allclose(scale_intensity(changed, plan), scale_intensity(voxels, plan), atol=2e-3)


def test_one_bright_voxel_does_not_decide_the_scale() -> None:
    voxels = image_voxels((20, 20, 20))
    spoiled = voxels.copy()
    spoiled[0, 0, 0] = 1e9
    np.testing.assert_allclose(
        scale_intensity(spoiled, IntensityPlan())[1:], scale_intensity(voxels, IntensityPlan())[1:], atol=0.02
    )


def test_image_without_contrast_between_the_percentiles_is_refused() -> None:
    voxels = np.zeros((20, 20, 20), np.float32)
    voxels[0, 0, 0] = 5
    with pytest.raises(GeometryError) as caught:
        scale_intensity(voxels, IntensityPlan())
    assert caught.value.reason == "constant_image"


def test_resampling_to_an_absurd_size_is_refused() -> None:
    case = LabelledVolume("case-1", Volume(image_voxels(), np.diag([20.0, 20.0, 20.0, 1.0])), label_voxels())
    with pytest.raises(GeometryError) as caught:
        prepare(case, PreprocessingPlan(spacing_mm=(0.05, 0.05, 0.05)))
    assert caught.value.reason == "too_large"
    with pytest.raises(GeometryError) as caught:
        prepare(
            LabelledVolume("case-1", Volume(image_voxels(), np.eye(4)), label_voxels()),
            PreprocessingPlan(spacing_mm=(20, 20, 20)),
        )
    assert caught.value.reason == "not_3d"


@pytest.mark.parametrize(
    ("wrong", "key"),
    [
        ({"orientation": "RAR"}, "orientation"),
        ({"orientation": "RASX"}, "orientation"),
        ({"orientation": "ras"}, "orientation"),
        ({"spacing_mm": [1, 1]}, "spacing_mm"),
        ({"spacing_mm": [0, 1, 1]}, "spacing_mm.0"),
        ({"spacing_mm": [1, 1, 50]}, "spacing_mm.2"),
        ({"intensity": {"method": "minmax"}}, "intensity.method"),
        ({"intensity": {"lower_percentile": 60, "upper_percentile": 40}}, "intensity"),
        ({"intensity": {"upper_percentile": 101}}, "intensity.upper_percentile"),
        ({"spacing": [1, 1, 1]}, "spacing"),
    ],
)
def test_wrong_plan_names_the_key(wrong: dict[str, object], key: str) -> None:
    with pytest.raises(ConfigError, match=f"the job's plan is not valid: {key}"):
        parse_config(PreprocessingPlan, wrong, "the job's plan")
