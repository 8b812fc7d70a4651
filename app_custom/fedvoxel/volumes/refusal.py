"""Why a case is refused: stable reason codes, each with what the hospital can do about it.

A refusal never holds a path, a patient or an original case name: the case is named by its pseudonym.
"""

from dataclasses import dataclass
from typing import Literal, get_args

from fedvoxel.errors import DeidError, DicomError, GeometryError

Reason = Literal[
    "missing_image",
    "missing_label",
    "duplicate_case",
    "unnamed_case",
    "unknown_patient",
    "unreadable",
    "truncated",
    "too_large",
    "unsupported_type",
    "complex_values",
    "not_3d",
    "no_orientation",
    "singular_affine",
    "implausible_spacing",
    "non_finite",
    "constant_image",
    "shape_mismatch",
    "affine_mismatch",
    "fractional_label",
    "unexpected_class",
    "empty_label",
    # Labels from DICOM (and all labels of a built cohort).
    "several_labels",
    "label_other_image",
    "malformed_label",
    "unsupported_label",
    "overlapping_classes",
    "label_outside_image",
    "contours_off_slices",
    "striped_label",
    # Cohorts that are built from DICOM.
    "changed_file",
    "timed_out",
    "out_of_memory",
    "crashed",
    "unexpected_error",
    # Volumes from DICOM.
    "unsupported_modality",
    "no_positions",
    "single_slice",
    "localizer_only",
    "several_volumes",
    "mixed_orientations",
    "mixed_sizes",
    "mixed_spacings",
    "mixed_frames_of_reference",
    "gantry_tilt",
    "missing_slices",
    "irregular_spacing",
    "irregular_positions",
    "inverted_image",
    "colour_image",
    "no_rescale",
    "zero_slope",
]

REMEDIES: dict[Reason, str] = {
    "missing_image": "put the image where the cohort's description says it is, or take the case out",
    "missing_label": "add the label, or take the case out of the cohort",
    "duplicate_case": "keep one image and one label for each case",
    "unnamed_case": "give every row of the table a case name",
    "unknown_patient": "make patient_pattern match this case (BIDS) or fill in PatientID at the source (DICOM), "
    "so that its patient stays in one split",
    "unreadable": "export the case again as NIfTI (.nii or .nii.gz)",
    "truncated": "copy or export the file again",
    "too_large": "crop or resample the volume before adding it to the cohort",
    "unsupported_type": "save the file with one real number per voxel",
    "complex_values": "save the magnitude image",
    "not_3d": "save one 3-D volume per file with at least two slices along each axis",
    "no_orientation": "export with the orientation (NIfTI: qform or sform; DICOM: ImageOrientationPatient)",
    "singular_affine": "export again with the scanner's geometry",
    "implausible_spacing": "check the voxel size and its unit, millimetres are expected",
    "non_finite": "replace NaN and infinities at the source",
    "constant_image": "check that the right image was exported",
    "shape_mismatch": "resample the label onto the image's grid",
    "affine_mismatch": "resample the label onto the image's grid",
    "fractional_label": "save the label as whole numbers (nearest-neighbour interpolation), a DICOM SEG as BINARY",
    "unexpected_class": "correct the label, or the classes of the cohort and the job",
    "empty_label": "check that the right label was exported",
    "several_labels": "narrow the search for labels until each image has one",
    "label_other_image": "use the label that was drawn on this image series",
    "malformed_label": "export the segmentation or structure set again from the tool that made it",
    "unsupported_label": "export a volumetric DICOM SEG, an RTSTRUCT of closed planar contours, or NIfTI",
    "overlapping_classes": "correct the label, or the names of the classes, so that a voxel is of one class",
    "label_outside_image": "use the image that the label was drawn on, with all its slices",
    "contours_off_slices": "export the structure set with its contours on the slices of this image",
    "striped_label": "let the tool that drew it fill in the slices between, and export again",
    "changed_file": "run `fedvoxel cohort build` again, which makes anew what is not as it was built",
    "timed_out": "look at this series; if it is only large, raise build.case_timeout_s",
    "out_of_memory": "look at this series; if it is only large, raise build.case_memory_gib",
    "crashed": "take the series out, or export it uncompressed: a library crashes on it",
    "unexpected_error": "report this as a bug in fedvoxel; take the series out meanwhile",
    "unsupported_modality": "choose series of CT, MR or PT images for the cohort",
    "no_positions": "export the original series with the position of each slice; reformatted pictures have none",
    "single_slice": "choose a series with two or more slices",
    "localizer_only": "choose a series that is no localizer",
    "several_volumes": "export each time point, echo, weighting or kind of image as a series of its own",
    "mixed_orientations": "export each orientation as a series of its own",
    "mixed_sizes": "export images of one size as a series of their own",
    "mixed_spacings": "export images of one pixel spacing as a series of their own",
    "mixed_frames_of_reference": "export images of one frame of reference as a series of their own",
    "gantry_tilt": "export the series resampled without the tilt of the gantry",
    "missing_slices": "fetch the series again: it is not complete",
    "irregular_spacing": "export the series with evenly spaced slices",
    "irregular_positions": "export the slices of one stack as a series of their own",
    "inverted_image": "export the series as MONOCHROME2",
    "colour_image": "choose a series of grey values",
    "no_rescale": "export the series with RescaleSlope and RescaleIntercept for every slice",
    "zero_slope": "export the series with the scanner's RescaleSlope",
}

REASONS: tuple[Reason, ...] = get_args(Reason)


@dataclass(frozen=True)
class Refusal:
    """Says that one case cannot be used.

    Attributes:
        case: The case's pseudonym.
        reason: One of `REASONS`, or a reason of reading DICOM files or of de-identification.
        message: What was found and what to do, without paths or original names.
    """

    case: str
    reason: str
    message: str


def geometry_error(reason: Reason, found: str) -> GeometryError:
    """Returns the error for `reason`: what was found, then what to do."""
    return GeometryError(reason, f"{found}; {REMEDIES[reason]}")


def refusal_of(case: str, error: GeometryError | DicomError | DeidError) -> Refusal:
    """Returns the refusal that `error` means for the case with the pseudonym `case`."""
    return Refusal(case, error.reason, str(error).removeprefix(f"{case}: "))
