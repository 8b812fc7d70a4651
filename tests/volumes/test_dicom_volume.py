"""A regular series gives its own voxels and geometry; every other one is refused with its reason."""

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from numpy.typing import NDArray
from pydicom import Dataset

from fedvoxel.dicom.study_series import read_study_series
from fedvoxel.errors import DicomError, GeometryError
from fedvoxel.volumes.dicom_volume import DicomVolume, volume_of, volume_of_study
from fedvoxel.volumes.refusal import REMEDIES
from tests.dicom.phantom import DIRECTIONS, PATIENT, Edit, Phantom, item, write_all
from tests.volumes.clean_series import only_files, only_series

LPS_TO_RAS = np.diag([-1.0, -1.0, 1.0, 1.0])


def assert_exact(made: DicomVolume, phantom: Phantom, values: NDArray[np.float64] | None = None) -> None:
    """Every voxel must hold the phantom's value, or that of `values`, at the same place in the patient."""
    values = phantom.values if values is None else values
    inverse = np.linalg.inv(LPS_TO_RAS @ phantom.affine_lps)
    x, y, z = np.indices(made.volume.shape).reshape(3, -1)
    places = inverse @ made.volume.affine @ np.stack([x, y, z, np.ones_like(x)])
    index = np.rint(places[:3]).astype(int)
    assert np.abs(places[:3] - index).max() < 1e-5
    assert sorted(made.volume.shape) == sorted(phantom.shape)
    np.testing.assert_array_equal(made.volume.voxels[x, y, z], values[tuple(index)].astype(np.float32))
    assert made.geometry.spatial_shape == phantom.shape
    numbers = np.arange(values.size).reshape(made.geometry.spatial_shape)
    assert made.to_grid(numbers)[4, 3, 2] == numbers[2, 3, 4]


@pytest.mark.parametrize("direction", DIRECTIONS)
def test_the_hospitals_own_series_gives_the_same_volume(tmp_path: Path, direction: str) -> None:
    folder = Phantom(direction).write(tmp_path)
    identified = volume_of_study(read_study_series(only_files(folder)))
    clean = volume_of(only_series(folder))
    assert_exact(identified, Phantom(direction))
    np.testing.assert_array_equal(identified.volume.voxels, clean.volume.voxels)
    np.testing.assert_allclose(identified.volume.affine, clean.volume.affine, atol=1e-9)
    assert identified.slices == clean.slices


def test_each_door_is_for_its_own_kind_of_series(tmp_path: Path) -> None:
    folder = Phantom().write(tmp_path)
    with pytest.raises(TypeError, match="DeidentifiedSeries only"):
        volume_of(read_study_series(only_files(folder)))  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="StudySeries"):
        volume_of_study(only_series(folder))  # type: ignore[arg-type]


def test_the_hospitals_own_series_is_judged_alike(tmp_path: Path) -> None:
    folder = Phantom().write(tmp_path, lambda slices: slices.pop(4) and None)
    with pytest.raises(GeometryError) as caught:
        volume_of_study(read_study_series(only_files(folder)))
    assert caught.value.reason == "missing_slices"


@pytest.mark.parametrize("direction", DIRECTIONS)
def test_a_series_keeps_its_place_in_the_patient(tmp_path: Path, direction: str) -> None:
    phantom = Phantom(direction)
    made = volume_of(only_series(phantom.write(tmp_path)))
    assert_exact(made, phantom)
    assert made.left_out == ()


@pytest.mark.parametrize("direction", DIRECTIONS)
def test_an_enhanced_image_gives_the_same_volume_whatever_the_order_of_its_frames(
    tmp_path: Path, direction: str
) -> None:
    phantom = Phantom(direction)
    write_all(tmp_path, [phantom.enhanced(order=[3, 1, 0, 2, 7, 5, 6, 4])])
    made = volume_of(only_series(tmp_path))
    assert_exact(made, phantom)
    assert {instance for instance, _ in made.slices} == {0}
    assert sorted(frame for _, frame in made.slices) == list(range(8))


def test_the_slices_say_where_each_plane_comes_from(tmp_path: Path) -> None:
    series = only_series(Phantom().write(tmp_path))
    made = volume_of(series)
    for index, (instance, frame) in enumerate(made.slices):
        position = np.array(series.headers[instance].ImagePositionPatient, dtype=float)
        np.testing.assert_allclose(made.geometry.affine @ [index, 0, 0, 1], [*position, 1], atol=1e-4)
        assert frame == 0


def test_signed_values_and_uneven_numbers_are_rescaled(tmp_path: Path) -> None:
    phantom = Phantom(signed=True, slope=0.37, intercept=12.125)
    assert_exact(volume_of(only_series(phantom.write(tmp_path))), phantom)


def test_each_slice_has_its_own_rescale(tmp_path: Path) -> None:
    phantom = Phantom(modality="PT", slope=1.0, intercept=0.0)
    slopes = np.linspace(0.5, 2.25, 8)

    def edit(slices: list[Dataset]) -> None:
        for one, slope in zip(slices, slopes, strict=True):
            one.RescaleSlope, one.Units = slope, "BQML"

    made = volume_of(only_series(phantom.write(tmp_path, edit)))
    assert_exact(made, phantom, phantom.stored * slopes[:, None, None])
    assert made.sidecar["Units"] == "BQML"


def test_each_frame_has_its_own_rescale(tmp_path: Path) -> None:
    phantom = Phantom()
    image = phantom.enhanced()
    del image.SharedFunctionalGroupsSequence[0].PixelValueTransformationSequence
    for index, groups in enumerate(image.PerFrameFunctionalGroupsSequence):
        groups.PixelValueTransformationSequence = [item(RescaleSlope=1 + index, RescaleIntercept=-index)]
    write_all(tmp_path, [image])
    made = volume_of(only_series(tmp_path))
    steps = np.arange(8)[:, None, None]
    assert_exact(made, phantom, phantom.stored * (1.0 + steps) - steps)


def test_mr_without_a_rescale_keeps_its_stored_values(tmp_path: Path) -> None:
    phantom = Phantom(modality="MR", slope=None, intercept=None)
    assert_exact(volume_of(only_series(phantom.write(tmp_path))), phantom)


def test_mr_with_a_rescale_in_some_slices_only_is_refused(tmp_path: Path) -> None:
    edit = third(RescaleSlope=None, RescaleIntercept=None)
    series = only_series(Phantom(modality="MR", slope=2.0, intercept=0.0).write(tmp_path, edit))
    with pytest.raises(GeometryError) as caught:
        volume_of(series)
    assert caught.value.reason == "no_rescale"


def test_copies_of_slices_are_left_out_and_counted(tmp_path: Path) -> None:
    phantom = Phantom()

    def edit(slices: list[Dataset]) -> None:
        slices += [phantom.slices()[index] for index in (2, 2, 5)]

    made = volume_of(only_series(phantom.write(tmp_path, edit)))
    assert_exact(made, phantom)
    assert made.left_out == (("repeated_slice", 3),)


def test_localizers_are_left_out_and_counted(tmp_path: Path) -> None:
    phantom = Phantom()

    def edit(slices: list[Dataset]) -> None:
        scout = Phantom("sagittal", shape=(1, 40, 40), study_uid=phantom.study_uid, series_uid=phantom.series_uid)
        slices += scout.slices()
        slices[-1].ImageType = ["ORIGINAL", "PRIMARY", "LOCALIZER"]

    made = volume_of(only_series(phantom.write(tmp_path, edit)))
    assert_exact(made, phantom)
    assert made.left_out == (("localizer", 1),)


# ------------------------------------------------------------------ refusals


def every(**values: object) -> Edit:
    """Sets, or with None deletes, attributes of every slice."""

    def edit(slices: list[Dataset]) -> None:
        for one in slices:
            change(one, **values)

    return edit


def third(**values: object) -> Edit:
    """Does the same with the third slice only."""
    return lambda slices: change(slices[2], **values)


def change(one: Dataset, **values: object) -> None:
    for keyword, value in values.items():
        if value is None:
            delattr(one, keyword)
        else:
            setattr(one, keyword, value)


def without(*indices: int) -> Edit:
    def edit(slices: list[Dataset]) -> None:
        for index in sorted(indices, reverse=True):
            del slices[index]

    return edit


def moved(index: int, axis: int, by_mm: float) -> Edit:
    def edit(slices: list[Dataset]) -> None:
        position = list(map(float, slices[index].ImagePositionPatient))
        position[axis] += by_mm
        slices[index].ImagePositionPatient = position

    return edit


def other_pixels(slices: list[Dataset]) -> None:
    slices.append(Phantom(series_uid=slices[0].SeriesInstanceUID, study_uid=slices[0].StudyInstanceUID).slices()[4])
    slices[-1].FrameOfReferenceUID = slices[0].FrameOfReferenceUID
    slices[-1].PixelData = bytes(len(slices[-1].PixelData))


def two_echoes(slices: list[Dataset]) -> None:
    for index, one in enumerate(slices):
        one.EchoTime = 20 + index % 2


def test_one_number_in_two_spellings_is_one_number(tmp_path: Path) -> None:
    phantom = Phantom(modality="MR", slope=None, intercept=None)

    def edit(slices: list[Dataset]) -> None:
        for index, one in enumerate(slices):
            one.EchoTime = ("4.6", "4.60", "4.6E0")[index % 3]

    assert_exact(volume_of(only_series(phantom.write(tmp_path, edit))), phantom)


def test_cosines_of_three_decimals_are_taken_to_the_nearest_right_angles(tmp_path: Path) -> None:
    phantom = Phantom("twice oblique")

    def edit(slices: list[Dataset]) -> None:
        for one in slices:
            cosines = [f"{float(cosine):.3f}" for cosine in one.ImageOrientationPatient]
            one.ImageOrientationPatient = [cosines[0] + "5", *cosines[1:]]

    made = volume_of(only_series(phantom.write(tmp_path, edit)))
    corners = np.array([[0, 0, 0, 1], [*np.subtract(phantom.shape, 1), 1]]).T
    places = np.linalg.inv(phantom.affine_lps) @ made.geometry.affine @ corners
    np.testing.assert_allclose(np.sort(places), corners, atol=0.02)
    axes = made.geometry.unit_vectors()
    np.testing.assert_allclose(np.array(axes) @ np.transpose(axes), np.eye(3), atol=1e-12)


REFUSED: list[tuple[str, Edit, str]] = [
    ("missing_slices", without(3), "1 slices are missing: gaps of 3 mm, but up to 6 mm"),
    ("missing_slices", without(2, 3, 5), "3 slices are missing: gaps of 3 mm, but up to 9 mm"),
    ("irregular_spacing", moved(3, 2, 0.8), "between 2.2 and 3.8 mm apart"),
    ("irregular_spacing", moved(3, 2, -2.98), "between 0.02 and 5.98 mm apart"),
    ("irregular_positions", moved(3, 0, 0.8), "do not lie on one line"),
    ("irregular_positions", lambda slices: moved(3, 2, -3.0)(slices) or moved(3, 0, 8.0)(slices), "beside each other"),
    ("single_slice", without(*range(1, 8)), "one slice only"),
    ("localizer_only", every(ImageType=["ORIGINAL", "PRIMARY", "LOCALIZER"]), "all 8 images"),
    ("several_volumes", other_pixels, "different pixels"),
    ("several_volumes", two_echoes, "EchoTime"),
    ("several_volumes", third(TemporalPositionIdentifier=2), "TemporalPositionIdentifier"),
    ("several_volumes", third(DiffusionBValue=800.0), "DiffusionBValue"),
    ("several_volumes", third(ImageType=["ORIGINAL", "PRIMARY", "P"]), "ImageType"),
    ("several_volumes", third(FlipAngle=30), "FlipAngle"),
    ("several_volumes", third(RepetitionTime=800), "RepetitionTime"),
    ("several_volumes", third(KVP=80), "KVP"),
    ("several_volumes", third(ConvolutionKernel="B70f"), "ConvolutionKernel"),
    ("mixed_orientations", third(ImageOrientationPatient=[1, 0, 0, 0, 0.99985, 0.0173]), "2 orientations"),
    ("mixed_sizes", third(Rows=11, Columns=14), "2 numbers of rows and columns"),
    ("mixed_spacings", third(PixelSpacing=[1.2, 0.71]), "2 pixel spacings"),
    ("mixed_frames_of_reference", third(FrameOfReferenceUID="1.2.3"), "2 frames of reference"),
    ("no_positions", third(ImagePositionPatient=None), "ImagePositionPatient"),
    ("no_positions", third(ImagePositionPatient=[1.0, 2.0]), "ImagePositionPatient"),
    ("no_orientation", third(ImageOrientationPatient=None), "ImageOrientationPatient"),
    ("no_orientation", every(ImageOrientationPatient=[1, 0, 0, 0.5, 0.5, 0]), "right angles"),
    ("no_orientation", every(ImageOrientationPatient=[1, 0, 0, 0.01, 1, 0]), "right angles"),
    ("no_orientation", every(ImageOrientationPatient=[0, 0, 0, 0, 0, 0]), "ImageOrientationPatient"),
    ("implausible_spacing", third(PixelSpacing=None), "PixelSpacing"),
    ("implausible_spacing", every(PixelSpacing=[0, 0]), "PixelSpacing"),
    ("implausible_spacing", every(PixelSpacing=[70, 70]), "20.0 mm"),
    ("inverted_image", third(PhotometricInterpretation="MONOCHROME1"), "MONOCHROME1"),
    ("zero_slope", third(RescaleSlope=0), "zero"),
    ("no_rescale", third(RescaleSlope=None), "RescaleSlope"),
    ("no_rescale", every(RescaleSlope=None, RescaleIntercept=None), "RescaleSlope"),
    ("constant_image", every(PixelData=bytes(14 * 11 * 2)), "same value"),
]


@pytest.mark.parametrize(("reason", "edit", "found"), REFUSED, ids=[f"{case[0]}-{n}" for n, case in enumerate(REFUSED)])
def test_what_is_not_a_regular_volume_is_refused(tmp_path: Path, reason: str, edit: Edit, found: str) -> None:
    series = only_series(Phantom().write(tmp_path, edit))
    with pytest.raises(GeometryError) as caught:
        volume_of(series)
    assert caught.value.reason == reason
    assert found in str(caught.value) and str(caught.value).endswith(REMEDIES[reason])  # type: ignore[index]
    assert PATIENT not in str(caught.value) and str(tmp_path) not in str(caught.value)


def test_other_modalities_colours_and_numbers_beyond_float32_are_refused(tmp_path: Path) -> None:
    series = only_series(Phantom().write(tmp_path))
    series.headers[3].RescaleSlope = "1e38"
    with pytest.raises(GeometryError, match="infinite"):
        volume_of(series)
    series.headers[3].PhotometricInterpretation = "PALETTE COLOR"
    with pytest.raises(GeometryError, match="grey"):
        volume_of(series)
    object.__setattr__(series, "modality", "SEG")
    with pytest.raises(GeometryError, match="CT, MR, PT"):
        volume_of(series)


@pytest.mark.parametrize("degrees", [15.0, -7.0, 0.6])
def test_a_tilted_gantry_is_refused_with_its_degrees(tmp_path: Path, degrees: float) -> None:
    series = only_series(Phantom(tilt_degrees=degrees, shape=(20, 14, 11)).write(tmp_path))
    with pytest.raises(GeometryError, match=f"{abs(degrees):.2f} degrees") as caught:
        volume_of(series)
    assert caught.value.reason == "gantry_tilt"


def test_what_rounding_leaves_of_a_tilt_is_not_refused(tmp_path: Path) -> None:
    volume_of(only_series(Phantom(tilt_degrees=0.05).write(tmp_path)))


def test_frames_that_are_not_described_are_refused(tmp_path: Path) -> None:
    image = Phantom().enhanced()
    del image.PerFrameFunctionalGroupsSequence[5]
    write_all(tmp_path, [image])
    with pytest.raises(GeometryError, match="8 frames describes 7") as caught:
        volume_of(only_series(tmp_path))
    assert caught.value.reason == "no_positions"


def inversions(image: Dataset) -> None:
    for index, groups in enumerate(image.PerFrameFunctionalGroupsSequence):
        groups.MRModifierSequence = [item(InversionTimes=[300.0 + 100 * (index % 2), 900.0])]


def stacks(image: Dataset) -> None:
    for index, groups in enumerate(image.PerFrameFunctionalGroupsSequence):
        groups.FrameContentSequence = [item(StackID=str(index % 2))]


@pytest.mark.parametrize(
    ("edit", "reason"),
    [
        (stacks, "several_volumes"),
        (inversions, "several_volumes"),
        (lambda image: change(image, NumberOfFrames=9), "no_positions"),
    ],
)
def test_an_enhanced_image_of_several_stacks_is_refused(
    tmp_path: Path, edit: Callable[[Dataset], None], reason: str
) -> None:
    image = Phantom().enhanced()
    edit(image)
    write_all(tmp_path, [image])
    with pytest.raises((GeometryError, DicomError)) as caught:
        volume_of(only_series(tmp_path))
    assert caught.value.reason == reason


def test_only_a_deidentified_series_becomes_a_volume(tmp_path: Path) -> None:
    series = only_series(Phantom().write(tmp_path))
    lookalike = SimpleNamespace(**vars(series), stored_pixels=series.stored_pixels)
    with pytest.raises(TypeError, match="DeidentifiedSeries"):
        volume_of(lookalike)  # type: ignore[arg-type]


def test_a_header_of_another_shape_is_refused_without_quoting_it(tmp_path: Path) -> None:
    series = only_series(Phantom().write(tmp_path))

    class Odd(dict[str, object]):
        def get(self, keyword: str, default: object = None) -> object:
            raise AttributeError(PATIENT)

    object.__setattr__(series, "headers", (Odd(),) * 8)
    with pytest.raises(DicomError) as caught:
        volume_of(series)
    assert caught.value.reason == "malformed" and PATIENT not in str(caught.value)


def test_too_large_a_volume_is_refused_before_its_pixels_are_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    series = only_series(Phantom().write(tmp_path))
    monkeypatch.setattr(type(series), "stored_pixels", None)
    for header in series.headers:
        header.Rows, header.Columns = 60000, 4000
    with pytest.raises(GeometryError) as caught:
        volume_of(series)
    assert caught.value.reason == "too_large"


def test_the_sidecar_has_what_all_slices_agree_on(tmp_path: Path) -> None:
    def edit(slices: list[Dataset]) -> None:
        every(RepetitionTime=2500, EchoTime=30.5, FlipAngle=90, MagneticFieldStrength=3, Manufacturer="SIEMENS")(slices)
        third(MagneticFieldStrength=1.5)(slices)

    phantom = Phantom(modality="MR", slope=None, intercept=None)
    sidecar = volume_of(only_series(phantom.write(tmp_path, edit))).sidecar
    assert sidecar == {
        "Modality": "MR",
        "Manufacturer": "SIEMENS",
        "ImageType": ["ORIGINAL", "PRIMARY", "AXIAL"],
        "SliceThickness": 3.0,
        "FlipAngle": 90.0,
        "RepetitionTime": 2.5,
        "EchoTime": 0.0305,
    }
