"""Makes a DICOM Structured Report of what an algorithm measured: TID 1500, a group for each structure looked for.

A structure that was found is a volumetric ROI (TID 1411) that refers to its segment; one that was not is a group
without ROI (TID 1501) that says "Absent". Each carries its volume in mL, with the interval where the model is
calibrated.
"""

from collections.abc import Sequence
from typing import Any

from highdicom import UID
from highdicom.sr import (
    AlgorithmIdentification,
    Comprehensive3DSR,
    DeviceObserverIdentifyingAttributes,
    FindingSite,
    Measurement,
    MeasurementProperties,
    MeasurementReport,
    MeasurementsAndQualitativeEvaluations,
    ObservationContext,
    ObserverContext,
    PersonObserverIdentifyingAttributes,
    QualitativeEvaluation,
    ReferencedSegment,
    RelationshipTypeValues,
    SourceSeriesForSegmentation,
    TextContentItem,
    TrackingIdentifier,
    VolumetricROIMeasurementsAndQualitativeEvaluations,
)
from highdicom.sr.coding import CodedConcept
from pydicom import Dataset
from pydicom.sr.codedict import codes

from fedvoxel.dicom.quiet import quiet
from fedvoxel.dicom.result import MANUFACTURER, REPORT_SERIES, RESEARCH, Algorithm, Finding
from fedvoxel.dicom.source_header import source_headers, write_text_as_unicode

_ML = CodedConcept("mL", "UCUM", "milliliter")
_NO_UNITS = CodedConcept("1", "UCUM", "no units")
_COMMENT = CodedConcept("121106", "DCM", "Comment")
_PRESENCE = CodedConcept("705057003", "SCT", "Presence")
_ABSENT = CodedConcept("2667000", "SCT", "Absent")
_ANATOMY = frozenset({"91723000", "123037004"})
_SIDES = frozenset({"7771000", "24028007", "51440002"})
_DECIMALS = 6

Group = VolumetricROIMeasurementsAndQualitativeEvaluations | MeasurementsAndQualitativeEvaluations


def report_of(
    sources: Sequence[Dataset],
    segmentation: Dataset | None,
    findings: Sequence[Finding],
    algorithm: Algorithm,
    remarks: Sequence[str] = (),
) -> Comprehensive3DSR:
    """Returns the report on a series; its UIDs are new.

    Args:
        sources: Original headers without pixels, of the images that were measured.
        segmentation: Where the structures that were found are drawn; None if none was.
        findings: All structures that were looked for.
        algorithm: What measured.
        remarks: What a reader must know: warnings about the input, one sentence each.
    """
    with quiet():
        originals = source_headers(sources)
        evidence = originals if segmentation is None else [*originals, segmentation]
        made = Comprehensive3DSR(
            evidence=evidence,
            content=_content(segmentation, findings, algorithm, remarks)[0],
            series_instance_uid=UID(),
            series_number=REPORT_SERIES,
            sop_instance_uid=UID(),
            instance_number=1,
            manufacturer=MANUFACTURER,
            is_complete=True,
            is_final=False,
            is_verified=False,
            series_description=algorithm.described("corrected report" if algorithm.corrected else "report"),
        )
        made.ManufacturerModelName, made.SoftwareVersions = algorithm.name, algorithm.software_version
        write_text_as_unicode(made, [*remarks, *(finding.label for finding in findings)])
    return made


def _content(
    segmentation: Dataset | None, findings: Sequence[Finding], algorithm: Algorithm, remarks: Sequence[str]
) -> MeasurementReport:
    device = DeviceObserverIdentifyingAttributes(
        uid=algorithm.device_uid,
        name=f"{algorithm.name} {algorithm.version}",
        manufacturer_name=MANUFACTURER,
        model_name=algorithm.name,
        serial_number=algorithm.package_sha256[:16],
    )
    reader = None
    if algorithm.observer is not None:
        # Source: PS3.16 TID 1003.
        reader = ObserverContext(codes.DCM.Person, PersonObserverIdentifyingAttributes(algorithm.observer))
    observers = ObservationContext(reader, ObserverContext(codes.DCM.Device, device))
    found = [finding for finding in findings if finding.is_found]
    groups = [_group(finding, segmentation, found, algorithm, remarks) for finding in findings]
    return MeasurementReport(
        observation_context=observers,
        procedure_reported=CodedConcept("363679005", "SCT", "Imaging procedure"),
        imaging_measurements=groups,
        title=codes.DCM.ImagingMeasurementReport,
    )


def _group(
    finding: Finding,
    segmentation: Dataset | None,
    found: Sequence[Finding],
    algorithm: Algorithm,
    remarks: Sequence[str],
) -> Group:
    identified = AlgorithmIdentification(
        name=algorithm.name,
        version=algorithm.version,
        parameters=[f"{name}={value}" for name, value in algorithm.parameters.items()],
        family=codes.DCM.ArtificialIntelligence,
        manufacturer=MANUFACTURER,
    )
    common: dict[str, Any] = {
        "tracking_identifier": TrackingIdentifier(uid=finding.tracking_uid, identifier=finding.tracking_id),
        "finding_type": finding.type.coded(),
        "finding_category": finding.category.coded(),
        "finding_sites": _sites(finding),
        "algorithm_id": identified,
        "measurements": [_volume(finding), *_numbers(finding)],
    }
    group: Group
    if finding.is_found and segmentation is not None:
        # highdicom's own from_segmentation fails where all frames are of one segment, and say so together.
        segment = ReferencedSegment(
            segmentation.SOPClassUID,
            segmentation.SOPInstanceUID,
            1 + found.index(finding),
            source_series=SourceSeriesForSegmentation(segmentation.ReferencedSeriesSequence[0].SeriesInstanceUID),
        )
        common["qualitative_evaluations"] = _judged(finding) or None
        group = VolumetricROIMeasurementsAndQualitativeEvaluations(referenced_segment=segment, **common)
    else:
        common["qualitative_evaluations"] = [QualitativeEvaluation(_PRESENCE, _ABSENT), *_judged(finding)]
        group = MeasurementsAndQualitativeEvaluations(**common)
    for remark in (f"{RESEARCH.capitalize()}: {finding.label}", _interval_remark(finding), *remarks):
        if remark:
            group[0].ContentSequence.append(TextContentItem(_COMMENT, remark, RelationshipTypeValues.CONTAINS))
    return group


def _sites(finding: Finding) -> list[FindingSite] | None:
    """Returns where a structure with a modifier lies: the report's finding itself has no place for it."""
    if finding.modifier is None or finding.category.value not in _ANATOMY:
        return None
    side = finding.modifier.value in _SIDES
    kind = "laterality" if side else "topographical_modifier"
    return [FindingSite(finding.type.coded(), **{kind: finding.modifier.coded()})]


def _volume(finding: Finding) -> Measurement:
    properties = None
    if finding.interval is not None:
        properties = MeasurementProperties(
            upper_measurement_uncertainty=round(max(finding.interval.high_ml - finding.volume_ml, 0.0), _DECIMALS),
            lower_measurement_uncertainty=round(max(finding.volume_ml - finding.interval.low_ml, 0.0), _DECIMALS),
        )
    return Measurement(codes.SCT.Volume, round(finding.volume_ml, _DECIMALS), _ML, properties=properties)


def _numbers(finding: Finding) -> list[Measurement]:
    return [Measurement(one.name.coded(), round(one.value, _DECIMALS), _NO_UNITS) for one in finding.numbers]


def _judged(finding: Finding) -> list[QualitativeEvaluation]:
    return [QualitativeEvaluation(one.name.coded(), one.value.coded()) for one in finding.judgements]


def _interval_remark(finding: Finding) -> str:
    if finding.interval is None:
        return ""
    low, high, share = finding.interval.low_ml, finding.interval.high_ml, finding.interval.coverage
    return f"Volume between {low:.3f} and {high:.3f} mL in {share:.0%} of cases like those it was calibrated on."
