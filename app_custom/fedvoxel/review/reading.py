"""What is read: cases under pseudonyms, each with an image and one or more label maps on its grid.

Where they come from (a folder, a site's cohort, a model at work) is each source's own business; volumes are loaded
when a case is opened, and not before.
"""

import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Protocol

import numpy as np
from numpy.typing import NDArray
from pydantic import StringConstraints

from fedvoxel.errors import ReviewError
from fedvoxel.evaluation.reading.windows import WindowPreset
from fedvoxel.export.description import Structure
from fedvoxel.records.names import Sha256
from fedvoxel.volumes.refusal import geometry_error
from fedvoxel.volumes.volume import Volume

if TYPE_CHECKING:
    from fedvoxel.dicom.result import Algorithm
    from fedvoxel.dicom.study_series import StudySeries
    from fedvoxel.volumes.dicom_volume import DicomVolume

CaseName = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9_-]{0,63}$")]
"""A pseudonym; it is a folder's name, too."""

CandidateName = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9_]{0,31}$")]

MODEL = "model"
"""The candidate that a package's own label map is."""

CORRECTED = "corrected"
"""The name under which a reader's own correction is shown; no candidate bears it."""


@dataclass(frozen=True, eq=False)
class DicomOrigin:
    """Is the hospital's own series that an image was made of: results can go back beside it.

    Attributes:
        series: The series, with its patient; nothing of it is shown.
        image: Its volume.
    """

    series: "StudySeries"
    image: "DicomVolume"


class UncertaintyMap:
    """Is a map of uncertainty that is read when it is first looked at, so that its case is shown before."""

    def __init__(self, read: Callable[[], NDArray[np.float32]]) -> None:
        """Takes how it is read: float32 (X, Y, Z) in [0, 1], on the image's own grid."""
        self._read, self._lock = read, threading.Lock()
        self._voxels: NDArray[np.float32] | None = None

    def voxels(self) -> NDArray[np.float32]:
        """Returns the map.

        Raises:
            FedVoxelError: It cannot be read or trusted; it is tried anew with the next look.
        """
        with self._lock:
            if self._voxels is None:
                self._voxels = self._read()
            return self._voxels


@dataclass(frozen=True, eq=False)
class CaseVolumes:
    """Holds what is shown of a case, all on the image's own grid.

    Attributes:
        image: The image.
        labels: uint8 (X, Y, Z) for each candidate; 1 + i is structure i.
        read_from: SHA-256 of the files, or of the UIDs of series and instances, that image and labels were read from.
        uncertainty: Where the model is unsure, or None.
        modality: DICOM Modality, or None where it is not known.
        remarks: What a reader must know of the image, one sentence each.
        of_model: What is known of the label map "model", one sentence each; it would unblind.
        origin: Where it is from, if it is from DICOM.

    Raises:
        GeometryError: shape_mismatch, if something is not on the image's grid; unexpected_class, if a label holds
            more than the structures.
    """

    image: Volume
    labels: Mapping[str, NDArray[np.uint8]]
    read_from: Sha256
    uncertainty: UncertaintyMap | None = None
    modality: str | None = None
    remarks: tuple[str, ...] = ()
    of_model: tuple[str, ...] = ()
    origin: DicomOrigin | None = None

    def __post_init__(self) -> None:
        """Refuses what is not on the image's grid."""
        shapes = {label.shape for label in self.labels.values()}
        if shapes - {self.image.shape}:
            raise geometry_error("shape_mismatch", "a label map is not on the image's grid")

    def require_read_from(self, kept: str | None) -> None:
        """Refuses the case where something that is kept of it was made of other images or label maps.

        Args:
            kept: The `read_from` of what is kept; None where a version kept it that did not note it.

        Raises:
            ReviewError: They are others, or nobody can tell.
        """
        if kept is None:
            raise ReviewError(
                "what is kept of this case is of a version that did not note which images it is of: nothing is shown "
                "or changed; begin anew in another folder with --out"
            )
        if kept != self.read_from:
            raise ReviewError(
                "the files of this case are not those that the kept work is of (exchanged, or another --series): "
                "nothing is shown or changed; bring the former ones back, or begin anew in another folder with --out"
            )


class CaseSource(Protocol):
    """Is one case that can be opened."""

    @property
    def case(self) -> str:
        """Is the case's pseudonym."""
        ...

    @property
    def candidates(self) -> tuple[str, ...]:
        """Names the label maps that `load` will give."""
        ...

    @property
    def waiting(self) -> str | None:
        """Says what the case still waits for, such as its prediction; None when it can be opened."""
        ...

    @property
    def examination(self) -> str | None:
        """Tells the examination to who treats the patient, without naming them; None where nothing does.

        It is for the page of a reading that is not blinded, and for no log, file or message.
        """
        ...

    def claimed_voxels(self) -> int:
        """Returns how many voxels the image claims to have, before it is read; 0 where nobody can tell.

        Raises:
            FedVoxelError: The case cannot be shown.
        """
        ...

    def load(self) -> CaseVolumes:
        """Reads the case.

        Raises:
            FedVoxelError: It cannot be shown; the message names no path and no patient.
        """
        ...


@dataclass(frozen=True)
class Reading:
    """Is everything that is read.

    Attributes:
        title: What the page is headed with.
        structures: In the order of their codes, from 1.
        cases: Each once.
        presets: Windows to offer before those that a scan itself suggests.
        algorithm: What made the label map "model", if a signed package did.
        identity: What this reading is of; a study's folder is bound to it.
        eight_bit: Whether segmentations are written with 8 bits for each pixel, for viewers that draw no frames of 1.
        package: Identity of the package that made the label map "model", if one did.
        images: Identity of what the package was used on; None without one.
        remarks: What a reader must know of the package, one sentence each.
    """

    title: str
    structures: tuple[Structure, ...]
    cases: tuple[CaseSource, ...]
    identity: str
    presets: tuple[WindowPreset, ...] = ()
    algorithm: "Algorithm | None" = None
    eight_bit: bool = False
    package: str | None = None
    images: str | None = None
    remarks: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        """Refuses a reading without cases, or with a case twice."""
        names = [case.case for case in self.cases]
        if not names or len(set(names)) != len(names):
            raise ReviewError(f"expected cases, each once; got {len(names)}, {len(set(names))} of them different")

    def case(self, name: str) -> CaseSource:
        """Returns the case of that name.

        Raises:
            ReviewError: There is none.
        """
        for case in self.cases:
            if case.case == name:
                return case
        raise ReviewError("this reading has no such case: go back to the worklist")
