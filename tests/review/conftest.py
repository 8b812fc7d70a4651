"""A browser for the tests of a file, and an end for the servers that a test started."""

from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser

from tests.review.browser import chromium
from tests.review.reading_sample import Page


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as started:
        yield started


@pytest.fixture(autouse=True)
def _close_pages() -> Iterator[None]:
    yield
    while Page.opened:
        Page.opened.pop().close()
