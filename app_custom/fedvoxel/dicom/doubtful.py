"""Says of a file that cannot be used whether it may be an image all the same: a slice that was cut off, or lost.

A stack that lacks its last slice is as regular as a whole one, so that nobody sees it. What may be a slice is therefore
told apart from what plainly is none: a letter, a thumbnail, a list of files.
"""

from pathlib import Path

_ENDINGS = frozenset({".dcm", ".dicom", ".ima"})
_PREAMBLE_BYTES = 128
_MARK = b"DICM"
_FIRST_GROUPS = (b"\x02\0", b"\x08\0")
"""How DICOM begins that was written without a preamble, as before PS3.10."""
_MAC_COMPANION = b"\0\x05\x16\x07"
"""What macOS lays beside each file on a foreign disk, under the file's name with ._ before it."""


def may_be_an_image(path: Path, reason: str) -> bool:
    """Says whether a file may be an image, by why it was refused, its name and its first bytes.

    One that cannot be opened, or is DICOM and damaged, may be one. So may an empty one, and one that begins with
    zeros: that is how a copy looks whose space was taken and not filled.
    """
    if reason == "directory_record" or path.name.upper() == "DICOMDIR":
        return False
    if reason not in ("not_dicom", "file_too_large"):
        return True
    try:
        with path.open("rb") as file:
            start = file.read(_PREAMBLE_BYTES + len(_MARK))
    except OSError:
        return True
    if start.startswith(_MAC_COMPANION) and path.name.startswith("._"):
        return False
    return path.suffix.lower() in _ENDINGS or _begins_as_dicom(start)


def _begins_as_dicom(start: bytes) -> bool:
    preamble = start[:_PREAMBLE_BYTES]
    return not any(preamble) or start[_PREAMBLE_BYTES:] == _MARK or start.startswith(_FIRST_GROUPS)
