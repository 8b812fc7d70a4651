"""What an algorithm found in a series, as its DICOM objects need it said; nothing here knows how it was found."""

from dataclasses import dataclass, field

from highdicom import UID
from highdicom.sr.coding import CodedConcept

RESEARCH = "research use only"
MANUFACTURER = "FedVoxel"
"""Who made a result, as its objects say."""
SEG_SERIES, REPORT_SERIES = 900, 901
"""Series numbers that come after those of the scanner."""


@dataclass(frozen=True)
class Concept:
    """Is a coded concept (PS3.3 section 8.8)."""

    scheme: str
    value: str
    meaning: str

    def coded(self) -> CodedConcept:
        """Returns it as a code sequence has it."""
        return CodedConcept(self.value, self.scheme, self.meaning)


@dataclass(frozen=True)
class Algorithm:
    """Says what made a result.

    Attributes:
        name: Short name of the model.
        version: Its version.
        package_sha256: The SHA-256 of the signed package's manifest.
        software_version: The version of this software.
        corrected: Whether a person changed what it found.
        reader: Who accepted or corrected that, as the hospital calls them; None where nobody has looked yet.
    """

    name: str
    version: str
    package_sha256: str
    software_version: str
    corrected: bool = False
    reader: str | None = None

    @property
    def parameters(self) -> dict[str, str]:
        """Returns what identifies the model beyond doubt."""
        return {"package_sha256": self.package_sha256, "fedvoxel": self.software_version}

    @property
    def outcome(self) -> str:
        """Returns what its segmentation is called."""
        return "corrected" if self.corrected else "segmentation"

    @property
    def device_uid(self) -> str:
        """Returns a UID for the model as an observer, the same for the same package (PS3.5 B.2)."""
        return f"2.25.{int(self.package_sha256[:32], 16)}"

    @property
    def observer(self) -> str | None:
        """Returns the reader as a person's name with one component (PS3.5 6.2.1.2)."""
        return None if self.reader is None else f"{self.reader}^"

    def described(self, what: str) -> str:
        """Returns a description of at most 64 characters that ends with the reader and the warning (VR LO).

        The model's name is cut first: who tells two results apart looks at what follows it.
        """
        room = 64 - len(RESEARCH) - 2
        said = f" {self.version} {what}" + (f", {self.reader}" if self.reader else "")
        return f"{f'{self.name[: max(room - len(said), 0)]}{said}'[:room]}, {RESEARCH}"


@dataclass(frozen=True)
class Interval:
    """Is a prediction interval of a volume.

    Attributes:
        low_ml: Its lower end, in mL.
        high_ml: Its upper end, in mL.
        coverage: The share of exchangeable cases whose true volume it holds.
    """

    low_ml: float
    high_ml: float
    coverage: float


@dataclass(frozen=True)
class Number:
    """Is a number that is said of a finding beside its volume; without a unit."""

    name: Concept
    value: float


@dataclass(frozen=True)
class Judgement:
    """Is what is said of a finding in a word."""

    name: Concept
    value: Concept


@dataclass(frozen=True)
class Finding:
    """Is one structure that was looked for.

    Attributes:
        code: Its code in the label map, 1 or more.
        label: What a person reads, at most 64 characters.
        category: SegmentedPropertyCategoryCodeSequence.
        type: SegmentedPropertyTypeCodeSequence.
        modifier: SegmentedPropertyTypeModifierCodeSequence, or none.
        colour_rgb: How it is drawn.
        volume_ml: How large it is, in mL; 0 if it was not found.
        interval: Within what its true volume lies, where the model is calibrated.
        numbers: What else is known of it in numbers.
        judgements: What else is known of it in words.
        tracking_uid: The same in segmentation and report, and in nothing else.
    """

    code: int
    label: str
    category: Concept
    type: Concept
    modifier: Concept | None
    colour_rgb: tuple[int, int, int]
    volume_ml: float
    interval: Interval | None = None
    numbers: tuple[Number, ...] = ()
    judgements: tuple[Judgement, ...] = ()
    tracking_uid: str = field(default_factory=lambda: str(UID()))

    @property
    def is_found(self) -> bool:
        """Says whether a voxel of it was found."""
        return self.volume_ml > 0

    @property
    def tracking_id(self) -> str:
        """Returns its name for people, beside the tracking UID."""
        return f"{self.label} {self.tracking_uid[-8:]}"
