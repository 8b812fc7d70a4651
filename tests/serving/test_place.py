"""A server listens on this machine alone, and says what anything else means."""

import socket

import pytest

from fedvoxel.errors import ConfigError
from fedvoxel.serving.place import Place, listening


def test_it_listens_on_loopback_unless_it_is_told_otherwise() -> None:
    place = Place(http_port=0, grpc_port=0)
    assert place.warning is None
    with listening(place) as listener:
        assert listener.getsockname()[0] == "127.0.0.1"
        with socket.create_connection(listener.getsockname(), timeout=5):
            pass


@pytest.mark.parametrize("address", ["0.0.0.0", "192.0.2.7", "::"])  # noqa: S104
def test_a_wider_address_says_who_can_ask(address: str) -> None:
    warning = Place(address).warning
    assert warning is not None and address in warning and "unencrypted and without a sign-in" in warning


def test_addresses_are_written_as_urls_have_them() -> None:
    assert Place().at(80) == "127.0.0.1:80" and Place("::1").at(80) == "[::1]:80" and Place("::1").warning is None


@pytest.mark.parametrize("option", ["http_port", "grpc_port"])
def test_a_port_in_use_is_told(option: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        place = Place(**{"http_port": 0, "grpc_port": 0, option: other.getsockname()[1]})  # type: ignore[arg-type]
        with pytest.raises(ConfigError, match=f"--{option.replace('_', '-')}"), listening(place):
            pass


@pytest.mark.parametrize("wrong", [("localhost", 1, 2), ("", 1, 2), ("127.0.0.1", 8080, 8080)])
def test_what_is_no_place_is_refused(wrong: tuple[str, int, int]) -> None:
    with pytest.raises(ConfigError, match="expected"):
        Place(*wrong)
