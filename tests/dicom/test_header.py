"""A header is read completely and within bounds, whatever its lengths and sequences claim."""

import os
import resource
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from pydicom import Dataset
from pydicom.dataelem import RawDataElement
from pydicom.tag import BaseTag
from pydicom.uid import DeflatedExplicitVRLittleEndian, ImplicitVRLittleEndian

from fedvoxel.dicom import header, stream
from fedvoxel.dicom.faults import REMEDIES
from fedvoxel.dicom.header import read_header
from fedvoxel.dicom.quiet import quiet
from fedvoxel.errors import DicomError
from tests.dicom.phantom import NAME, PATIENT, Phantom, item, write_one

SQ_START = struct.pack("<HH2sHI", 0x0008, 0x1115, b"SQ", 0, 0xFFFFFFFF)
ITEM_START = struct.pack("<HHI", 0xFFFE, 0xE000, 0xFFFFFFFF)


def refused(path: Path) -> str:
    with pytest.raises(DicomError) as caught:
        read_header(path)
    text = str(caught.value)
    assert text.endswith(REMEDIES[caught.value.reason])  # type: ignore[index]
    assert (caught.value.__cause__ is None and caught.value.__suppress_context__) or caught.value.__context__ is None
    assert not any(secret in text for secret in (PATIENT, NAME, str(path)))
    return caught.value.reason


def element(tag: int, vr: bytes, value: bytes, length: int | None = None) -> bytes:
    size = len(value) if length is None else length
    if vr in (b"OB", b"SQ", b"UN", b"UT"):
        return struct.pack("<HH2sHI", tag >> 16, tag & 0xFFFF, vr, 0, size) + value
    return struct.pack("<HH2sH", tag >> 16, tag & 0xFFFF, vr, size) + value


@pytest.fixture
def whole(tmp_path: Path) -> Path:
    return write_one(tmp_path / "whole", Phantom().slices()[0])


def with_inserted(path: Path, content: bytes) -> Path:
    """Puts elements before the first of the data set (group 0008)."""
    written = path.read_bytes()
    at = written.index(struct.pack("<HH2s", 0x0008, 0x0008, b"CS"))
    path.write_bytes(written[:at] + content + written[at:])
    return path


def test_all_but_the_pixels_is_read(whole: Path) -> None:
    found = read_header(whole)
    assert (found.PatientID, found.Rows, found.ImagePositionPatient[0]) == (PATIENT, 14, -31.5)
    assert "PixelData" not in found
    assert not any(str(whole) in str(value) for value in vars(found).values())


@pytest.mark.parametrize("syntax", [ImplicitVRLittleEndian, DeflatedExplicitVRLittleEndian])
def test_other_encodings_read_the_same(tmp_path: Path, whole: Path, syntax: str) -> None:
    assert read_header(write_one(tmp_path / "other", Phantom(seed=0).slices()[0], syntax)).Rows == 14


def test_an_element_that_passes_the_end_of_the_file_is_refused_before_memory_is_taken(whole: Path) -> None:
    with_inserted(whole, element(0x00080001, b"UT", b"", 0xFFFFFFF0))
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    assert refused(whole) == "beyond_the_file"
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 2**16


def test_a_deflate_bomb_is_not_inflated(tmp_path: Path, whole: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stream, "MAX_INFLATED_BYTES", 2**20)
    start = write_one(tmp_path / "bomb", Phantom().slices()[0], DeflatedExplicitVRLittleEndian)
    written = start.read_bytes()
    body = written.index(struct.pack("<HH2s", 0x0002, 0x0010, b"UI")) + 8 + 22
    packer = zlib.compressobj(9, zlib.DEFLATED, -zlib.MAX_WBITS)
    padding = element(0x00080001, b"UT", b"", 2**24)
    bomb = packer.compress(padding + bytes(2**24)) + packer.flush()
    start.write_bytes(written[:body] + bomb)
    assert refused(start) == "file_too_large"
    start.write_bytes(written[:body] + bomb[:100])
    assert refused(start) == "truncated_file"
    start.write_bytes(written[:body] + b"\xff" * 40)
    assert refused(start) == "malformed"


@pytest.mark.parametrize("depth", [header.MAX_DEPTH + 1, 100, 5_000])
def test_sequences_without_end_are_refused(whole: Path, depth: int) -> None:
    assert refused(with_inserted(whole, (SQ_START + ITEM_START) * depth)) in ("too_deep", "malformed")


def test_closed_sequences_that_lie_too_deep_are_refused(tmp_path: Path) -> None:
    for depth, outcome in ((header.MAX_DEPTH - 1, None), (header.MAX_DEPTH, "too_deep"), (150, "too_deep")):
        inner = Dataset()
        for _ in range(depth):
            inner = item(ContentSequence=[inner])
        one = Phantom().slices()[0]
        one.ContentSequence = inner.get("ContentSequence")
        path = write_one(tmp_path / "deep", one)
        if outcome is None:
            read_header(path)
        else:
            assert refused(path) == outcome


def test_sequences_with_too_many_items_are_refused(whole: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stream, "MAX_ITEMS", 1000)
    items = struct.pack("<HHI", 0xFFFE, 0xE000, 0) * 1001
    assert refused(with_inserted(whole, element(0x00081115, b"SQ", items))) == "header_too_large"


def test_a_header_of_too_many_bytes_or_elements_is_refused(whole: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with_inserted(whole, element(0x00080001, b"UT", bytes(10_000)))
    read_header(whole)
    with monkeypatch.context() as patch:
        patch.setattr(stream, "MAX_HEADER_BYTES", 9_999)
        assert refused(whole) == "header_too_large"
    monkeypatch.setattr(stream, "_MAX_READS", 20)
    assert refused(whole) == "header_too_large"


@pytest.mark.parametrize(
    ("attributes", "outcome"),
    [
        ({"Rows": 65535, "Columns": 65535}, "absurd_dimensions"),
        ({"NumberOfFrames": 2_000_000_000}, "absurd_dimensions"),
        ({"NumberOfFrames": -1}, "absurd_dimensions"),
        ({"Rows": 512, "Columns": 512, "NumberOfFrames": 4096, "BitsAllocated": 1}, None),
        ({"Rows": 512, "Columns": 512, "NumberOfFrames": 4097, "BitsAllocated": 1}, "absurd_dimensions"),
        ({"Rows": 4096, "Columns": 4096, "NumberOfFrames": 17}, "absurd_dimensions"),
        ({"Rows": 4096, "Columns": 4096, "NumberOfFrames": 16}, None),
        ({"Rows": [1, 2]}, "absurd_dimensions"),
    ],
)
def test_absurd_dimensions_are_refused(tmp_path: Path, attributes: dict[str, int], outcome: str | None) -> None:
    one = Phantom().slices()[0]
    for keyword, value in attributes.items():
        setattr(one, keyword, value)
    path = write_one(tmp_path / "absurd", one)
    if outcome is None:
        read_header(path)
    else:
        assert refused(path) == outcome


def test_a_standard_value_that_is_none_is_refused_and_a_private_one_left_out(whole: Path) -> None:
    with_inserted(whole, element(0x00070010, b"LO", b"X ") + element(0x00071001, b"US", b"abc"))
    found = read_header(whole)
    assert 0x00071001 not in found and found.Rows == 14
    with_inserted(whole, element(0x00080001, b"UL", b"abc"))
    assert refused(whole) == "unreadable_value"


def test_values_that_go_through_a_table_are_refused(tmp_path: Path) -> None:
    one = Phantom(modality="MR", slope=None).slices()[0]
    one.ModalityLUTSequence = [item(ModalityLUTType="US")]
    assert refused(write_one(tmp_path / "one", one)) == "modality_table"


def test_what_is_no_file_or_no_dicom_is_refused(tmp_path: Path, whole: Path) -> None:
    assert refused(tmp_path / "missing") == "unreadable_file"
    assert refused(tmp_path) == "unreadable_file"
    os.mkfifo(tmp_path / "pipe")
    assert refused(tmp_path / "pipe") == "unreadable_file"
    (tmp_path / "text").write_text("no DICOM" * 100)
    assert refused(tmp_path / "text") == "not_dicom"
    (tmp_path / "text").write_bytes(b"")
    assert refused(tmp_path / "text") == "not_dicom"
    (tmp_path / "text").write_bytes(bytes(128) + b"DICM")
    assert refused(tmp_path / "text") == "no_transfer_syntax"


def test_too_large_a_file_is_not_opened(whole: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stream, "MAX_FILE_BYTES", 100)
    assert refused(whole) == "file_too_large"


def test_every_cut_and_flip_of_a_file_is_a_header_or_a_refusal(whole: Path) -> None:
    written = whole.read_bytes()
    for end in range(0, len(written) - 300, 7):
        whole.write_bytes(written[:end])
        _read_or_refuse(whole)
    for at in range(132, len(written) - 310, 3):
        whole.write_bytes(written[:at] + bytes([written[at] ^ (1 << at % 8)]) + written[at + 1 :])
        _read_or_refuse(whole)


def _read_or_refuse(path: Path) -> None:
    try:
        read_header(path)
    except DicomError as error:
        assert NAME not in str(error)


@pytest.mark.parametrize("vr", sorted(header._TEXTS))
def test_pydicom_makes_a_value_of_any_text(vr: str) -> None:
    """On this rests that texts are left unconverted: nobody who looks at one meets an error."""
    random = np.random.default_rng(sum(vr.encode()))
    tag = BaseTag(0x00090010)
    for _ in range(1000):
        value = random.choice(list(rb"\\\\^^==  ..--1199ABZaz" + bytes(range(256))), random.integers(0, 24))
        one = Dataset()
        one[0x00080005] = RawDataElement(BaseTag(0x00080005), "CS", 16, b"\\ISO 2022 IR 87", 0, False, True)
        one[tag] = RawDataElement(tag, vr, len(value), bytes(value.tolist()), 0, False, True)
        with quiet():
            assert one[tag].value is None or str(one[tag].value) is not None
