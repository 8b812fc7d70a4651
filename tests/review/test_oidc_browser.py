"""A reader signs in with a real browser, over TLS through a proxy, at a provider that somebody else wrote."""

import re
import socket
import ssl
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import httpx
import pytest
from playwright.sync_api import Browser, BrowserContext, Page

from tests.review.browser import WAIT_MS
from tests.review.oidc_sample import published
from tests.review.reading_sample import Page as Server
from tests.tls_files import Authority, Identity

READERS = {"anna": "a.miller", "ben": "b.smith"}


@contextmanager
def foreign_provider() -> Iterator[str]:
    """Starts oidc-provider-mock in a process of its own; yields its address, another site than localhost."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    command = [
        sys.executable,
        "-W",
        "ignore",
        "-m",
        "oidc_provider_mock",
        "--port",
        str(port),
        "--require-nonce",
        "true",
    ]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    address = f"http://127.0.0.1:{port}"
    try:
        for _ in range(300):
            with suppress(httpx.HTTPError):
                httpx.get(f"{address}/jwks")
                break
            assert process.poll() is None
            time.sleep(0.1)
        yield address
    finally:
        process.terminate()
        process.wait(30)


@contextmanager
def tls_proxy(identity: Identity, port_of: list[int]) -> Iterator[int]:
    """Takes TLS off what a browser sends and passes the rest on as it is, Host and all; yields its port."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(identity.certificate, identity.key)
    listener = socket.create_server(("127.0.0.1", 0))

    def pump(source: socket.socket, sink: socket.socket) -> None:
        with suppress(OSError):
            while piece := source.recv(65536):
                sink.sendall(piece)
        with suppress(OSError):
            sink.shutdown(socket.SHUT_WR)

    def serve(plain: socket.socket) -> None:
        inside = ("127.0.0.1", port_of[0])
        with (
            suppress(OSError),
            context.wrap_socket(plain, server_side=True) as outer,
            socket.create_connection(inside) as inner,
        ):
            back = threading.Thread(target=pump, args=(inner, outer), daemon=True)
            back.start()
            pump(outer, inner)
            back.join()

    def accept() -> None:
        with suppress(OSError):
            while True:
                threading.Thread(target=serve, args=(listener.accept()[0],), daemon=True).start()

    thread = threading.Thread(target=accept)
    thread.start()
    try:
        yield listener.getsockname()[1]
    finally:
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        thread.join()


@pytest.fixture
def issuer() -> Iterator[str]:
    with foreign_provider() as address:
        yield address


@pytest.fixture
def server(tmp_path: Path, issuer: str) -> Iterator[Server]:
    identity, port = Authority(tmp_path / "ca").issue("proxy"), [0]
    with tls_proxy(identity, port) as public:
        started = published(tmp_path, issuer, "any", readers=READERS, public_url=f"https://localhost:{public}")
        port[0] = started.port
        started.host = f"https://localhost:{public}"
        yield started


def context_of(browser: Browser) -> BrowserContext:
    """Returns a browser that knows nobody, and reaches this machine only (the provider's own page asks for more)."""
    context = browser.new_context(ignore_https_errors=True)
    context.route(re.compile(r"^https?://(?!127\.0\.0\.1:|localhost:)"), lambda route: route.abort())
    return context


def sign_in(page: Page, person: str) -> None:
    page.wait_for_selector("text=Authorize Client")
    page.fill("input[name=sub]", person)
    page.click("button:text-is('Authorize')")


def test_a_reader_signs_in_reads_and_signs_out(browser: Browser, server: Server, issuer: str) -> None:
    context = context_of(browser)
    page = context.new_page()
    addresses: list[str] = []
    page.on("request", lambda one: addresses.append(one.url) if one.frame.url.startswith(server.host) else None)
    page.goto(server.host)
    assert page.url.startswith(f"{issuer}/oauth2/authorize?")
    sign_in(page, "b.smith")
    page.wait_for_selector("#cases tr", timeout=WAIT_MS)
    assert page.url == f"{server.host}/" and page.inner_text("#reader") == "ben"
    cookies = {cookie["name"]: cookie for cookie in context.cookies(server.host)}
    ((name, cookie),) = cookies.items()  # the one of the sign-in is gone
    assert name.startswith("__Host-fedvoxel-review-") and cookie["sameSite"] == "Strict"
    assert cookie["secure"] and cookie["httpOnly"]
    page.click("#continue")
    page.wait_for_selector("body[data-ready=yes]", timeout=WAIT_MS)
    page.goto(server.host)
    page.click("#sign-out")
    page.wait_for_selector("h1:text-is('Signed out')")
    assert context.cookies(server.host) == []
    page.click("text=Sign in as somebody else")
    assert page.url.startswith(f"{issuer}/oauth2/authorize?") and "prompt=login" in page.url
    assert addresses and [one for one in addresses if not one.startswith((server.host, issuer, "blob:"))] == []
    context.close()


def test_who_comes_from_another_page_signs_in_and_a_stranger_is_told(
    browser: Browser, server: Server, issuer: str
) -> None:
    context = context_of(browser)
    page = context.new_page()
    page.goto(f"{issuer}/")  # another site, as the hospital's own start page is
    page.evaluate("address => { location = address; }", server.host)
    page.wait_for_url(re.compile(re.escape(issuer) + "/oauth2/authorize"))
    sign_in(page, "mallory")
    page.wait_for_selector("text=you are no reader of this study")
    assert page.locator("text=mallory").count() == 0
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(16, 18, 20)"
    page.click("text=Sign in as somebody else")
    sign_in(page, "a.miller")
    page.wait_for_selector("#cases tr", timeout=WAIT_MS)
    assert page.inner_text("#reader") == "anna"
    page.goto(f"{issuer}/")
    page.evaluate("address => { location = address; }", server.host)  # a strict cookie stays at home: once more
    page.wait_for_url(re.compile(re.escape(issuer) + "/oauth2/authorize"))
    context.close()
