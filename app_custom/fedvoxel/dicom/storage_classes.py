"""Which kinds of objects, in which encodings, a site takes from a PACS (PS3.4 Annex B.5, PS3.5 section 10)."""

from pydicom import uid

STORAGE_CLASSES: tuple[str, ...] = (
    uid.CTImageStorage,
    uid.EnhancedCTImageStorage,
    uid.LegacyConvertedEnhancedCTImageStorage,
    uid.MRImageStorage,
    uid.EnhancedMRImageStorage,
    uid.LegacyConvertedEnhancedMRImageStorage,
    uid.PositronEmissionTomographyImageStorage,
    uid.EnhancedPETImageStorage,
    uid.LegacyConvertedEnhancedPETImageStorage,
    uid.NuclearMedicineImageStorage,
    uid.SecondaryCaptureImageStorage,
    uid.SegmentationStorage,
    uid.UID("1.2.840.10008.5.1.4.1.1.66.7"),  # Label Map Segmentation
    uid.RTStructureSetStorage,
)

TRANSFER_SYNTAXES: tuple[str, ...] = (
    uid.ExplicitVRLittleEndian,
    uid.ImplicitVRLittleEndian,
    uid.JPEGLosslessSV1,
    uid.JPEGLossless,
    uid.JPEGLSLossless,
    uid.JPEGLSNearLossless,
    uid.JPEG2000Lossless,
    uid.JPEG2000,
    uid.HTJ2KLossless,
    uid.RLELossless,
    uid.JPEGBaseline8Bit,
    uid.JPEGExtended12Bit,
    uid.ExplicitVRBigEndian,
)
"""Each in a context of its own, so that a PACS can send a series as it has it."""

BY_MODALITY: dict[str, tuple[str, ...]] = {
    "CT": STORAGE_CLASSES[0:3],
    "MR": STORAGE_CLASSES[3:6],
    "PT": STORAGE_CLASSES[6:9],
    "NM": STORAGE_CLASSES[9:10],
    "SEG": STORAGE_CLASSES[11:13],
    "RTSTRUCT": STORAGE_CLASSES[13:14],
}
"""What a modality's series hold, for a PACS that does not list SOP classes."""
