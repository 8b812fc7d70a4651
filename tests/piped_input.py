"""Standard input as it most often is."""

import os
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def piped(text: str) -> Iterator[None]:
    """Has standard input be the end of a pipe, as behind `echo … |`."""
    saved, (source, sink) = os.dup(0), os.pipe()
    os.write(sink, text.encode())
    os.close(sink)
    os.dup2(source, 0)
    os.close(source)
    try:
        yield
    finally:
        os.dup2(saved, 0)
        os.close(saved)
