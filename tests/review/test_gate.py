"""Who does not come with this server's own cookie, from its own page, gets nothing."""

import re
from pathlib import Path

import pytest

from fedvoxel.review.gate import MOST_BODY_BYTES
from tests.review.reading_sample import Page, desk_of, write_reading

CASE = "case-000000000000"


@pytest.fixture
def page(tmp_path: Path) -> Page:
    return Page(desk_of(write_reading(tmp_path / "prepared"), tmp_path / "study"))


def test_a_link_works_once_and_the_next_one_is_told_elsewhere(page: Page) -> None:
    told: list[tuple[str, str]] = []
    page.access._on_new_link = lambda reader, token: told.append((reader, token))
    token = page.access.invite("anna")
    page.client.cookies.clear()
    answer = page.get(f"/enter?token={token}")
    assert (answer.status_code, answer.headers["location"]) == (303, "/")
    cookie = answer.headers["set-cookie"]
    assert f"fedvoxel-review-{page.port}=" in cookie and "HttpOnly" in cookie and "SameSite=strict" in cookie
    assert page.get("/").status_code == 200
    page.client.cookies.clear()
    assert page.get(f"/enter?token={token}").status_code == 401
    assert page.get("/").status_code == 401
    ((reader, following),) = told
    assert reader == "anna" and token not in answer.text and following not in answer.text
    assert page.get(f"/enter?token={following}").status_code == 303


@pytest.mark.parametrize(
    "path",
    [
        "/",
        "/case",
        "/three",
        "/static/case.js",
        "/viewer/niivue.umd.js",
        "/api/reading",
        f"/api/cases/{CASE}/image/axial/1.png",
    ],
)
def test_without_the_cookie_nothing_is_told(page: Page, path: str) -> None:
    page.client.cookies.clear()
    answer = page.get(path)
    assert answer.status_code == 401 and "fedvoxel review" in answer.text
    page.client.cookies.set(f"fedvoxel-review-{page.port}", "guessed")
    assert page.get(path).status_code == 401


@pytest.mark.parametrize("host", ["evil.example", "evil.example:8765", "127.0.0.1", "127.0.0.1:9", ""])
def test_a_foreign_host_is_refused(page: Page, host: str) -> None:
    assert page.client.get("/api/reading", headers={"host": host}).status_code == 421


@pytest.mark.parametrize(
    "origin", [None, "null", "http://evil.example", "http://127.0.0.1:9", "https://127.0.0.1:PORT"]
)
def test_what_another_page_posts_is_refused(page: Page, origin: str | None) -> None:
    origin = origin and origin.replace("PORT", str(page.port))
    headers = {"origin": origin} if origin else {}
    assert page.client.post(f"/api/cases/{CASE}/visit", headers=headers).status_code == 403
    assert page.client.post(f"/api/cases/{CASE}/visit", headers={"origin": page.host}).status_code == 200


def test_what_another_site_embeds_or_asks_for_is_refused(page: Page) -> None:
    for site in ("cross-site", "same-site"):
        assert page.client.get("/api/reading", headers={"sec-fetch-site": site}).status_code == 403
    assert page.client.put("/api/reading", headers={"origin": page.host}).status_code == 403
    assert page.client.get("/api/reading", headers={"sec-fetch-site": "same-origin"}).status_code == 200


def test_a_body_that_is_too_large_is_refused(page: Page) -> None:
    answer = page.client.post("/api/reading", content=b"x" * (MOST_BODY_BYTES + 1), headers={"origin": page.host})
    assert answer.status_code == 413
    pieces = page.client.post("/api/reading", content=iter([b"x"]), headers={"origin": page.host})
    assert pieces.status_code == 413


@pytest.mark.parametrize(
    "path", ["/", "/api/reading", "/enter?token=no", "/nowhere", f"/api/cases/{CASE}/image/axial/1.png?low=0&high=9"]
)
def test_every_answer_is_closed_to_the_outside(page: Page, path: str) -> None:
    headers = page.get(path).headers
    policy = dict(part.strip().split(" ", 1) for part in headers["content-security-policy"].split(";"))
    assert policy["default-src"] == policy["form-action"] == policy["frame-ancestors"] == "'none'"
    assert policy["script-src"] == policy["style-src"] == policy["connect-src"] == "'self'"
    assert "unsafe" not in headers["content-security-policy"]
    assert headers["cache-control"] == "no-store"
    assert (headers["referrer-policy"], headers["x-content-type-options"]) == ("no-referrer", "nosniff")


def test_no_page_asks_for_anything_outside() -> None:
    static = Path(__file__).resolve().parents[2] / "app_custom/fedvoxel/review/static"
    for path in static.iterdir():
        text = path.read_text().replace("http://www.w3.org/2000/svg", "")
        assert not re.search(r"https?://|//cdn|\binnerHTML\b|\beval\(|\son\w+=|style=\"", text), path.name


@pytest.mark.parametrize("name", ["../app.py", "..%2fapp.py", "%2e%2e/app.py", "none.js", "case", ".hidden.js"])
def test_no_other_file_is_served(page: Page, name: str) -> None:
    assert page.get(f"/static/{name}").status_code == 404


@pytest.mark.parametrize("length", ["\u00b2", "9" * 5000, "-1", "", "1e3", "0x10"])
def test_a_length_that_is_no_number_is_refused(page: Page, length: str) -> None:
    """As a proxy may hand it on: Python takes the digits of other scripts for digits, and has most of its own."""
    from fedvoxel.review.gate import _is_short_enough

    assert not _is_short_enough(length)
    assert _is_short_enough("0") and _is_short_enough(str(MOST_BODY_BYTES))
    assert not _is_short_enough(str(MOST_BODY_BYTES + 1))
