import tracemalloc
import zlib

import numpy as np
import pytest
from pydicom.uid import JPEG2000Lossless, RLELossless

from fedvoxel.dicom.packed_frame import DEFLATED_FRAMES, decode_packed, is_packed
from fedvoxel.dicom.pixel_layout import PixelLayout
from fedvoxel.errors import DicomError


def layout(bits: int, rows: int = 7, columns: int = 5) -> PixelLayout:
    return PixelLayout(1, rows, columns, bits, bits, False)


def deflated(content: bytes) -> bytes:
    machine = zlib.compressobj(wbits=-15)
    return machine.compress(content) + machine.flush()


def rle(runs: bytes) -> bytes:
    return (1).to_bytes(4, "little") + (64).to_bytes(4, "little") + bytes(56) + runs


@pytest.mark.parametrize("bits", [1, 8, 16])
def test_deflated_frames_come_back(bits: int) -> None:
    values = np.random.default_rng(0).integers(0, 2 if bits == 1 else 2**bits, (7, 5)).astype(f"u{max(bits // 8, 1)}")
    content = np.packbits(values.ravel(), bitorder="little").tobytes() if bits == 1 else values.tobytes()
    assert np.array_equal(decode_packed(deflated(content), DEFLATED_FRAMES, layout(bits)), values)


def test_runs_of_packed_bits() -> None:
    # Three bytes as they are, two times the same, a byte of nothing: 35 bits in five bytes.
    runs = bytes([2, 0b1, 0b10, 0b11, 128, 255, 0b101])
    expected = np.unpackbits(np.array([1, 2, 3, 5, 5], np.uint8), count=35, bitorder="little").reshape(7, 5)
    assert np.array_equal(decode_packed(rle(runs), RLELossless, layout(1)), expected)


def test_only_what_pydicom_leaves_alone_is_taken() -> None:
    assert is_packed(RLELossless, layout(1)) and is_packed(DEFLATED_FRAMES, layout(16))
    assert not is_packed(RLELossless, layout(8)) and not is_packed(JPEG2000Lossless, layout(1))


@pytest.mark.parametrize(
    ("frame", "syntax"),
    [
        (b"", DEFLATED_FRAMES),
        (b"\xff" * 20, DEFLATED_FRAMES),
        (deflated(b"abcd"), DEFLATED_FRAMES),
        (deflated(bytes(35))[:-3], DEFLATED_FRAMES),
        (b"", RLELossless),
        (rle(b""), RLELossless),
        (rle(bytes([5, 1, 2])), RLELossless),
        (rle(bytes([128] * 50)), RLELossless),
        (rle(bytes([255])), RLELossless),
    ],
)
def test_a_frame_that_is_too_short_is_refused(frame: bytes, syntax: str) -> None:
    bits = 8 if syntax == DEFLATED_FRAMES else 1
    with pytest.raises(DicomError) as caught:
        decode_packed(frame, syntax, layout(bits))
    assert caught.value.reason == "undecodable_pixels"


def test_a_bomb_is_not_blown_up() -> None:
    bomb, runs = deflated(bytes(2**26)), rle(bytes([129, 7] * 100_000))
    tracemalloc.start()
    decode_packed(bomb, DEFLATED_FRAMES, layout(8))
    decode_packed(runs, RLELossless, layout(1))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 2**20
