"""What a header says of one of its frames, wherever a single-frame or an enhanced image keeps it.

Values are handed out as plain numbers or words, or as None where there are none that can be used: a header is
text that somebody wrote.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache, cached_property
from typing import Any

from pydicom import Dataset
from pydicom.tag import Tag

from fedvoxel.volumes.refusal import geometry_error

_GROUPS: dict[str, tuple[str, ...]] = {
    "ImagePositionPatient": ("PlanePositionSequence",),
    "ImageOrientationPatient": ("PlaneOrientationSequence",),
    "PixelSpacing": ("PixelMeasuresSequence",),
    "SliceThickness": ("PixelMeasuresSequence",),
    "RescaleSlope": ("PixelValueTransformationSequence",),
    "RescaleIntercept": ("PixelValueTransformationSequence",),
    "RescaleType": ("PixelValueTransformationSequence",),
    "StackID": ("FrameContentSequence",),
    "TemporalPositionIndex": ("FrameContentSequence",),
    "EffectiveEchoTime": ("MREchoSequence",),
    "DiffusionBValue": ("MRDiffusionSequence",),
    "NominalCardiacTriggerDelayTime": ("CardiacSynchronizationSequence",),
    "FrameType": ("MRImageFrameTypeSequence", "CTImageFrameTypeSequence", "PETFrameTypeSequence"),
    "ComplexImageComponent": ("MRImageFrameTypeSequence",),
    "RepetitionTime": ("MRTimingAndRelatedParametersSequence",),
    "FlipAngle": ("MRTimingAndRelatedParametersSequence",),
    "InversionTimes": ("MRModifierSequence",),
    "ConvolutionKernel": ("CTReconstructionSequence",),
    "KVP": ("CTXRayDetailsSequence",),
}
"""The functional groups in which an enhanced image keeps an attribute. Source: PS3.3 C.7.6.16."""


_tag = cache(Tag)


@dataclass(frozen=True, eq=False)
class FrameHeader:
    """Is one frame of an instance.

    Attributes:
        header: The instance's header.
        frame: Its index among the instance's frames.
        instance: The instance's index among those of its series.
    """

    header: Dataset
    frame: int
    instance: int

    def value(self, keyword: str) -> Any:
        """Returns an attribute of the frame, of all frames, or of the instance; None where there is none."""
        for group in self._groups:
            for sequence in _GROUPS.get(keyword, ()):
                inner = group.get(sequence)
                if inner and inner[0].get(keyword) is not None:
                    return inner[0].get(keyword)
        tag = _tag(keyword)
        return self.header[tag].value if tag in self._present else None

    @cached_property
    def _present(self) -> frozenset[int]:
        return frozenset(self.header.keys())

    @cached_property
    def _groups(self) -> tuple[Dataset, ...]:
        """Returns the functional groups of the frame, and those of all frames."""
        own = self.header.get("PerFrameFunctionalGroupsSequence")
        shared = self.header.get("SharedFunctionalGroupsSequence")
        return (*(own[self.frame : self.frame + 1] if own else ()), *(shared[:1] if shared else ()))

    def numbers(self, keyword: str, count: int) -> tuple[float, ...] | None:
        """Returns an attribute's `count` finite numbers, or None."""
        value = self.value(keyword)
        values = [value] if count == 1 else value
        if not isinstance(values, Sequence) or isinstance(values, str) or len(values) != count:
            return None
        try:
            found = tuple(float(number) for number in values)
        except (TypeError, ValueError):
            return None
        return found if all(math.isfinite(number) for number in found) else None

    def words(self, keyword: str) -> tuple[str, ...]:
        """Returns an attribute's words, () where there are none."""
        value = self.value(keyword)
        if value is None or value == "":
            return ()
        values = [value] if isinstance(value, str) or not isinstance(value, Sequence) else value
        return tuple(str(word) for word in values)


def frames_of(headers: Sequence[Dataset]) -> tuple[FrameHeader, ...]:
    """Returns all frames of a series.

    Raises:
        GeometryError: no_positions, when a multi-frame image does not describe each of its frames.
    """
    return tuple(
        FrameHeader(header, frame, instance)
        for instance, header in enumerate(headers)
        for frame in range(_frame_count(header))
    )


def _frame_count(header: Dataset) -> int:
    count = header.get("NumberOfFrames")
    described = header.get("PerFrameFunctionalGroupsSequence")
    if described is None and (count is None or count == 1):
        return 1
    if not described or count != len(described):
        found = f"a multi-frame image of {count} frames describes {len(described or ())} of them"
        raise geometry_error("no_positions", found)
    return len(described)
