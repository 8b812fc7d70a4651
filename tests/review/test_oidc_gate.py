"""A published page answers under its published address alone, whatever a proxy or a neighbour says."""

from pathlib import Path

import httpx
import pytest

from fedvoxel.review.page_address import on_loopback, published_at
from fedvoxel.review.server import uvicorn_settings
from tests.review.hospital_provider import hospital_provider
from tests.review.oidc_sample import published, sign_in
from tests.review.reading_sample import Page, desk_of, write_reading

HOST, ORIGIN = "review.hospital.example", "https://review.hospital.example"
ISSUER = "https://login.hospital.example"
COOKIE = "__Host-fedvoxel-review-443"
VISIT = "/api/cases/case-000000000000/visit"


@pytest.fixture
def page(tmp_path: Path) -> Page:
    """A page as a proxy asks it: with the published Host, over loopback; anna is in."""
    page = published(tmp_path, ISSUER, public_url=ORIGIN)
    page.client.headers["host"] = HOST
    page.client.headers["cookie"] = f"{COOKIE}={page.access.admit('anna')}"
    return page


@pytest.mark.parametrize(
    ("url", "host", "origin", "cookie", "secure"),
    [
        (ORIGIN, HOST, ORIGIN, COOKIE, True),
        ("https://Review.Hospital.Example:443", HOST, ORIGIN, COOKIE, True),
        (f"{ORIGIN}:8443", f"{HOST}:8443", f"{ORIGIN}:8443", "__Host-fedvoxel-review-8443", True),
        ("http://localhost:80", "localhost", "http://localhost", "fedvoxel-review-80", False),
        ("http://[::1]:8000", "[::1]:8000", "http://[::1]:8000", "fedvoxel-review-8000", False),
    ],
)
def test_an_address_is_what_browsers_send(url: str, host: str, origin: str, cookie: str, secure: bool) -> None:
    address = published_at(url)
    assert (dict(address.origins), address.cookie, address.secure) == ({host: origin}, cookie, secure)


@pytest.mark.parametrize(
    "host", ["evil.example", "127.0.0.1:PORT", "localhost:PORT", f"{HOST}:443", f"{HOST}:PORT", f"{HOST}.evil.example"]
)
@pytest.mark.parametrize("path", ["/", "/sign-in", "/signed-in", "/api/reading", "/static/theme.css"])
def test_a_foreign_host_is_refused(page: Page, host: str, path: str) -> None:
    headers = {
        "host": host.replace("PORT", str(page.port)),
        "forwarded": f"host={HOST};proto=https",
        "x-forwarded-host": HOST,
        "x-forwarded-proto": "https",
    }
    assert page.client.get(path, headers=headers).status_code == 421


def test_what_another_page_posts_is_refused(page: Page) -> None:
    foreign = (None, "null", "https://evil.example", f"http://{HOST}", f"{ORIGIN}:444", page.host)
    for path in (VISIT, "/api/sign-out"):
        for origin in foreign:
            headers = {"origin": origin} if origin else {}
            assert page.client.post(path, headers=headers).status_code == 403
    assert page.client.post(VISIT, headers={"origin": ORIGIN}).status_code == 200


def test_forwarded_headers_change_nothing(page: Page) -> None:
    assert uvicorn_settings()["proxy_headers"] is False
    headers = {"x-forwarded-host": "evil.example", "x-forwarded-proto": "http", "x-forwarded-for": "127.0.0.1"}
    assert page.client.get("/api/reading", headers=headers).status_code == 200
    del page.client.headers["cookie"]
    answer = page.client.get("/", headers=headers)
    assert (answer.status_code, answer.headers["location"]) == (303, "/sign-in")


def test_other_sites_may_lead_here_and_draw_nothing_in(page: Page) -> None:
    def asked(path: str, site: str, dest: str) -> int:
        return page.client.get(path, headers={"sec-fetch-site": site, "sec-fetch-dest": dest}).status_code

    for site in ("cross-site", "same-site"):
        assert asked("/", site, "document") == 200
        assert [asked("/", site, dest) for dest in ("iframe", "image", "script", "empty")] == [403] * 4
        assert asked("/signed-in", site, "document") == 400
        assert [asked("/sign-in", site, dest) for dest in ("image", "iframe")] == [403, 403]
        assert [asked(path, site, "document") for path in ("/case", "/api/reading", "/signed-out")] == [403] * 3


def test_without_a_session_nothing_is_told(page: Page) -> None:
    page.client.headers["cookie"] = f"{COOKIE}=guessed; fedvoxel-review-{page.port}=guessed"
    for path in ("/", "/case", "/three"):
        answer = page.client.get(path)
        assert (answer.status_code, answer.headers["location"]) == (303, "/sign-in")
    for path in ("/api/reading", "/static/case.js", "/viewer/niivue.umd.js", "/nowhere", "/enter?token=none"):
        answer = page.client.get(path)
        assert answer.status_code == 401 and "sign in" in answer.text
    assert page.client.get("/static/theme.css").status_code == 200


def test_no_links_with_tokens_exist(page: Page) -> None:
    token = page.access.invite("anna")
    answer = page.client.get(f"/enter?token={token}")
    assert answer.status_code == 404 and "set-cookie" not in answer.headers
    assert page.client.get(f"/enter?token={token}", headers={"cookie": ""}).status_code == 401


@pytest.mark.parametrize("path", ["/", "/sign-in", "/signed-in", "/signed-out"])
def test_every_answer_is_closed_to_the_outside(page: Page, path: str) -> None:
    answer = page.client.get(path)
    policy = answer.headers["content-security-policy"]
    assert "default-src 'none'" in policy and "form-action 'none'" in policy and "unsafe" not in policy
    assert (answer.headers["cache-control"], answer.headers["x-frame-options"]) == ("no-store", "DENY")
    assert "<script" not in answer.text or path == "/"


def test_cookies_of_a_published_page_travel_over_tls_only(tmp_path: Path) -> None:
    with hospital_provider() as provider:
        page = published(tmp_path, provider.issuer, public_url=ORIGIN)
        page.client.headers["host"] = HOST
        begun = page.get("/sign-in")
        pending = begun.headers["set-cookie"]
        back = httpx.URL(page.client.get(begun.headers["location"], headers={"host": "localhost"}).headers["location"])
        page.client.headers["cookie"] = pending.split(";")[0]
        given, taken = page.get(back.raw_path.decode()).headers.get_list("set-cookie")
    for cookie in (pending, given, taken):
        assert cookie.startswith(COOKIE) and "; Secure" in cookie and "; Path=/" in cookie and "Domain" not in cookie
    assert back.host == HOST and "SameSite=strict" in given


def test_signing_out_ends_a_session_of_a_link_too(tmp_path: Path) -> None:
    page = Page(desk_of(write_reading(tmp_path / "prepared", cases=1), tmp_path / "study"))
    assert on_loopback(page.port) == page.way.address
    assert page.post("/api/sign-out").status_code == 200
    assert page.get("/").status_code == 401
    assert "newest link" in page.get("/signed-out").text


def test_a_second_sign_in_is_a_session_of_its_own(tmp_path: Path) -> None:
    with hospital_provider() as provider:
        page = published(tmp_path, provider.issuer)
        name = page.way.address.cookie
        sign_in(page)
        first = page.client.cookies[name]
        sign_in(page)
        assert page.client.cookies[name] != first
        page.post("/api/sign-out")
        page.client.cookies.set(name, first)
        assert page.get("/api/reading").status_code == 200
