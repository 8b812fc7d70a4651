"""Stored values come out as they went in, in every encoding; pixels that break their promise are refused."""

import struct
from collections.abc import Callable
from pathlib import Path

import gdcm
import numpy as np
import pytest
from pydicom import Dataset, dcmread, uid
from pydicom.encaps import encapsulate, generate_frames
from pydicom.uid import RLELossless

from fedvoxel.dicom import codestream, pixels
from fedvoxel.dicom.faults import REMEDIES
from fedvoxel.dicom.header import read_header
from fedvoxel.dicom.pixel_layout import PixelLayout
from fedvoxel.dicom.pixels import stored_pixels
from fedvoxel.dicom.quiet import quiet
from fedvoxel.errors import DicomError
from tests.dicom.phantom import Phantom, write_one

Edit = Callable[[Dataset], None]


def image(frames: int = 1, shape: tuple[int, int] = (44, 36), signed: bool = False) -> Dataset:
    phantom = Phantom(shape=(frames, *shape), signed=signed)
    one = phantom.enhanced() if frames > 1 else phantom.slices()[0]
    one.BitsStored, one.HighBit = 13, 12
    return one


def read(path: Path) -> np.ndarray:
    return stored_pixels(path, read_header(path))


def refused(path: Path, header: Dataset | None = None) -> str:
    with pytest.raises(DicomError) as caught:
        stored_pixels(path, read_header(path) if header is None else header)
    assert str(caught.value).endswith(REMEDIES[caught.value.reason])  # type: ignore[index]
    return caught.value.reason


def as_stored(one: Dataset, frames: int) -> np.ndarray:
    kind = np.int16 if one.PixelRepresentation else np.uint16
    return np.frombuffer(one.PixelData, kind).reshape(frames, one.Rows, one.Columns)


NATIVE = [uid.ImplicitVRLittleEndian, uid.ExplicitVRLittleEndian, uid.DeflatedExplicitVRLittleEndian]


@pytest.mark.parametrize("signed", [False, True])
@pytest.mark.parametrize("frames", [1, 4])
@pytest.mark.parametrize("syntax", [*NATIVE, uid.ExplicitVRBigEndian])
def test_uncompressed_pixels_come_out(tmp_path: Path, syntax: str, frames: int, signed: bool) -> None:
    one = image(frames, signed=signed)
    expected = as_stored(one, frames)
    if syntax == uid.ExplicitVRBigEndian:
        one.PixelData = expected.byteswap().tobytes()
        one["PixelData"].VR = "OW"
    found = read(write_one(tmp_path / "one", one, syntax))
    np.testing.assert_array_equal(found, expected)
    assert found.dtype == expected.dtype and found.dtype.isnative


def compressed(path: Path, one: Dataset, syntax: uid.UID, frames: int) -> Path:
    """Writes an image compressed by pydicom's plugins, or by GDCM where they have no encoder."""
    if syntax != uid.JPEGLosslessSV1:
        with quiet():
            one.file_meta = Dataset()
            one.compress(syntax, pixel_array(one, frames), generate_instance_uid=False)
        return write_one(path, one, syntax)
    reader, change = gdcm.ImageReader(), gdcm.ImageChangeTransferSyntax()
    reader.SetFileName(str(write_one(path, one)))
    assert reader.Read()
    change.SetTransferSyntax(gdcm.TransferSyntax(gdcm.TransferSyntax.JPEGLosslessProcess14_1))
    change.SetInput(reader.GetImage())
    assert change.Change()
    writer = gdcm.ImageWriter()
    writer.SetFile(reader.GetFile())
    writer.SetImage(change.GetOutput())
    writer.SetFileName(str(path))
    assert writer.Write()
    return path


def pixel_array(one: Dataset, frames: int) -> np.ndarray:
    stored = as_stored(one, frames)
    return stored if frames > 1 else stored[0]


COMPRESSED = [uid.RLELossless, uid.JPEG2000Lossless, uid.JPEGLSLossless, uid.JPEGLosslessSV1]


@pytest.mark.parametrize("signed", [False, True])
@pytest.mark.parametrize("frames", [1, 3])
@pytest.mark.parametrize("syntax", COMPRESSED)
def test_compressed_pixels_come_out(tmp_path: Path, syntax: uid.UID, frames: int, signed: bool) -> None:
    one = image(frames, signed=signed)
    expected = as_stored(one, frames)
    np.testing.assert_array_equal(read(compressed(tmp_path / "one", one, syntax, frames)), expected)


def test_bits_above_the_stored_ones_are_removed(tmp_path: Path) -> None:
    for signed, word, expected in ((False, 0xF123, 0x0123), (True, 0x0FFF, -1), (True, 0xF7FF, 0x7FF)):
        one = image(signed=signed)
        one.BitsStored, one.HighBit = 12, 11
        one.PixelData = np.full((44, 36), word, np.uint16).tobytes()
        assert set(np.unique(read(write_one(tmp_path / "one", one)))) == {expected}


def test_single_bits_are_unpacked_across_frames(tmp_path: Path) -> None:
    masks = np.random.default_rng(0).integers(0, 2, (3, 5, 7), dtype=np.uint8)
    one = image(3, (5, 7))
    one.BitsAllocated = one.BitsStored = 1
    one.HighBit = 0
    one.PixelData = np.packbits(masks.ravel(), bitorder="little").tobytes()
    np.testing.assert_array_equal(read(write_one(tmp_path / "one", one)), masks)


# ------------------------------------------------------------------ uncompressed, broken


def cut(one: Dataset) -> None:
    one.PixelData = one.PixelData[:-2]


def longer(one: Dataset) -> None:
    one.PixelData += b"\0\0"


def more_rows(one: Dataset) -> None:
    one.Rows += 1


def no_pixels(one: Dataset) -> None:
    del one.PixelData


def floats(one: Dataset) -> None:
    del one.PixelData
    one.FloatPixelData = bytes(4 * 44 * 36)


def change(**values: object) -> Edit:
    return lambda one: [setattr(one, keyword, value) for keyword, value in values.items()] and None


BROKEN: list[tuple[str, Edit]] = [
    ("short_pixels", cut),
    ("short_pixels", more_rows),
    ("long_pixels", longer),
    ("no_pixels", no_pixels),
    ("no_pixels", floats),
    ("no_pixels", change(Rows=0)),
    ("no_pixels", change(NumberOfFrames=0)),
    ("colour_pixels", change(SamplesPerPixel=3)),
    ("unsupported_pixels", change(BitsAllocated=12)),
    ("unsupported_pixels", change(BitsStored=17)),
    ("unsupported_pixels", change(HighBit=15)),
    ("unsupported_pixels", change(PixelRepresentation=7)),
]


@pytest.mark.parametrize(("reason", "edit"), BROKEN)
def test_broken_promises_are_refused(tmp_path: Path, reason: str, edit: Edit) -> None:
    one = image()
    edit(one)
    assert refused(write_one(tmp_path / "one", one)) == reason


def test_a_file_cut_in_its_pixels_is_refused(tmp_path: Path) -> None:
    path = write_one(tmp_path / "one", image())
    path.write_bytes(path.read_bytes()[:-40])
    assert refused(path) == "short_pixels"


def test_a_file_that_changed_is_refused(tmp_path: Path) -> None:
    header = read_header(write_one(tmp_path / "one", image()))
    assert refused(write_one(tmp_path / "one", image(shape=(36, 44))), header) == "changed_file"


def test_an_unknown_syntax_is_refused(tmp_path: Path) -> None:
    one = image()
    one.PixelData = encapsulate([bytes(100)])
    one["PixelData"].VR = "OB"
    one["PixelData"].is_undefined_length = True
    assert refused(write_one(tmp_path / "one", one, uid.MPEG2MPML)) == "unsupported_syntax"


# ------------------------------------------------------------------ compressed, broken


def rewrite(path: Path, edit: Callable[[list[bytes]], list[bytes]]) -> Path:
    """Puts other compressed frames into a file."""
    with quiet():
        one = dcmread(path)
        frames = list(generate_frames(one.PixelData, number_of_frames=one.get("NumberOfFrames", 1)))
        one.PixelData = encapsulate(edit(frames))
        one["PixelData"].is_undefined_length = True
        one.save_as(path)
    return path


def jpeg_of_size(frame: bytes, rows: int, columns: int) -> bytes:
    at = next(at for at in range(len(frame)) if frame[at] == 0xFF and frame[at + 1] in (0xC3, 0xF7))
    return frame[: at + 5] + struct.pack(">HH", rows, columns) + frame[at + 9 :]


def j2k_of_size(frame: bytes, rows: int, columns: int) -> bytes:
    return frame[:8] + struct.pack(">II", columns, rows) + frame[16:]


RESIZED = {uid.JPEG2000Lossless: j2k_of_size, uid.JPEGLSLossless: jpeg_of_size, uid.JPEGLosslessSV1: jpeg_of_size}


@pytest.mark.parametrize("syntax", RESIZED)
@pytest.mark.parametrize(("rows", "columns"), [(65000, 65000), (45, 36), (36, 44), (0, 36)])
def test_a_frame_of_other_dimensions_never_meets_a_decoder(
    tmp_path: Path, syntax: uid.UID, rows: int, columns: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = compressed(tmp_path / "one", image(), syntax, 1)
    rewrite(path, lambda frames: [RESIZED[syntax](frames[0], rows, columns)])
    monkeypatch.setattr("fedvoxel.dicom.pixels.get_decoder", None)
    countless = rows > 60_000 and syntax == uid.JPEG2000Lossless  # its tiles stay small
    assert refused(path) == ("undecodable_pixels" if countless else "pixel_dimensions")


def test_a_frame_of_rle_has_the_segments_and_the_size_that_its_pixels_need(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = compressed(tmp_path / "one", image(), uid.RLELossless, 1)
    with monkeypatch.context() as patch:
        patch.setattr(codestream, "MAX_RLE_BYTES", 100)
        assert refused(path) == "pixel_dimensions"
    rewrite(path, lambda frames: [struct.pack("<I", 15) + frames[0][4:]])
    assert refused(path) == "pixel_dimensions"


@pytest.mark.parametrize("syntax", COMPRESSED)
def test_damaged_frames_are_refused(tmp_path: Path, syntax: uid.UID) -> None:
    path = compressed(tmp_path / "one", image(), syntax, 1)
    written = path.read_bytes()
    for edit in (lambda frames: [bytes(60)], lambda frames: [frames[0][:3]], lambda frames: [frames[0][:70]]):
        path.write_bytes(written)
        assert refused(rewrite(path, edit)) in ("undecodable_pixels", "pixel_dimensions")


def test_a_jpeg_2000_of_countless_tiles_is_refused(tmp_path: Path) -> None:
    path = compressed(tmp_path / "one", image(shape=(400, 400)), uid.JPEG2000Lossless, 1)
    rewrite(path, lambda frames: [frames[0][:24] + struct.pack(">II", 1, 1) + frames[0][32:]])
    assert refused(path) == "undecodable_pixels"


@pytest.mark.parametrize(("kept", "reason"), [(2, "short_pixels"), (4, "long_pixels")])
def test_the_number_of_frames_must_be_as_promised(tmp_path: Path, kept: int, reason: str) -> None:
    path = compressed(tmp_path / "one", image(3), uid.RLELossless, 3)
    assert refused(rewrite(path, lambda frames: (frames + frames)[:kept])) == reason


def test_compressed_pixels_of_a_given_length_are_refused(tmp_path: Path) -> None:
    path = compressed(tmp_path / "one", image(), uid.RLELossless, 1)
    written = path.read_bytes()
    at = written.index(struct.pack("<HH2sHI", 0x7FE0, 0x0010, b"OB", 0, 0xFFFFFFFF))
    path.write_bytes(written[: at + 8] + struct.pack("<I", len(written) - at - 12) + written[at + 12 :])
    assert refused(path) == "malformed"


def test_stored_values_are_those_of_pydicom(data_folder: Path) -> None:
    compared, alone = 0, set()
    for path in sorted((data_folder / "dicom_odd").rglob("*")):
        try:
            found = read(path) if path.is_file() else None
        except DicomError:
            continue
        if found is None:
            continue
        try:
            with quiet():
                expected = dcmread(path).pixel_array
        except Exception:
            alone.add(path.name)  # pydicom gives up on it
            continue
        np.testing.assert_array_equal(found.reshape(expected.shape), expected)
        compared += 1
    assert compared > 150
    packed = {"liver_deflate", "liver_nonbyte_aligned_deflate", "liver_rle", "liver_nonbyte_aligned_rle"}
    assert alone == {f"{name}.dcm" for name in (*packed, "emri_small_jpeg_2k_lossless_too_short")}


def test_a_decoder_that_panics_is_a_refusal(monkeypatch: pytest.MonkeyPatch) -> None:
    class Panic(BaseException):
        """Is what a decoder in Rust raises."""

    def panics(_: str) -> None:
        raise Panic

    monkeypatch.setattr(pixels, "get_decoder", panics)
    with pytest.raises(DicomError, match="no decoder makes sense"):
        pixels._decoded(b"", RLELossless, PixelLayout(1, 2, 2, 8, 8, False))


def test_damaged_rle_is_refused_without_a_word(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    path = compressed(tmp_path / "one", image(), uid.RLELossless, 1)
    written = path.read_bytes()
    for offsets in ((64, 0), (64, 2**31), (64, 65), (2**32 - 1, 64)):
        path.write_bytes(written)
        rewrite(path, lambda frames, offsets=offsets: [struct.pack("<III", 2, *offsets) + frames[0][12:]])  # type: ignore[misc]
        assert refused(path) == "undecodable_pixels"
    for length in (64, 65, 66, 300):
        path.write_bytes(written)
        rewrite(path, lambda frames, length=length: [frames[0][:length]])  # type: ignore[misc]
        assert refused(path) == "undecodable_pixels"
    assert capfd.readouterr() == ("", "")
