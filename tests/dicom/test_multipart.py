"""Multipart messages, however the network cuts them into pieces."""

from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fedvoxel.dicom.multipart import MAX_PART_HEADER_BYTES, boundary_of, parts, related
from fedvoxel.errors import DicomError


def pieces(message: bytes, size: int) -> Iterator[bytes]:
    return (message[at : at + size] for at in range(0, len(message), size))


def read(message: bytes, boundary: bytes, size: int = 7) -> list[bytes]:
    return [b"".join(part) for part in parts(pieces(message, size), boundary)]


@given(st.lists(st.binary(max_size=60) | st.just(b"\r\n--\r\n\r\n--"), max_size=5), st.integers(1, 90))
def test_what_is_put_together_is_taken_apart(contents: list[bytes], size: int) -> None:
    kind, message = related(contents)
    if contents:
        assert read(message, boundary_of(kind), size) == contents


@given(st.lists(st.binary(max_size=60), min_size=1, max_size=3), st.integers(1, 90), st.data())
def test_a_message_that_ends_early_is_never_whole(contents: list[bytes], size: int, data: st.DataObject) -> None:
    kind, message = related(contents)
    end = len(message) - len(b"--\r\n")
    cut = message[: data.draw(st.integers(0, end))]
    taken: list[bytes] = []
    with pytest.raises(DicomError) as refused:
        taken.extend(b"".join(part) for part in parts(pieces(cut, size), boundary_of(kind)))
    assert refused.value.reason == "pacs_cut_off"
    assert taken == contents[: len(taken)]


def test_a_preamble_an_epilogue_and_no_headers_are_read_over() -> None:
    message = b"preamble\r\n--b\r\n\r\none\r\n--b  \r\nContent-Type: x\r\n\r\ntwo\r\n--b--\r\nepilogue"
    assert read(message, b"b") == [b"one", b"two"]
    assert read(b"--b\r\n\r\none\r\n--b--", b"b") == [b"one"]


def test_headers_without_end_are_not_kept() -> None:
    with pytest.raises(DicomError, match="no end of its header lines"):
        read(b"--b\r\n" + b"x" * (2 * MAX_PART_HEADER_BYTES), b"b", 1000)


@pytest.mark.parametrize("kind", ["", "text/html", "multipart/related", 'multipart/mixed; boundary="b"'])
def test_other_kinds_of_answers_are_refused(kind: str) -> None:
    with pytest.raises(DicomError, match="expected a multipart answer"):
        boundary_of(kind)


def test_a_boundary_may_be_quoted() -> None:
    assert boundary_of('Multipart/Related; type="application/dicom"; Boundary="a b"') == b"a b"
