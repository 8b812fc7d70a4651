"""A glance says what the thorough reader says, or nothing."""

import struct
from pathlib import Path

import numpy as np
import pytest
from pydicom import Dataset, uid

from fedvoxel.dicom import glance as glances
from fedvoxel.dicom import inventory_entry, pixels
from fedvoxel.dicom.glance import glance
from fedvoxel.dicom.header import read_header
from fedvoxel.dicom.inventory_entry import read_entry
from fedvoxel.dicom.pixel_layout import PIXEL_TAGS
from fedvoxel.dicom.pixels import stored_pixels
from fedvoxel.errors import DicomError
from tests.dicom.phantom import Phantom, item, write_one

WANTED = frozenset(PIXEL_TAGS)


def slices_with_sequences() -> Dataset:
    one = Phantom().slices()[0]
    deep = item(ReferencedImageSequence=[item(ReferencedSOPInstanceUID="1.2.3", Rows=99)])
    one.ReferencedImageSequence = [deep, item(Rows=98)]
    one["ReferencedImageSequence"].is_undefined_length = True
    deep.is_undefined_length_sequence_item = True
    one.SourceImageSequence = [item(Rows=97)]
    return one


@pytest.mark.parametrize("syntax", [uid.ExplicitVRLittleEndian, uid.ImplicitVRLittleEndian])
def test_it_hops_over_sequences(tmp_path: Path, syntax: str) -> None:
    one = slices_with_sequences()
    path = write_one(tmp_path / "one", one, syntax)
    seen = glance(path, WANTED)
    assert seen is not None and seen.pixels is not None
    assert seen.values[0x00280010] == struct.pack("<H", 14)
    offset, length = seen.pixels
    assert path.read_bytes()[offset : offset + length] == one.PixelData


def test_a_long_private_element_is_hopped_over(tmp_path: Path) -> None:
    one = Phantom().slices()[0]
    one.private_block(0x0019, "TEST", create=True).add_new(1, "OB", bytes(3 * glances._CHUNK_BYTES))
    seen = glance(write_one(tmp_path / "one", one), WANTED)
    assert seen is not None and seen.values[0x00280011] == struct.pack("<H", 11)


@pytest.mark.parametrize("syntax", [uid.DeflatedExplicitVRLittleEndian, uid.ExplicitVRBigEndian])
def test_what_it_does_not_recognise_it_leaves_alone(tmp_path: Path, syntax: str) -> None:
    assert glance(write_one(tmp_path / "one", Phantom().slices()[0], syntax), WANTED) is None
    assert glance(tmp_path, WANTED) is None
    assert glance(tmp_path / "missing", WANTED) is None


def test_elements_out_of_order_are_left_to_the_thorough_reader(tmp_path: Path) -> None:
    """An element that comes twice counts as pydicom counts it: the last one."""
    path = write_one(tmp_path / "one", Phantom().slices()[0])
    written = path.read_bytes()
    at = written.index(struct.pack("<HH2s", 0x7FE0, 0x0010, b"OW"))
    again = struct.pack("<HH2sHH", 0x0028, 0x0010, b"US", 2, 15)
    path.write_bytes(written[:at] + again + written[at:])
    assert glance(path, WANTED) is None
    assert read_header(path).Rows == 15
    with pytest.raises(DicomError, match="expected 330 bytes"):
        stored_pixels(path, read_header(path))


def test_a_file_of_countless_elements_is_left_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write_one(tmp_path / "one", Phantom().slices()[0])
    monkeypatch.setattr(glances, "_MOST_ELEMENTS", 10)
    assert glance(path, WANTED) is None


def outcome_of(path: Path, header: Dataset) -> tuple[object, object]:
    try:
        entry: object = read_entry(path)
    except DicomError as error:
        entry = error.reason
    try:
        return entry, stored_pixels(path, header).tolist()
    except DicomError as error:
        return entry, error.reason


def is_refused(path: Path) -> bool:
    """What a glance does not look into, such as items, is judged when the header is read."""
    try:
        read_header(path)
    except DicomError:
        return True
    return False


def test_whatever_happens_to_a_file_a_glance_changes_no_outcome(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write_one(tmp_path / "one", slices_with_sequences())
    header, written = read_header(path), path.read_bytes()
    random = np.random.default_rng(0)
    taken = 0
    for trial in range(1500):
        damaged = bytearray(written[: random.integers(200, len(written)) if trial % 5 == 0 else None])
        for _ in range(0 if trial % 5 == 0 else 1 + trial % 2):
            damaged[random.integers(132, len(written) - 308)] = random.choice(
                [0, 1, 2, 8, 16, 255, random.integers(256)]
            )
        path.write_bytes(damaged)
        with monkeypatch.context() as patch:
            patch.setattr(inventory_entry, "glance", lambda path, wanted: None)
            patch.setattr(pixels, "read_plain", lambda path, expected: None)
            thorough = outcome_of(path, header)
        taken += glance(path, WANTED) is not None
        for mine, theirs in zip(outcome_of(path, header), thorough, strict=True):
            assert mine == theirs or is_refused(path)
    assert taken > 500


def test_every_real_file_has_the_same_entry(data_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    paths = [path for path in data_folder.glob("dicom_*/**/*") if path.is_file()]
    quick = [entry_of(path) for path in paths]
    monkeypatch.setattr(inventory_entry, "glance", lambda path, wanted: None)
    assert quick == [entry_of(path) for path in paths]


def entry_of(path: Path) -> object:
    try:
        return read_entry(path)
    except DicomError as error:
        return error.reason
