"""Starts the model server; KServe is loaded here and nowhere before."""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from fedvoxel.errors import ConfigError
from fedvoxel.serving.answer import Answerer
from fedvoxel.serving.place import Place, listening


def start_server(answerer: Answerer, place: Place, on_ready: Callable[[int, int], None]) -> None:
    """Answers requests until the process is interrupted or asked to end.

    Args:
        answerer: What answers.
        place: Where to listen.
        on_ready: Is told the ports of REST and gRPC when both answer.

    Raises:
        ConfigError: KServe is not installed, or the address or a port cannot be used.
    """
    with listening(place) as listener:
        load_kserve()
        from fedvoxel.serving.package_server import serve

        serve(answerer, place, listener, on_ready)


def load_kserve() -> None:
    """Loads KServe, so that what needs it can be imported.

    Raises:
        ConfigError: It is not installed.
    """
    with _no_arguments():
        try:
            import kserve  # noqa: F401
        except ImportError as error:
            found = f"expected the package kserve, which is not installed or not whole ({error.name})"
            raise ConfigError(f"{found}; install it with: pip install '.[dicom,clinic,serve]'") from None


@contextmanager
def _no_arguments() -> Iterator[None]:
    """Hides this process's arguments: KServe takes those for its own as it is imported, and writes logs unless told."""
    arguments = sys.argv
    sys.argv = [*arguments[:1], "--configure_logging", "false"]
    try:
        yield
    finally:
        sys.argv = arguments
