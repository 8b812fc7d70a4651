"""Which attributes may stay as terms of the standard, and which terms.

Source: DICOM PS3.3 (enumerated values and defined terms), PS3.16 Annex L (body parts), and for the later values of
ImageType what the large makers write.
"""

import re

from fedvoxel.deid.body_parts import WITH_FACE, WITHOUT_FACE
from fedvoxel.deid.rules import Pattern

_YES_NO = "YES|NO"
_IMAGE_TYPE = (
    "ORIGINAL|DERIVED|PRIMARY|SECONDARY|MIXED|AXIAL|LOCALIZER|MPR|REFORMATTED|AVERAGE|MIN_IP|PROJECTION IMAGE|"
    "OTHER|M|P|R|I|M_FFE|M_SE|M_IR|FFE|SE|IR|PHASE|PHASE MAP|MAGNITUDE|REAL|IMAGINARY|ND|NORM|DIS2D|DIS3D|FM|FIL|"
    "MFSPLIT|MOSAIC|DIFFUSION|ADC|TRACEW|FA|EADC|EXP|B0|T1|T2|T2_STAR|T1_MAP|T2_MAP|PROTON_DENSITY|WATER|FAT|"
    "IN_PHASE|OUT_PHASE|W|F|IP|OP|SUB|SUBTRACT|SUBTRACTION|ADDITION|MIP|MAX_IP|MINIP|VOLUME|RESAMPLED|NONE|"
    "DYNAMIC|STATIC|WHOLE BODY|GATED|CTL|PERFUSION|CBF|CBV|MTT|TTP|RCBF|RCBV|FLUID_ATTENUATED|STIR|TOF|ANGIO|"
    "VELOCITY|VELOCITY MAP|FLOW_ENCODED|UNI|INV1|INV2|SPIRAL|CONSTANT_ANGLE|CT_SOM5 SPI|CT_SOM5 SEQ|CT_SOM7 SPI|"
    "STANDARD|MONO|VMI|PET|ATTENUATION|REPROJECTION"
)
_FRAME_TYPE_VALUES = f"{_IMAGE_TYPE}|DENSITY_MAP|DIFFUSION_ANISO|METABOLITE_MAP|STRESS|REST|VOLUMETRIC"
_TECHNIQUES = "NONE|RETROSPECTIVE|PROSPECTIVE|REALTIME|PACED|OTHER"

TERMS: dict[str, str] = {
    # what kind of object
    "Modality": "CT|MR|PT|SEG|RTSTRUCT|US|OT|SC",
    "ImageType": _IMAGE_TYPE,
    "FrameType": _FRAME_TYPE_VALUES,
    "BodyPartExamined": "|".join(sorted(WITHOUT_FACE | WITH_FACE)),
    "Laterality": "L|R",
    "ImageLaterality": "L|R|U|B",
    "FrameLaterality": "L|R|U|B",
    "PatientPosition": "HFP|HFS|HFDR|HFDL|FFDR|FFDL|FFP|FFS|LFP|LFS|RFP|RFS|AFDR|AFDL|PFDR|PFDL|SITTING",
    "PatientOrientation": "|".join(
        a + b + c for a in "ARFLPH" for b in ("", *"ARFLPH") for c in ("", *"ARFLPH") if not c or b
    ),
    "AnatomicalOrientationType": "BIPED|QUADRUPED",
    "ContentQualification": "PRODUCT|RESEARCH|SERVICE",
    "PresentationLUTShape": "IDENTITY|INVERSE",
    "VOILUTFunction": "LINEAR|LINEAR_EXACT|SIGMOID",
    # pixels; an image that says YES was refused, or its text made black
    "BurnedInAnnotation": "NO",
    "LossyImageCompression": "00|01",
    "LossyImageCompressionMethod": "ISO_10918_1|ISO_14495_1|ISO_15444_1|ISO_15444_15|ISO_13818_2|ISO_14496_10",
    "RescaleType": "OD|HU|US|MGML|Z_EFF|ED|EDW|HU_MOD|PCT|NORMALIZED",
    "PixelPresentation": "COLOR|MONOCHROME|MIXED|TRUE_COLOR|COLOR_RANGE|COLOR_REF",
    "VolumetricProperties": "VOLUME|SAMPLED|DISTORTED|MIXED",
    "VolumeBasedCalculationTechnique": "MAX_IP|MIN_IP|VOLUME_RENDER|SURFACE_RENDER|MPR|CURVED_MPR|NONE|MIXED",
    "DimensionOrganizationType": "3D|3D_TEMPORAL|TILED_FULL|TILED_SPARSE",
    # CT
    "ScanOptions": (
        "AXIAL MODE|HELICAL MODE|HELIX|SCOUT MODE|SURVIEW|TOMO|AXIAL|CINE MODE|SPIRAL|SEQUENCE|HELICAL_CT|NORMAL_CT|"
        "PER|RG|CG|PPG|FC|PFF|PFP|SP|FS|CT|SAT1|SAT2|VASCTOF|EDR_GEMS|FAST_GEMS|FILTERED_GEMS|PFI|TRF_GEMS|PVAR"
    ),
    "FilterType": "NONE|STRIP|WEDGE|BUTTERFLY|MULTIPLE|FLAT|HEAD FILTER|BODY FILTER|LARGE BODY FILTER|MEDIUM FILTER",
    "ExposureModulationType": "NONE|ANGULAR|EC_BASED|ORGAN_BASED|BODY|HEAD",
    "RotationDirection": "CW|CC",
    "AcquisitionType": "SEQUENCED|SPIRAL|CONSTANT_ANGLE|STATIONARY|FREE",
    "ReconstructionAlgorithm": "FILTER_BACK_PROJ|ITERATIVE",
    "ConvolutionKernelGroup": "BRAIN|SOFT_TISSUE|LUNG|BONE|CONSTANT_ANGLE",
    "FluoroscopyFlag": _YES_NO,
    "ConstantVolumeFlag": _YES_NO,
    # MR
    "ScanningSequence": "SE|IR|GR|EP|RM",
    "SequenceVariant": "SK|MTC|SS|TRSS|SP|MP|OSP|NONE|OTHER",
    "MRAcquisitionType": "2D|3D",
    "AngioFlag": "Y|N",
    "InPlanePhaseEncodingDirection": "ROW|COL|COLUMN|OTHER",
    "VariableFlipAngleFlag": "Y|N",
    "ImagedNucleus": "1H|3HE|7LI|13C|19F|23NA|31P|129XE",
    "ResonantNucleus": "1H|3HE|7LI|13C|19F|23NA|31P|129XE",
    "ReceiveCoilType": "BODY|VOLUME|SURFACE|MULTICOIL|EXTREMITY",
    "TransmitCoilType": "BODY|VOLUME|SURFACE|EXTREMITY",
    "QuadratureReceiveCoil": _YES_NO,
    "AcquisitionContrast": (
        "DIFFUSION|FLOW_ENCODED|FLUID_ATTENUATED|PERFUSION|PROTON_DENSITY|STIR|TAGGING|T1|T2|T2_STAR|TOF|UNKNOWN|MIXED"
    ),
    "ComplexImageComponent": "MAGNITUDE|PHASE|REAL|IMAGINARY|MIXED",
    "EchoPulseSequence": "SPIN|GRADIENT|BOTH",
    "MultipleSpinEcho": _YES_NO,
    "MultiPlanarExcitation": _YES_NO,
    "PhaseContrast": _YES_NO,
    "TimeOfFlightContrast": _YES_NO,
    "ArterialSpinLabelingContrast": "CONTINUOUS|PSEUDOCONTINUOUS|PULSED",
    "SteadyStatePulseSequence": "FREE_PRECESSION|TRANSVERSE|TIME_REVERSED|LONGITUDINAL|NONE",
    "EchoPlanarPulseSequence": _YES_NO,
    "SaturationRecovery": _YES_NO,
    "SpectrallySelectedSuppression": "FAT|WATER|FAT_AND_WATER|SILICON_GEL|NONE",
    "SpectrallySelectedExcitation": "FAT|WATER|NONE",
    "SpatialPresaturation": "SLAB|NONE",
    "Spoiling": "RF|GRADIENT|RF_AND_GRADIENT|NONE",
    "Tagging": "GRID|LINE|NONE",
    "T2Preparation": _YES_NO,
    "InversionRecovery": _YES_NO,
    "FlowCompensation": "ACCELERATION|VELOCITY|OTHER|NONE",
    "FlowCompensationDirection": "PHASE|FREQUENCY|SLICE_SELECT|SLICE_AND_FREQ|SLICE_FREQ_PHASE|PHASE_AND_FREQ|OTHER",
    "MagnetizationTransfer": "ON_RESONANCE|OFF_RESONANCE|NONE",
    "BloodSignalNulling": _YES_NO,
    "PartialFourier": _YES_NO,
    "PartialFourierDirection": "PHASE|FREQUENCY|SLICE_SELECT|COMBINATION",
    "ParallelAcquisition": _YES_NO,
    "ParallelAcquisitionTechnique": "PILS|SENSE|SMASH|OTHER",
    "RectilinearPhaseEncodeReordering": "LINEAR|CENTRIC|SEGMENTED|REVERSE_LINEAR|REVERSE_CENTRIC",
    "SegmentedKSpaceTraversal": "SINGLE|PARTIAL|FULL",
    "GeometryOfKSpaceTraversal": "RECTILINEAR|RADIAL|SPIRAL",
    "CoverageOfKSpace": "FULL|CYLINDRICAL|ELLIPSOIDAL|WEIGHTED",
    "KSpaceFiltering": (
        "COSINE|COSINE_SQUARED|FERMI|GAUSSIAN|HAMMING|HANNING|LORENTZIAN|LRNZ_GSS_TRNSFM|RIESZ|TUKEY|NONE"
    ),
    "OversamplingPhase": "2D|3D|2D_3D|NONE",
    "DiffusionDirectionality": "DIRECTIONAL|BMATRIX|ISOTROPIC|NONE",
    "DiffusionAnisotropyType": "FRACTIONAL|RELATIVE|VOLUME_RATIO",
    "ApplicableSafetyStandardAgency": "IEC|FDA|MHW",
    "SpecificAbsorptionRateDefinition": "IEC_WHOLE_BODY|IEC_PARTIAL_BODY|IEC_HEAD|IEC_LOCAL",
    "GradientOutputType": "DB_DT|ELECTRIC_FIELD|PER_NERVE_STIM",
    "OperatingModeType": "STATIC FIELD|RF|GRADIENT",
    "OperatingMode": "IEC_NORMAL|IEC_FIRST_LEVEL|IEC_SECOND_LEVEL",
    # heart and breath
    "CardiacSynchronizationTechnique": _TECHNIQUES,
    "CardiacSignalSource": "ECG|VCG|PP|MR",
    "CardiacBeatRejectionTechnique": "RR_INTERVAL|QRS_LOOP|PVC|NONE",
    "BeatRejectionFlag": "Y|N",
    "RespiratoryMotionCompensationTechnique": (
        "NONE|BREATH_HOLD|REALTIME|GATING|TRACKING|PHASE_ORDERING|PHASE_SCANNING|RETROSPECTIVE|CORRECTION|UNKNOWN"
    ),
    "RespiratorySignalSource": "NONE|BELT|NASAL_PROBE|CO2_SENSOR|NAVIGATOR|MR_PHASE|ECG|SPIROMETER|EXTERNAL_MARKER",
    # PET
    "Units": (
        "CNTS|NONE|CM2|CM2ML|PCNT|CPS|BQML|MGMINML|UMOLMINML|MLMING|MLG|1CM|UMOLML|PROPCNTS|PROPCPS|MLMINML|GML|STDDEV"
    ),
    "CountsSource": "EMISSION|TRANSMISSION",
    "DecayCorrection": "NONE|START|ADMIN",
    "SeriesType": "STATIC|DYNAMIC|GATED|WHOLE BODY|IMAGE|REPROJECTION",
    "CorrectedImage": "DECY|ATTN|SCAT|DTIM|MOTN|PMOT|CLN|RAN|RADL|DCAL|NORM|3SCAT",
    "CollimatorType": "NONE|RING",
    "SUVType": "BSA|BW|LBM|LBMJAMES128|LBMJANMA|IBW",
    "ReprojectionMethod": "SUM|MAX PIXEL",
    # segmentations and structure sets
    "SegmentationType": "BINARY|FRACTIONAL|LABELMAP",
    "SegmentationFractionalType": "PROBABILITY|OCCUPANCY",
    "SegmentAlgorithmType": "AUTOMATIC|SEMIAUTOMATIC|MANUAL",
    "SegmentsOverlap": "YES|UNDEFINED|NO",
    "ROIGenerationAlgorithm": "AUTOMATIC|SEMIAUTOMATIC|MANUAL",
    "ContourGeometricType": "POINT|OPEN_PLANAR|OPEN_NONPLANAR|CLOSED_PLANAR|CLOSEDPLANAR_XOR",
    "RTROIInterpretedType": (
        "EXTERNAL|PTV|CTV|GTV|TREATED_VOLUME|IRRAD_VOLUME|BOLUS|AVOIDANCE|ORGAN|MARKER|REGISTRATION|ISOCENTER|"
        "CONTRAST_AGENT|CAVITY|BRACHY_CHANNEL|BRACHY_ACCESSORY|BRACHY_SRC_APP|BRACHY_CHNL_SHLD|SUPPORT|FIXATION|"
        "DOSE_REGION|CONTROL|DOSE_MEASUREMENT"
    ),
}
"""Keyword to its terms, between "|"."""

OTHER_IMAGE_TYPES = {"ImageType": "OTHER", "FrameType": "OTHER"}
"""Where a value that is no term becomes another: its place counts."""

KERNEL = Pattern(
    re.compile(
        r"(?:[BHUTDSJ]|B[dflrv]|H[bcdfrv]|Qr|Sa|U[brf]|I\d?)\d\d[a-z]?|FC\d\d|[1-5]|STANDARD|SOFT|BONE|BONEPLUS|LUNG|DETAIL|EDGE|CHST|STND|BODY|BRAIN|HEAD|"
        r"A|B|C|D|E|F|L|YA|YB|YC|YD|SB|SC|IMR1|Sharp|Smooth"
    ),
    "kept if of a known maker's form, two at most",
    most=2,
)
"""Convolution kernels, such as B30f, FC08 and STANDARD; Br40d comes with its strength, as a second value."""
