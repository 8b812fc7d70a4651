"""Writes the CT series that all systems read: 512 x 512, uncompressed, with the header of an ordinary scanner."""

import os
from pathlib import Path

import numpy as np

from benchmarks import WORK

SIDE = 512
SPACING_MM = (1.0, 0.7, 0.7)


def write_scan(slices: int) -> Path:
    """Returns the folder with the series; writes it where it is not there yet."""
    folder = WORK / f"ingest-{slices}"
    if not (folder / "complete").exists():
        (folder / "series").mkdir(parents=True, exist_ok=True)
        random = np.random.default_rng(1)
        uids = [f"1.2.826.0.1.3680043.8.498.{random.integers(10**17)}" for _ in range(3)]
        for index in range(slices):
            _write_slice(folder / "series" / f"{index:04d}.dcm", index, uids, random)
        (folder / "complete").touch()
    return folder / "series"


def forget_pages(folder: Path) -> None:
    """Asks the kernel to drop what it holds of the files, so that the next reader finds the disk."""
    for path in folder.iterdir():
        handle = os.open(path, os.O_RDONLY)
        try:
            os.fsync(handle)
            os.posix_fadvise(handle, 0, 0, os.POSIX_FADV_DONTNEED)
        finally:
            os.close(handle)


def _write_slice(path: Path, index: int, uids: list[str], random: np.random.Generator) -> None:
    from pydicom import Dataset, dcmwrite
    from pydicom.dataset import FileMetaDataset
    from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian

    made = Dataset()
    made.SOPClassUID, made.SOPInstanceUID = CTImageStorage, f"{uids[1]}.{index + 1}"
    made.StudyInstanceUID, made.SeriesInstanceUID, made.FrameOfReferenceUID = uids
    for keyword, value in _ORDINARY.items():
        setattr(made, keyword, value)
    made.InstanceNumber, made.SliceLocation = index + 1, float(index)
    made.ImagePositionPatient = [-179.2, -179.2, index * SPACING_MM[0]]
    made.ReferencedImageSequence = [Dataset()]
    made.ReferencedImageSequence[0].ReferencedSOPClassUID = CTImageStorage
    made.ReferencedImageSequence[0].ReferencedSOPInstanceUID = f"{uids[0]}.9"
    made["ReferencedImageSequence"].is_undefined_length = True
    private = made.private_block(0x0019, "BENCHMARK", create=True)
    private.add_new(0x01, "OB", bytes(4096))
    made.PixelData = random.integers(0, 4096, (SIDE, SIDE), dtype=np.int16).tobytes()
    made.file_meta = FileMetaDataset()
    made.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    dcmwrite(path, made, enforce_file_format=True)


_ORDINARY = {
    "ImageType": ["ORIGINAL", "PRIMARY", "AXIAL"],
    "StudyDate": "20260102",
    "SeriesDate": "20260102",
    "AcquisitionDate": "20260102",
    "ContentDate": "20260102",
    "StudyTime": "101112",
    "SeriesTime": "101112",
    "AcquisitionTime": "101112",
    "ContentTime": "101112",
    "AccessionNumber": "0000001",
    "Modality": "CT",
    "Manufacturer": "SIEMENS",
    "InstitutionName": "Benchmark",
    "ReferringPhysicianName": "Nobody",
    "StudyDescription": "Abdomen",
    "SeriesDescription": "Abdomen 1.0",
    "ManufacturerModelName": "SOMATOM Force",
    "PatientName": "Benchmark^Ingest",
    "PatientID": "BENCHMARK",
    "PatientBirthDate": "19700101",
    "PatientSex": "O",
    "PatientAge": "056Y",
    "BodyPartExamined": "ABDOMEN",
    "ScanOptions": "FAST",
    "SliceThickness": "1",
    "KVP": "120",
    "DataCollectionDiameter": "500",
    "ReconstructionDiameter": "358.4",
    "GantryDetectorTilt": "0",
    "TableHeight": "160",
    "ExposureTime": "500",
    "XRayTubeCurrent": "200",
    "Exposure": "100",
    "FilterType": "0",
    "ConvolutionKernel": "Br40d",
    "PatientPosition": "HFS",
    "StudyID": "1",
    "SeriesNumber": "2",
    "AcquisitionNumber": "1",
    "ImageOrientationPatient": [1, 0, 0, 0, 1, 0],
    "SamplesPerPixel": 1,
    "PhotometricInterpretation": "MONOCHROME2",
    "Rows": SIDE,
    "Columns": SIDE,
    "PixelSpacing": list(SPACING_MM[1:]),
    "BitsAllocated": 16,
    "BitsStored": 16,
    "HighBit": 15,
    "PixelRepresentation": 1,
    "WindowCenter": "40",
    "WindowWidth": "400",
    "RescaleIntercept": "-1024",
    "RescaleSlope": "1",
    "RescaleType": "HU",
}
