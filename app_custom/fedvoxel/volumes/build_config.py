"""How a cohort is built from DICOM: where the series come from, which are images, what marks the classes.

Part of the site's own file, and so read by programs that know no DICOM: it imports nothing that does.
"""

from typing import Annotated, Any, Literal, Self

from pydantic import Discriminator, Field, Tag, field_validator, model_validator

from fedvoxel.config import FrozenModel
from fedvoxel.deid.policy import DeidPolicy
from fedvoxel.dicom.query import SeriesQuery
from fedvoxel.volumes.sources import ClassCode, ClassName, FileName

PacsName = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_-]{0,31}$")]
SegmentName = Annotated[str, Field(min_length=1, max_length=64, pattern=r"\S")]


class FolderInput(FrozenModel):
    """Is a folder with DICOM files, in any order and depth, by whatever names.

    Attributes:
        folder: Where it is; links in it are not followed.
    """

    folder: FileName


class PacsInput(FrozenModel):
    """Is a search in one of the site's archives.

    Attributes:
        pacs: Its name under the site file's `pacs`.
        query: Which series; of what is found, those of the image's and the label's modality are pulled.
        label_query: Which series are labels, where one search cannot find both.
    """

    pacs: PacsName
    query: SeriesQuery
    label_query: SeriesQuery | None = None


def _kind_of_input(values: Any) -> str:
    named = "pacs" in values if isinstance(values, dict) else isinstance(values, PacsInput)
    return "pacs" if named else "folder"


BuildInput = Annotated[
    Annotated[FolderInput, Tag("folder")] | Annotated[PacsInput, Tag("pacs")], Discriminator(_kind_of_input)
]


class ImageChoice(FrozenModel):
    """Says which series are the cohort's images.

    Attributes:
        modality: Modality (0008,0060), such as CT or MR.
        description: A pattern for SeriesDescription with the wildcards * and ?, in any case; None for all.
        minimum_slices: Series with fewer are left alone: scouts, calibrations.
    """

    modality: Annotated[str, Field(pattern=r"^[A-Z]{2,16}$")]
    description: Annotated[str, Field(min_length=1, max_length=64)] | None = None
    minimum_slices: int = Field(default=2, ge=2, le=100_000)


class _NamedLabels(FrozenModel):
    """Is a label in DICOM whose segments or structures are known by name or by code.

    Attributes:
        names: For each class what its segments are called: a name, or a code such as "SCT|10200004".
    """

    names: dict[ClassName, tuple[SegmentName, ...]] = Field(min_length=1)

    @field_validator("names")
    @classmethod
    def _tells_classes_apart(cls, value: dict[str, tuple[str, ...]]) -> dict[str, tuple[str, ...]]:
        silent = [name for name, called in value.items() if not called]
        if silent:
            raise ValueError(f"expected at least one name or code for {', '.join(silent)}")
        plain = [" ".join(text.split()).casefold() for called in value.values() for text in called]
        if len(set(plain)) != len(plain):
            raise ValueError("expected each name or code once: one stands twice, or for two classes")
        return value

    @property
    def class_names(self) -> tuple[str, ...]:
        """Returns the classes that the labels can mark."""
        return tuple(self.names)


class SegLabels(_NamedLabels):
    """Is DICOM SEG.

    Attributes:
        half: Whether a fractional segmentation counts where it is at least one half; it is refused otherwise.
    """

    kind: Literal["seg"]
    half: bool = False


class RtstructLabels(_NamedLabels):
    """Is RTSTRUCT."""

    kind: Literal["rtstruct"]


class NiftiLabels(FrozenModel):
    """Is one NIfTI file for each image series, on the image's voxels.

    Attributes:
        table: A comma-separated UTF-8 file with the columns series (SeriesInstanceUID) and label (the file, counted
            from the table's folder).
        codes: The files' code of each class; all other values but 0 are refused.
    """

    kind: Literal["nifti"]
    table: FileName
    codes: dict[ClassName, ClassCode] = Field(min_length=1)

    @model_validator(mode="after")
    def _tells_classes_apart(self) -> Self:
        if len(set(self.codes.values())) != len(self.codes):
            raise ValueError("two classes have the same label code")
        return self

    @property
    def class_names(self) -> tuple[str, ...]:
        """Returns the classes that the labels can mark."""
        return tuple(self.codes)


Labels = Annotated[SegLabels | RtstructLabels | NiftiLabels, Field(discriminator="kind")]


class BuildConfig(FrozenModel):
    """Describes how `fedvoxel cohort build` makes a cohort.

    Attributes:
        deid: How the series are de-identified.
        case_timeout_s: Seconds that one case may take; what takes longer is refused.
        case_memory_gib: Memory in GiB that one case may take; as many cases are built at once as fit.
    """

    source: BuildInput
    image: ImageChoice
    labels: Labels
    deid: DeidPolicy
    case_timeout_s: float = Field(default=900, ge=1, le=86_400)
    case_memory_gib: float = Field(default=4, ge=0.5, le=1024)

    @property
    def label_texts(self) -> frozenset[str]:
        """Returns the names and codes of segments that this configuration holds, and that may therefore stay."""
        known = () if isinstance(self.labels, NiftiLabels) else self.labels.names.values()
        return frozenset(text for texts in known for text in texts)
