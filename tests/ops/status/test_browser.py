"""A real browser with a certificate of the consortium: the page asks for nothing outside, and stays fresh."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Error, Page

from fedvoxel.governance.kit import Kit
from tests.axe import axe_script, faults_of
from tests.ops.status.status_sample import IT, OPERATOR, RUN, Sample, under_way
from tests.ops.status.status_server import pair_of, served
from tests.review.browser import chromium

SIZE = {"width": 1200, "height": 900}


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as started:
        yield started


@pytest.fixture(scope="module")
def axe() -> str:
    return axe_script()


@dataclass
class Window:
    """Is a window, what it complained of, and what it asked for."""

    page: Page
    complaints: list[str] = field(default_factory=list)
    addresses: list[str] = field(default_factory=list)

    def open(self, url: str) -> None:
        self.page.goto(url)
        self.page.wait_for_selector("body[data-ready=yes]")


@contextmanager
def window_of(browser: Browser, sample: Sample, name: str | None, url: str, scheme: str = "light") -> Iterator[Window]:
    """Opens a window that shows the certificate of `name`; its server is told by its root in the other tests."""
    shown = []
    if name is not None:
        certificate, key = pair_of(sample.startup(name))
        shown = [{"origin": url, "certPath": str(certificate), "keyPath": str(key)}]
    context = browser.new_context(
        viewport=SIZE,  # type: ignore[arg-type]
        client_certificates=shown,  # type: ignore[arg-type]
        ignore_https_errors=True,
        color_scheme=scheme,  # type: ignore[arg-type]
    )
    page = context.new_page()
    window = Window(page)
    page.on("console", lambda said: window.complaints.append(said.text) if said.type == "error" else None)
    page.on("pageerror", lambda error: window.complaints.append(str(error)))
    page.on("request", lambda request: window.addresses.append(request.url))
    try:
        yield window
    finally:
        context.close()


def test_a_hospital_sees_its_own_line_and_nothing_outside_is_asked_for(
    browser: Browser, sample: Sample, kit: Kit
) -> None:
    under_way(kit.state, datetime.now(UTC))
    with served(kit) as url, window_of(browser, sample, IT, url) as window:
        window.open(url)
        assert "hippocampus_fedavg" in window.page.inner_text("main .card >> nth=0")
        assert window.page.locator("main .card >> nth=0").locator("tbody tr").count() == 1
        assert window.page.locator(".card >> nth=0").locator("svg polyline").count() == 2
        assert window.page.locator("svg >> nth=0").bounding_box()["width"] > 600  # type: ignore[index]
        assert "hospital-b" not in window.page.content() and "hospital-c" not in window.page.content()
        assert window.complaints == [] and all(address.startswith(url) for address in window.addresses)


def test_the_operator_sees_all_hospitals(browser: Browser, sample: Sample, kit: Kit) -> None:
    under_way(kit.state, datetime.now(UTC))
    with served(kit) as url, window_of(browser, sample, OPERATOR, url) as window:
        window.open(url)
        assert window.page.locator(".card >> nth=0").locator("tbody tr").count() == 4
        assert "trainer ended with signal 9" in window.page.inner_text("main")
        assert window.complaints == []


def test_without_a_certificate_the_browser_gets_nothing(browser: Browser, sample: Sample, kit: Kit) -> None:
    with (
        served(kit) as url,
        window_of(browser, sample, None, url) as window,
        pytest.raises(Error, match="net::ERR"),
    ):
        window.page.goto(url)


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("name", [IT, OPERATOR])
def test_axe_finds_no_fault(name: str, scheme: str, browser: Browser, sample: Sample, kit: Kit, axe: str) -> None:
    under_way(kit.state, datetime.now(UTC))
    (kit.state / "halted").touch()
    (kit.state / "privacy/server.jsonl").write_text("damaged\n")
    with served(kit) as url, window_of(browser, sample, name, url, scheme) as window:
        window.open(url)
        for summary in window.page.locator("summary").all():
            summary.click()
        assert faults_of(window.page, axe) == []
        window.page.evaluate("document.querySelector('#pause').insertAdjacentHTML('afterend', '<button></button>')")
        assert any("button-name" in fault for fault in faults_of(window.page, axe)), "axe would find one"


def test_the_page_brings_itself_up_to_date_and_can_be_told_not_to(browser: Browser, sample: Sample, kit: Kit) -> None:
    under_way(kit.state, datetime.now(UTC))
    view = kit.state / "runs" / RUN / "view.json"
    with served(kit) as url, window_of(browser, sample, IT, url) as window:
        window.page.clock.install()
        window.open(url)
        window.page.click("summary >> nth=0")
        window.page.evaluate("document.activeElement.blur()")
        view.write_text(view.read_text().replace('"phase": "training"', '"phase": "validation"'))
        window.page.click("#pause")
        window.page.clock.run_for(30_000)
        assert "round 7, training" in window.page.inner_text("main")
        window.page.wait_for_timeout(0)
        window.page.click("#pause")
        with window.page.expect_response(f"{url}/"):
            window.page.clock.run_for(11_000)
        window.page.wait_for_selector("text=round 7, validation")
        assert window.page.locator("details >> nth=0").get_attribute("open") is not None, "what was open stays open"


def test_who_is_revoked_while_they_look_sees_no_more(browser: Browser, sample: Sample, kit: Kit) -> None:
    with served(kit) as url, window_of(browser, sample, IT, url) as window:
        window.page.clock.install()
        window.open(url)
        (kit.startup / "crl.pem").unlink()
        with window.page.expect_response(f"{url}/"):
            window.page.clock.run_for(11_000)
        window.page.wait_for_selector("text=Your certificate does not open this page")
        assert "hippocampus" not in window.page.inner_text("body")


def test_a_server_that_is_gone_is_said(browser: Browser, sample: Sample, kit: Kit) -> None:
    with served(kit) as url, window_of(browser, sample, IT, url) as window:
        window.page.clock.install()
        window.open(url)
        window.page.route("**/*", lambda route: route.abort())
        window.page.clock.run_for(11_000)
        window.page.wait_for_selector("text=what you see is old")


def test_all_of_it_can_be_reached_by_keyboard_and_fits_on_a_telephone(
    browser: Browser, sample: Sample, kit: Kit, tmp_path: Path
) -> None:
    with served(kit) as url, window_of(browser, sample, OPERATOR, url) as window:
        window.open(url)
        window.page.set_viewport_size({"width": 380, "height": 760})
        assert window.page.evaluate("document.documentElement.scrollWidth <= innerWidth")
        reached = set()
        for _ in range(20):
            window.page.keyboard.press("Tab")
            reached.add(
                window.page.evaluate(
                    "document.activeElement.id || document.activeElement.ariaLabel || document.activeElement.tagName"
                )
            )
        assert {"pause", "SUMMARY", "Sites"} <= reached
