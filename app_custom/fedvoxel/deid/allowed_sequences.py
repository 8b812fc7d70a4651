"""Which sequences may stay, cleaned item by item.

Source: DICOM PS3.3 sections C.7.6.16 (functional groups), C.8.13 and C.8.15 (enhanced MR and CT),
C.8.20 (SEG), C.8.8 (RT).
"""

FRAMES = ("PerFrameFunctionalGroupsSequence", "SharedFunctionalGroupsSequence", "SegmentSequence")
"""Their items are counted: one that is empty stays."""

SEQUENCES = (
    # references
    *("ReferencedImageSequence", "SourceImageSequence", "ReferencedSeriesSequence", "ReferencedInstanceSequence"),
    *("StudiesContainingOtherReferencedInstancesSequence", "SourceImageEvidenceSequence"),
    *("ReferencedFrameOfReferenceSequence", "RTReferencedStudySequence", "RTReferencedSeriesSequence"),
    *("ContourImageSequence", "DerivationImageSequence", "ReferencedImageEvidenceSequence"),
    # geometry and values of frames
    *("PixelMeasuresSequence", "PlanePositionSequence", "PlaneOrientationSequence", "FrameContentSequence"),
    *("PixelValueTransformationSequence", "FrameVOILUTSequence", "FrameAnatomySequence", "TemporalPositionSequence"),
    *("DimensionOrganizationSequence", "DimensionIndexSequence", "IrradiationEventIdentificationSequence"),
    *("UnassignedSharedConvertedAttributesSequence", "UnassignedPerFrameConvertedAttributesSequence"),
    *("ConversionSourceAttributesSequence",),
    # enhanced CT
    *("CTImageFrameTypeSequence", "CTAcquisitionTypeSequence", "CTAcquisitionDetailsSequence", "CTGeometrySequence"),
    *("CTTableDynamicsSequence", "CTPositionSequence", "CTReconstructionSequence", "CTExposureSequence"),
    *("CTXRayDetailsSequence", "CTAdditionalXRaySourceSequence"),
    # enhanced MR
    *("MRImageFrameTypeSequence", "MRTimingAndRelatedParametersSequence", "MREchoSequence", "MRModifierSequence"),
    *("MRImagingModifierSequence", "MRFOVGeometrySequence", "MRAveragesSequence", "MRDiffusionSequence"),
    *("DiffusionGradientDirectionSequence", "DiffusionBMatrixSequence", "MRSpatialSaturationSequence"),
    *("MRReceiveCoilSequence", "MRTransmitCoilSequence", "MRVelocityEncodingSequence", "MRMetaboliteMapSequence"),
    *("SpecificAbsorptionRateSequence", "OperatingModeSequence", "CardiacSynchronizationSequence"),
    *("RespiratorySynchronizationSequence", "VelocityEncodingAcquisitionSequence", "MRArterialSpinLabelingSequence"),
    # PET
    *("RadiopharmaceuticalInformationSequence", "EnergyWindowRangeSequence", "PETFrameTypeSequence"),
    *("PETFrameAcquisitionSequence", "PETFrameCorrectionFactorsSequence", "PETReconstructionSequence"),
    # segmentations and structure sets
    *("SegmentIdentificationSequence", "StructureSetROISequence", "ROIContourSequence", "ContourSequence"),
    "RTROIObservationsSequence",
    # coded concepts, empty where nothing of them may stay
    "AcquisitionContextSequence",
)
"""Their items are cleaned; one that is left empty goes."""

CODES = (
    *("AnatomicRegionSequence", "AnatomicRegionModifierSequence", "PrimaryAnatomicStructureSequence"),
    *("PrimaryAnatomicStructureModifierSequence", "DerivationCodeSequence", "PurposeOfReferenceCodeSequence"),
    *("SegmentedPropertyTypeModifierCodeSequence", "RTROIIdentificationCodeSequence", "ViewCodeSequence"),
    *("PatientOrientationCodeSequence", "PatientOrientationModifierCodeSequence", "RadionuclideCodeSequence"),
    *("PatientGantryRelationshipCodeSequence", "RadiopharmaceuticalCodeSequence"),
)
"""Coded concepts: those that the standard lists stay, with the standard's words."""

NEUTRAL_CODES = ("SegmentedPropertyCategoryCodeSequence", "SegmentedPropertyTypeCodeSequence")
"""Coded concepts that the object needs: another one becomes "tissue"."""
