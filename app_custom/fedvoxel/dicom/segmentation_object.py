"""Makes a DICOM Segmentation of what an algorithm found, under the patient, study and grid of the original series.

Binary, because that is the kind that every PACS stores and every segmentation reader knows. Some viewers, Orthanc's
among them, draw no frames of 1 bit: for them it can be written with 8 bits, as a fractional segmentation that is all or
nothing. A structure of which no voxel was found has no segment: the standard has no frame for it (PS3.3 C.8.20.2), and
the report says that it was looked for.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
from highdicom import UID, AlgorithmIdentificationSequence, Volume, VolumeGeometry
from highdicom.color import CIELabColor
from highdicom.seg import Segmentation, SegmentDescription
from numpy.typing import NDArray
from pydicom import Dataset
from pydicom.sr.codedict import codes

from fedvoxel.dicom.quiet import quiet
from fedvoxel.dicom.result import MANUFACTURER, SEG_SERIES, Algorithm, Finding
from fedvoxel.dicom.source_header import source_headers, write_text_as_unicode

_ONE_BIT: dict[str, Any] = {"segmentation_type": "BINARY"}
_EIGHT_BIT: dict[str, Any] = {
    "segmentation_type": "FRACTIONAL",
    "fractional_type": "OCCUPANCY",
    "max_fractional_value": 255,  # as bright as a pixel can be, since viewers show it as a picture
}


def segmentation_of(
    sources: Sequence[Dataset],
    geometry: VolumeGeometry,
    label: NDArray[np.uint8],
    findings: Sequence[Finding],
    algorithm: Algorithm,
    eight_bit: bool = False,
) -> Segmentation:
    """Returns the segmentation of a series; its UIDs are new, its segments numbered in the order of `findings`.

    Args:
        sources: Original headers without pixels, of the images that the grid was made of, each once.
        geometry: The grid: LPS millimetres, axes slice, row, column.
        label: Codes on that grid.
        findings: The structures; at least one was found.
        algorithm: What found them.
        eight_bit: Whether a pixel takes 8 bits instead of 1.
    """
    found = [finding for finding in findings if finding.is_found]
    numbers = np.zeros(256, np.uint8)
    for number, finding in enumerate(found, start=1):
        numbers[finding.code] = number
    with quiet():
        made = Segmentation(
            source_images=source_headers(sources),
            pixel_array=_on_grid(numbers[label], geometry, sources[0]),
            **(_EIGHT_BIT if eight_bit else _ONE_BIT),
            segment_descriptions=[_described(number, one, algorithm) for number, one in enumerate(found, start=1)],
            series_instance_uid=UID(),
            series_number=SEG_SERIES,
            sop_instance_uid=UID(),
            instance_number=1,
            content_label="RESEARCH_ONLY",
            content_description=algorithm.described(algorithm.outcome),
            series_description=algorithm.described(algorithm.outcome),
            content_creator_name=algorithm.observer,
            **_made_by(algorithm),
        )
        write_text_as_unicode(made, [finding.label for finding in found])
    return made


def _on_grid(label: NDArray[np.uint8], geometry: VolumeGeometry, source: Dataset) -> Volume:
    return Volume(label, geometry.affine, "PATIENT", source.get("FrameOfReferenceUID") or None)


def _made_by(algorithm: Algorithm) -> dict[str, Any]:
    return {
        "manufacturer": MANUFACTURER,
        "manufacturer_model_name": algorithm.name,
        "software_versions": algorithm.software_version,
        "device_serial_number": algorithm.package_sha256[:16],
    }


def _described(number: int, finding: Finding, algorithm: Algorithm) -> SegmentDescription:
    identified = AlgorithmIdentificationSequence(
        name=algorithm.name,
        family=codes.DCM.ArtificialIntelligence,
        version=algorithm.version,
        source=MANUFACTURER,
        parameters=algorithm.parameters,
    )
    made = SegmentDescription(
        segment_number=number,
        segment_label=finding.label,
        segmented_property_category=finding.category.coded(),
        segmented_property_type=finding.type.coded(),
        algorithm_type="SEMIAUTOMATIC" if algorithm.corrected else "AUTOMATIC",
        algorithm_identification=identified,
        tracking_uid=finding.tracking_uid,
        tracking_id=finding.tracking_id,
        display_color=CIELabColor.from_rgb(*finding.colour_rgb),
    )
    if finding.modifier is not None:
        # Source: PS3.3 C.8.20.4, within the type's item.
        made.SegmentedPropertyTypeCodeSequence[0].SegmentedPropertyTypeModifierCodeSequence = [finding.modifier.coded()]
    return made
