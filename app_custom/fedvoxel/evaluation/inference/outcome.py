"""What came of one prediction, as its summary says it: nothing that tells whose image it was."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fedvoxel.dicom.result import RESEARCH, Finding
from fedvoxel.evaluation.inference.model import Model

SUMMARY, SEGMENTATION, REPORT, LABEL = "summary.json", "segmentation.dcm", "report.dcm", "label.nii.gz"


@dataclass(frozen=True)
class Outcome:
    """Is the result of one image.

    Attributes:
        folder: Where its files are.
        files: Their names.
        source: What the image was, in numbers: the study's and the series', modality, slices.
        findings: What was found of each structure.
        remarks: What a reader must know.
        left_out: (what, how many) of the slices that were not used.
        assessment: How like the training images it is, as JSON; None where the model has no calibration.
    """

    folder: Path
    files: tuple[str, ...]
    source: dict[str, Any]
    findings: tuple[Finding, ...]
    remarks: tuple[str, ...]
    left_out: tuple[tuple[str, int], ...] = ()
    assessment: dict[str, Any] | None = None

    @property
    def objects(self) -> tuple[Path, ...]:
        """Returns the DICOM objects, in the order in which they are stored."""
        return tuple(self.folder / name for name in (SEGMENTATION, REPORT) if name in self.files)

    def as_json(self) -> dict[str, Any]:
        """Returns it for a script; the folder is where the caller asked for it."""
        return {"folder": str(self.folder), "files": list(self.files), **self.summary()}

    def summary(self) -> dict[str, Any]:
        """Returns what `summary.json` says beside the model."""
        return {
            "source": self.source,
            "structures": [_structure(finding) for finding in self.findings],
            "remarks": list(self.remarks),
            "left_out": dict(self.left_out),
            "assessment": self.assessment,
        }


def summary_of(outcome: Outcome, model: Model) -> dict[str, Any]:
    """Returns the content of `summary.json`."""
    package = model.package
    return {
        "schema_version": 1,
        "use": RESEARCH,
        "model": {
            "name": package.description.name,
            "version": package.description.version,
            "package_sha256": package.sha256,
            "signed_by": str(package.signed_by),
            "signed_at": package.signed_at.isoformat(),
        },
        "software": {"fedvoxel": model.algorithm.software_version, "runtime": model.predictor.runtime.name},
        **outcome.summary(),
    }


def _structure(finding: Finding) -> dict[str, Any]:
    interval = finding.interval
    return {
        "code": finding.code,
        "label": finding.label,
        "volume_ml": finding.volume_ml,
        "interval_ml": None if interval is None else [interval.low_ml, interval.high_ml],
        "interval_coverage": None if interval is None else interval.coverage,
        "tracking_uid": finding.tracking_uid,
    }
