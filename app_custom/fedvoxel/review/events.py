"""What a reader does to a case, in the words in which it is kept."""

from typing import Annotated, Literal

from pydantic import Field, StringConstraints, TypeAdapter

from fedvoxel.config import FrozenModel
from fedvoxel.evaluation.reading.agreement import RATINGS, Verdict
from fedvoxel.evaluation.reading.edits import StructureEdit
from fedvoxel.evaluation.reading.stroke import Stroke
from fedvoxel.records.names import Sha256

ErrorType = Literal["missed", "too_large", "too_small", "wrong_place", "leak", "mixed_up", "rough", "image", "other"]

ERROR_TYPES: dict[ErrorType, str] = {
    "missed": "Structure missed",
    "too_large": "Too large",
    "too_small": "Too small",
    "wrong_place": "Wrong place",
    "leak": "Leaks into a neighbour",
    "mixed_up": "Structures mixed up",
    "rough": "Rough border",
    "image": "Image quality",
    "other": "Other",
}

VisitId = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{16}$")]
_Note = Annotated[
    str, StringConstraints(strip_whitespace=True, max_length=2000, pattern=r"^[^\x00-\x08\x0b-\x1f\x7f]*$")
]
_Pixel = Annotated[float, Field(ge=-4096, le=4096)]
_Seconds = Annotated[float, Field(ge=0, le=10_000_000)]


class Visited(FrozenModel):
    """Says that the case was opened.

    Attributes:
        visit: The visit.
        read_from: What the case was read from; see `CaseVolumes`. A version that did not note it left None.
    """

    kind: Literal["visited"] = "visited"
    visit: VisitId
    read_from: Sha256 | None = None


class Spent(FrozenModel):
    """Says for how long a visit has been active until now."""

    kind: Literal["spent"] = "spent"
    visit: VisitId
    active_s: _Seconds


class Begun(FrozenModel):
    """Says that a correction was begun (anew) from a candidate."""

    kind: Literal["begun"] = "begun"
    candidate: str


class Painted(FrozenModel):
    """Holds a stroke."""

    kind: Literal["painted"] = "painted"
    stroke: Stroke


class Undone(FrozenModel):
    """Says that the last stroke was taken back."""

    kind: Literal["undone"] = "undone"


class Redone(FrozenModel):
    """Says that the stroke that was taken back last was painted again."""

    kind: Literal["redone"] = "redone"


class Measured(FrozenModel):
    """Holds a distance."""

    kind: Literal["measured"] = "measured"
    plane: Literal["axial", "coronal", "sagittal"]
    index: Annotated[int, Field(ge=0, le=65535)]
    start: tuple[_Pixel, _Pixel]
    end: tuple[_Pixel, _Pixel]
    length_mm: float


class Unmeasured(FrozenModel):
    """Says that the last distance was taken away."""

    kind: Literal["unmeasured"] = "unmeasured"


class Judgement(FrozenModel):
    """Is what a reader says of one candidate.

    Attributes:
        candidate: Which.
        verdict: accept, correct (with the reader's correction) or reject.
        rating: 1 (unusable) to 5 (perfect).
        errors: What is wrong.
    """

    candidate: str
    verdict: Verdict
    rating: Annotated[int, Field(ge=1, le=RATINGS)]
    errors: tuple[ErrorType, ...] = ()


class Said(FrozenModel):
    """Is what a reader sends as the answer to a case.

    Attributes:
        judgements: One for each candidate.
        preferred: The better candidate; None for no difference, or where there is one only.
        note: Free text.
    """

    judgements: Annotated[tuple[Judgement, ...], Field(min_length=1, max_length=4)]
    preferred: str | None = None
    note: _Note = ""


class DraftJudgement(FrozenModel):
    """Is a judgement that is not whole yet; see `Judgement`. The candidate is called as on the page."""

    candidate: str
    verdict: Verdict | None = None
    rating: Annotated[int, Field(ge=1, le=RATINGS)] | None = None
    errors: tuple[ErrorType, ...] = ()


class Draft(FrozenModel):
    """Is an answer that is not given yet; see `Said`.

    Attributes:
        judgements: One for each candidate.
        preferred: The better candidate; None for no difference, or where nothing was chosen yet.
        compared: Whether one was chosen, or that there is no difference.
        note: Free text.
    """

    judgements: Annotated[tuple[DraftJudgement, ...], Field(max_length=4)]
    preferred: str | None = None
    compared: bool = False
    note: _Note = ""


class Drafted(FrozenModel):
    """Holds what stands in the page's form, so that it is there again after the page was closed."""

    kind: Literal["drafted"] = "drafted"
    draft: Draft


class Answered(FrozenModel):
    """Is an answer as it is kept.

    Attributes:
        said: What the reader said.
        volumes_ml: Volume of each structure, for each candidate; after correction for that which was corrected.
        corrected_file: The corrected label map in the case's folder; None where there is none.
        corrected_sha256: Its hash.
        segmentations: For each candidate that was accepted or corrected, a DICOM segmentation in the case's folder and
            its hash, where the image is from DICOM.
        reports: The same of the DICOM reports.
        edits: What the correction changed.
    """

    kind: Literal["answered"] = "answered"
    said: Said
    volumes_ml: dict[str, dict[str, float]]
    corrected_file: str | None = None
    corrected_sha256: str | None = None
    segmentations: dict[str, tuple[str, str]] = Field(default_factory=dict)
    reports: dict[str, tuple[str, str]] = Field(default_factory=dict)
    edits: tuple[StructureEdit, ...] = ()


Event = Annotated[
    Visited | Spent | Begun | Painted | Undone | Redone | Measured | Unmeasured | Drafted | Answered,
    Field(discriminator="kind"),
]
EVENT: TypeAdapter[Event] = TypeAdapter(Event)
EDITS = (Begun, Painted, Undone, Redone)
"""What changes a correction."""
