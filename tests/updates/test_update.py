"""What the server accepts as an update, and files of arrays that cannot run code."""

import io
import tracemalloc
import zipfile
from pathlib import Path

import numpy as np
import pytest

from fedvoxel.errors import UpdateError
from fedvoxel.updates.update import MAX_CASES, check_case_count, check_layout, check_values, layout_of
from fedvoxel.updates.weights_file import from_bytes, load_weights, save_weights, to_bytes

ARRAYS = {"encoder.0.weight": np.arange(6, dtype=np.float32).reshape(2, 3), "bias": np.zeros(2, np.float32)}


def test_arrays_make_the_round_trip_through_a_file(tmp_path: Path) -> None:
    save_weights(tmp_path / "model.npz", ARRAYS)
    loaded = load_weights(tmp_path / "model.npz")
    assert layout_of(loaded) == layout_of(ARRAYS)
    assert all(np.array_equal(loaded[name], ARRAYS[name]) for name in ARRAYS)


@pytest.mark.parametrize("content", [b"", b"not a zip", to_bytes(ARRAYS)[:100]])
def test_what_is_no_archive_is_refused(content: bytes) -> None:
    with pytest.raises(UpdateError, match=r"expected an \.npz"):
        from_bytes(content)


def test_a_pickle_inside_an_archive_is_refused() -> None:
    stream = io.BytesIO()
    np.savez(stream, evil=np.array([{"a": 1}], dtype=object))
    with pytest.raises(UpdateError, match="plain arrays"):
        from_bytes(stream.getvalue())


def _npz(name: str, content: bytes, method: int = zipfile.ZIP_STORED) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", method) as archive:
        archive.writestr(name, content)
    return stream.getvalue()


def _npy(shape: tuple[int, ...], values: bytes) -> bytes:
    header = repr({"descr": "<f4", "fortran_order": False, "shape": shape}).encode() + b"\n"
    return b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header + values


@pytest.mark.parametrize(
    "content",
    [
        _npz("a.npy", _npy((2**40,), bytes(16))),
        _npz("a.npy", _npy((-4,), bytes(16))),
        _npz("a.npy", _npy((10**7,), bytes(4 * 10**7)), zipfile.ZIP_DEFLATED),
        _npz("a.npy", _npy((4,), bytes(16)), zipfile.ZIP_LZMA),
        _npz("a.npy", b"\x93NUMPY\x01\x00\x10\x00" + b"(" * 16),
        _npz("a", _npy((4,), bytes(16))),
        _npz("a.npy", b"text"),
    ],
)
def test_a_file_of_arrays_takes_no_more_memory_than_it_has_bytes(content: bytes) -> None:
    assert from_bytes(_npz("a.npy", _npy((4,), bytes(16))))["a"].shape == (4,)
    tracemalloc.start()
    try:
        with pytest.raises(UpdateError, match=r"expected an \.npz") as caught:
            from_bytes(content)
        assert tracemalloc.get_traced_memory()[1] < 2**20 and "\n" not in str(caught.value)
    finally:
        tracemalloc.stop()


def test_what_is_larger_than_any_model_is_not_read(tmp_path: Path) -> None:
    with (tmp_path / "model.npz").open("wb") as stream:
        stream.truncate(2**36)
    with pytest.raises(UpdateError, match=r"model\.npz cannot be read"):
        load_weights(tmp_path / "model.npz")


def test_a_missing_file_is_said_without_its_folder(tmp_path: Path) -> None:
    with pytest.raises(UpdateError, match=r"model\.npz") as caught:
        load_weights(tmp_path / "model.npz")
    assert str(tmp_path) not in str(caught.value)


@pytest.mark.parametrize("count", [1, 17, MAX_CASES])
def test_whole_numbers_of_cases_are_weights(count: int) -> None:
    assert check_case_count(count) == count


@pytest.mark.parametrize("count", [0, -1, MAX_CASES + 1, 1.0, "3", None, True, float("nan")])
def test_anything_else_is_no_weight(count) -> None:
    with pytest.raises(UpdateError, match="absurd weight"):
        check_case_count(count)


def test_layout_and_values_name_the_array() -> None:
    with pytest.raises(UpdateError, match=r"wrong shape: bias should be \(3,\), got \(2,\)"):
        check_layout(ARRAYS, {**layout_of(ARRAYS), "bias": (3,)})
    with pytest.raises(UpdateError, match="non-finite values in bias"):
        check_values({"bias": np.array([np.nan], np.float32)})
    with pytest.raises(UpdateError, match="wrong type: bias"):
        check_values({"bias": [1.0, 2.0]})
