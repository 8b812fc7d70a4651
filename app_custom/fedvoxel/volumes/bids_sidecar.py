"""Makes the BIDS sidecar of a volume out of de-identified headers: device and acquisition, nothing of the patient's.

A field is there only if all slices say the same. Times are in seconds, as BIDS has them; DICOM says milliseconds.
Fields that BIDS does not name keep their DICOM keyword, as dcm2niix does.
"""

import math
from collections.abc import Callable, Sequence
from typing import Any

from fedvoxel.volumes.frame_header import FrameHeader

Sidecar = dict[str, str | float | list[str]]


def sidecar_of(frames: Sequence[FrameHeader]) -> Sidecar:
    """Returns the sidecar's fields, those that all frames agree on.

    Source: BIDS 1.10, Magnetic Resonance Imaging data and Positron Emission Tomography.
    """
    fields: Sidecar = {}
    for name, (keywords, kind) in _FIELDS.items():
        values = {_first(frame, keywords) for frame in frames}
        value = kind(values.pop()) if len(values) == 1 else None
        if value not in (None, "", []):
            fields[name] = value
    return fields


def _first(frame: FrameHeader, keywords: tuple[str, ...]) -> tuple[str, ...]:
    return next((words for keyword in keywords if (words := frame.words(keyword))), ())


def _text(words: tuple[str, ...]) -> str:
    return " ".join(" ".join(words).split())


def _number(words: tuple[str, ...]) -> float | None:
    try:
        value = float(words[0]) if len(words) == 1 else math.nan
    except ValueError:
        return None
    return value if math.isfinite(value) else None


def _seconds(words: tuple[str, ...]) -> float | None:
    milliseconds = _number(words)
    return None if milliseconds is None else milliseconds / 1000


_Kind = Callable[[tuple[str, ...]], Any]
_FIELDS: dict[str, tuple[tuple[str, ...], _Kind]] = {
    "Modality": (("Modality",), _text),
    "Manufacturer": (("Manufacturer",), _text),
    "ManufacturersModelName": (("ManufacturerModelName",), _text),
    "BodyPartExamined": (("BodyPartExamined",), _text),
    "ImageType": (("ImageType",), list),
    "PatientSex": (("PatientSex",), _text),
    "PatientAge": (("PatientAge",), _text),
    "PatientPosition": (("PatientPosition",), _text),
    "SliceThickness": (("SliceThickness",), _number),
    "MagneticFieldStrength": (("MagneticFieldStrength",), _number),
    "ScanningSequence": (("ScanningSequence",), _text),
    "SequenceVariant": (("SequenceVariant",), _text),
    "MRAcquisitionType": (("MRAcquisitionType",), _text),
    "RepetitionTime": (("RepetitionTime",), _seconds),
    "EchoTime": (("EchoTime", "EffectiveEchoTime"), _seconds),
    "InversionTime": (("InversionTime",), _seconds),
    "FlipAngle": (("FlipAngle",), _number),
    "KVP": (("KVP",), _number),
    "ConvolutionKernel": (("ConvolutionKernel",), _text),
    "Units": (("Units", "RescaleType"), _text),
}
