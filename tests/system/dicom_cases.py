"""Turns labelled NIfTI scans into what a PACS holds: an MR series and its DICOM SEG, under made-up identities."""

from pathlib import Path

import highdicom
import nibabel
import numpy as np
from highdicom.seg import Segmentation, SegmentDescription
from numpy.typing import NDArray
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.sr.codedict import codes
from pydicom.uid import ExplicitVRLittleEndian, MRImageStorage, generate_uid

LPS_FROM_RAS = np.diag([-1.0, -1.0, 1.0, 1.0])


def mr_and_seg(image: Path, label: Path, patient: str, names: dict[str, int]) -> list[Dataset]:
    """Returns the instances of an axial MR series and, last, its SEG.

    Args:
        image: NIfTI, whole numbers from 0 to 65535 or real numbers, which are then scaled by a rescale slope.
        label: NIfTI on the same grid.
        patient: PatientID and family name; the study's UIDs are made from it.
        names: Segment label to label code.
    """
    scan = nibabel.load(image)
    voxels, affine = np.asarray(scan.dataobj, np.float64), LPS_FROM_RAS @ scan.affine
    slices = _slices(voxels, affine, patient)
    return [*slices, _segmentation(slices, np.asarray(nibabel.load(label).dataobj), names)]


def _slices(voxels: NDArray[np.float64], affine: NDArray[np.float64], patient: str) -> list[Dataset]:
    step = np.linalg.norm(affine[:3, :3], axis=0)
    whole = bool(np.all(voxels == np.rint(voxels))) and voxels.max() < 2**16
    slope = 1.0 if whole else float(f"{voxels.max() / 2**15:.9g}")
    stored = np.rint(voxels / slope).astype(np.uint16)
    study, series, frame = (generate_uid(entropy_srcs=[patient, kind]) for kind in ("study", "series", "frame"))
    made = []
    for k in range(voxels.shape[2]):
        header = _header(patient, study, series, frame)
        header.SOPInstanceUID = generate_uid(entropy_srcs=[patient, "instance", str(k)])
        header.InstanceNumber = k + 1
        header.ImagePositionPatient = [f"{value:.6f}" for value in (affine @ [0, 0, k, 1])[:3]]
        directions = (affine[:3, 0] / step[0], affine[:3, 1] / step[1])
        header.ImageOrientationPatient = [f"{value:.9f}" for value in np.concatenate(directions)]
        header.PixelSpacing = [f"{step[1]:.6f}", f"{step[0]:.6f}"]
        header.SliceThickness = f"{step[2]:.6f}"
        header.Columns, header.Rows = voxels.shape[0], voxels.shape[1]
        header.RescaleSlope, header.RescaleIntercept, header.RescaleType = f"{slope:.9g}", "0", "US"
        header.PixelData = np.ascontiguousarray(stored[:, :, k].T).tobytes()
        header.file_meta = _file_meta(header)
        made.append(header)
    return made


def _header(patient: str, study: str, series: str, frame: str) -> Dataset:
    header = Dataset()
    header.SOPClassUID = MRImageStorage
    header.StudyInstanceUID, header.SeriesInstanceUID, header.FrameOfReferenceUID = study, series, frame
    header.PatientID, header.PatientName, header.PatientBirthDate = patient, f"{patient}^INVENTED", "19500601"
    header.PatientSex, header.PatientAge = "O", "070Y"
    header.StudyDate, header.StudyTime, header.StudyID = "20240131", "101500", "1"
    header.AccessionNumber, header.ReferringPhysicianName = f"ACC{patient}", "INVENTED^DOCTOR"
    header.Modality, header.Manufacturer, header.ManufacturerModelName = "MR", "SIEMENS", "Prisma"
    header.SeriesNumber, header.SeriesDescription, header.BodyPartExamined = 3, "T1 hippocampus", "BRAIN"
    header.ImageType = ["ORIGINAL", "PRIMARY", "M", "NORM"]
    header.ScanningSequence, header.SequenceVariant, header.ScanOptions = "GR", "SP", ""
    header.MRAcquisitionType, header.RepetitionTime, header.EchoTime, header.FlipAngle = "3D", "2000", "3", "9"
    header.EchoTrainLength, header.MagneticFieldStrength = 1, "3"
    header.PatientPosition, header.PositionReferenceIndicator = "HFS", ""
    header.SamplesPerPixel, header.PhotometricInterpretation, header.PixelRepresentation = 1, "MONOCHROME2", 0
    header.BitsAllocated = header.BitsStored = 16
    header.HighBit = 15
    return header


def _file_meta(header: Dataset) -> FileMetaDataset:
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID = header.SOPClassUID, header.SOPInstanceUID
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    return meta


def _segmentation(slices: list[Dataset], label: NDArray[np.generic], names: dict[str, int]) -> Segmentation:
    masks = np.stack([np.transpose(label == code, (2, 1, 0)) for code in names.values()], axis=-1)
    described = [
        SegmentDescription(
            segment_number=number,
            segment_label=name,
            segmented_property_category=codes.SCT.AnatomicalStructure,
            segmented_property_type=codes.SCT.Hippocampus,
            algorithm_type=highdicom.seg.SegmentAlgorithmTypeValues.MANUAL,
        )
        for number, name in enumerate(names, start=1)
    ]
    uid = slices[0].SeriesInstanceUID
    return Segmentation(
        source_images=slices,
        pixel_array=masks.astype(np.uint8),
        segmentation_type=highdicom.seg.SegmentationTypeValues.BINARY,
        segment_descriptions=described,
        series_instance_uid=generate_uid(entropy_srcs=[uid, "seg"]),
        series_number=900,
        sop_instance_uid=generate_uid(entropy_srcs=[uid, "seg instance"]),
        instance_number=1,
        manufacturer="FedVoxel tests",
        manufacturer_model_name="dicom_cases",
        software_versions="1",
        device_serial_number="0",
    )
