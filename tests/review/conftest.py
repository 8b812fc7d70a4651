"""Ends the servers that a test started."""

from collections.abc import Iterator

import pytest

from tests.review.reading_sample import Page


@pytest.fixture(autouse=True)
def _close_pages() -> Iterator[None]:
    yield
    while Page.opened:
        Page.opened.pop().close()
