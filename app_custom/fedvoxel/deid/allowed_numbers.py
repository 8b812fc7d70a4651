"""Which attributes may stay as numbers, and between which bounds: wide for physics, too narrow for a birth date.

Source: DICOM PS3.3, the modules of CT, MR, PET, their enhanced forms, SEG and RT Structure Set.
"""

NUMBERS: tuple[tuple[tuple[float, float], str], ...] = (
    # the pixel matrix
    ((1, 65535), "Rows Columns NumberOfFrames"),
    ((1, 1), "SamplesPerPixel"),
    ((1, 32), "BitsAllocated BitsStored"),
    ((0, 31), "HighBit"),
    ((0, 1), "PixelRepresentation"),
    ((-65536, 65535), "PixelPaddingValue PixelPaddingRangeLimit"),
    ((-99_999, 99_999), "RescaleSlope RescaleIntercept WindowCenter WindowWidth"),
    ((0, 1e4), "LossyImageCompressionRatio PixelAspectRatio"),
    # numbers of instances, frames and segments
    ((0, 9999), "SeriesNumber AcquisitionNumber"),
    ((0, 99_999), "InstanceNumber ImagesInAcquisition TemporalPositionIndex"),
    ((0, 99_999), "NumberOfTemporalPositions TemporalPositionIdentifier NumberOfSlices NumberOfTimeSlices ImageIndex"),
    ((0, 99_999), "InStackPositionNumber DimensionIndexValues FrameAcquisitionNumber ReferencedFrameNumber"),
    ((0, 65535), "SegmentNumber ReferencedSegmentNumber ROINumber ReferencedROINumber ObservationNumber ContourNumber"),
    ((0, 65535), "MaximumFractionalValue RecommendedDisplayCIELabValue RecommendedDisplayGrayscaleValue"),
    ((0, 255), "ROIDisplayColor"),
    ((1, 99_999), "NumberOfContourPoints"),
    ((0, 99_999), "TotalPixelMatrixRows TotalPixelMatrixColumns"),
    # geometry, millimetres and degrees
    ((-1e5, 1e5), "ImagePositionPatient SliceLocation ContourData TableHeight TablePosition TriggerTime"),
    ((-1.001, 1.001), "ImageOrientationPatient SlabOrientation DiffusionGradientOrientation VelocityEncodingDirection"),
    ((0, 1000), "PixelSpacing SliceThickness SpacingBetweenSlices ImagerPixelSpacing DataCollectionDiameter"),
    ((-180, 180), "GantryDetectorTilt ReconstructionAngle"),
    ((0, 10_000), "ReconstructionDiameter DistanceSourceToDetector DistanceSourceToPatient SlabThickness"),
    ((0, 10_000), "ReconstructionPixelSpacing ReconstructionFieldOfView DistanceSourceToDataCollectionCenter"),
    ((-1e5, 1e5), "DataCollectionCenterPatient ReconstructionTargetCenterPatient MidSlabPosition"),
    ((0, 10_000), "SingleCollimationWidth TotalCollimationWidth TableSpeed TableFeedPerRotation"),
    ((0, 360), "FlipAngle TubeAngle"),
    # CT
    ((0, 1000), "KVP RevolutionTime SpiralPitchFactor FocalSpots CTDIvol GeneratorPower"),
    ((0, 1e5), "XRayTubeCurrent Exposure ExposureTime XRayTubeCurrentInmA ExposureInmAs ExposureTimeInms"),
    # MR
    ((0, 1e5), "RepetitionTime EchoTime InversionTime EffectiveEchoTime InversionTimes EchoTrainLength"),
    ((0, 100), "MagneticFieldStrength SAR SpecificAbsorptionRateValue NumberOfAverages"),
    ((0, 1000), "ImagingFrequency TransmitterFrequency PercentSampling PercentPhaseFieldOfView EchoNumbers"),
    ((0, 1e5), "PixelBandwidth NumberOfPhaseEncodingSteps AcquisitionMatrix dBdt GradientOutput"),
    ((0, 1e5), "DiffusionBValue MRAcquisitionFrequencyEncodingSteps MRAcquisitionPhaseEncodingStepsInPlane"),
    ((0, 1e5), "MRAcquisitionPhaseEncodingStepsOutOfPlane RFEchoTrainLength GradientEchoTrainLength"),
    ((-1e5, 1e5), "DiffusionBValueXX DiffusionBValueXY DiffusionBValueXZ"),
    ((-1e5, 1e5), "DiffusionBValueYY DiffusionBValueYZ DiffusionBValueZZ"),
    (
        (0, 1000),
        "ParallelReductionFactorInPlane ParallelReductionFactorOutOfPlane ParallelReductionFactorSecondInPlane",
    ),
    ((0, 1000), "NumberOfKSpaceTrajectories"),
    ((-1000, 1000), "VelocityEncodingMinimumValue VelocityEncodingMaximumValue"),
    ((-1000, 1000), "ChemicalShiftMinimumIntegrationLimitInppm ChemicalShiftMaximumIntegrationLimitInppm"),
    # heart and breath
    ((0, 1e5), "HeartRate LowRRValue HighRRValue IntervalsAcquired IntervalsRejected CardiacNumberOfImages"),
    ((0, 1e5), "NominalPercentageOfCardiacPhase NominalCardiacTriggerDelayTime ActualCardiacTriggerDelayTime"),
    ((0, 1e5), "RRIntervalTimeNominal TemporalResolution NominalInterval FrameTime TemporalPositionTimeOffset"),
    ((0, 10_000), "AcquisitionDuration"),
    ((0, 1e7), "FrameAcquisitionDuration ActualFrameDuration FrameReferenceTime"),
    # PET
    ((0, 1e6), "RadionuclideHalfLife"),
    ((0, 1), "RadionuclidePositronFraction ScatterFractionFactor"),
    ((0, 1000), "DecayFactor DeadTimeFactor SliceSensitivityFactor"),
    ((0, 1e5), "EnergyWindowLowerLimit EnergyWindowUpperLimit NumberOfRRIntervals NumberOfTimeSlots AxialAcceptance"),
)
"""((lowest, highest), keywords)."""
