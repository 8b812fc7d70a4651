"""A review behind the hospital's sign-in, and a browser without a screen that signs in."""

import json
from pathlib import Path
from typing import Any

import httpx

from fedvoxel.review.oidc_settings import OidcClient, OidcSettings
from fedvoxel.review.sign_in import SignIn
from tests.review.hospital_provider import CLIENT, PERSON
from tests.review.reading_sample import Page, desk_of, write_reading


def settings_for(issuer: str, port: int, **changes: Any) -> dict[str, Any]:
    values = {
        "issuer": issuer,
        "client_id": CLIENT,
        "public_url": f"http://127.0.0.1:{port}",
        "readers": {"anna": PERSON["sub"]},
    }
    return values | changes


def published(tmp_path: Path, issuer: str, secret: str | None = None, tls: Any = None, **changes: Any) -> Page:
    """Starts a review whose readers sign in; nobody is in yet."""
    readers = tuple(changes.get("readers", {"anna": ""}))
    desk = desk_of(write_reading(tmp_path / "prepared", cases=1), tmp_path / "study", readers)

    def way(port: int) -> SignIn:
        settings = OidcSettings.model_validate(settings_for(issuer, port, **changes))
        return SignIn(OidcClient(settings, secret, tls))

    return Page(desk, None, way)


def write_settings(folder: Path, issuer: str, port: int, **changes: Any) -> Path:
    path = folder / "oidc.json"
    path.write_text(json.dumps(settings_for(issuer, port, **changes)))
    return path


def at_provider(page: Page) -> str:
    """Begins a sign-in; returns where the provider sends the browser back to."""
    begun = page.get("/sign-in")
    assert begun.status_code == 303, begun.text
    back = page.client.get(begun.headers["location"])
    assert back.status_code == 302, back.text
    return str(back.headers["location"])


def sign_in(page: Page) -> httpx.Response:
    """Signs in as a browser does; returns the last page."""
    return page.get(at_provider(page))
