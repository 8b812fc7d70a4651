"""What must be agreed on before instances are sent: their kinds and encodings, read from the files themselves."""

from collections.abc import Sequence
from pathlib import Path

from pydicom import Dataset
from pynetdicom import build_context
from pynetdicom.presentation import PresentationContext

from fedvoxel.dicom.faults import dicom_error
from fedvoxel.dicom.stream import opened

_MAX_CONTEXTS = 128


def contexts_for(instances: Sequence[Path | Dataset]) -> list[PresentationContext]:
    """Returns one presentation context for each kind and encoding among the instances.

    Raises:
        DicomError: A file cannot be read, or there are more kinds than one association can carry (PS3.8 9.3.2.2).
    """
    kinds = sorted({_kind(instance) for instance in instances})
    if len(kinds) > _MAX_CONTEXTS:
        raise dicom_error("pacs_not_stored", f"expected at most {_MAX_CONTEXTS} kinds and encodings, got {len(kinds)}")
    return [build_context(kind, syntax) for kind, syntax in kinds]


def _kind(instance: Path | Dataset) -> tuple[str, str]:
    if isinstance(instance, Dataset):
        return str(instance.SOPClassUID), str(instance.file_meta.TransferSyntaxUID)
    with opened(instance, (0x00080016,)) as file:
        return str(file.header.SOPClassUID), str(file.syntax)
