"""Writes cleaned objects as the bytes of a DICOM file."""

from io import BytesIO

from pydicom import Dataset, dcmwrite

from fedvoxel.dicom.quiet import quiet


def encode(clean: Dataset) -> bytes:
    """Returns a cleaned object as a DICOM file: zeroed preamble, new file meta, Explicit VR Little Endian.

    The same object gives the same bytes.

    Source: DICOM PS3.10 section 7.1.
    """
    stream = BytesIO()
    with quiet():
        dcmwrite(stream, clean, enforce_file_format=True)
    return stream.getvalue()
