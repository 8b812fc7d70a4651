"""Lets readers in through the hospital's own sign-in (OpenID Connect): what a page behind the hospital's proxy uses.

A sign-in belongs to the browser that began it, by a cookie that lives ten minutes, and is finished once. The log says
which check failed, and never who came, nor what the provider said of them.
"""

import logging
from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import PlainTextResponse, RedirectResponse, Response

from fedvoxel.review.access import Access
from fedvoxel.review.notice import notice
from fedvoxel.review.oidc_provider import OidcProvider
from fedvoxel.review.oidc_settings import OidcClient
from fedvoxel.review.page_address import published_at
from fedvoxel.review.pending_sign_ins import LIFE_S, PendingSignIn, PendingSignIns
from fedvoxel.review.refused_sign_in import RefusedSignIn

SIGN_IN, SIGNED_IN = "/sign-in", "/signed-in"
_PAGES = frozenset({"/", "/case", "/three"})
_AGAIN = (SIGN_IN, "Sign in again")
_AS_ANOTHER = (f"{SIGN_IN}?other=true", "Sign in as somebody else")
_log = logging.getLogger(__name__)


class SignIn:
    """Is the way in of a published review (see `gate.WayIn`)."""

    entrances = frozenset({SIGN_IN, SIGNED_IN})
    linkable = frozenset({"/", SIGN_IN, SIGNED_IN})
    farewell = "On a computer that others use, sign out of the hospital's own sign-in, too."
    back = _AS_ANOTHER

    def __init__(self, client: OidcClient) -> None:
        """Asks the provider nothing yet."""
        settings = client.settings
        self.access = Access(session_s=settings.session_hours * 3600)
        self.address = published_at(settings.public_url)
        self.provider = OidcProvider(client)
        self._settings = settings
        self._pending = PendingSignIns()
        self._redirect_uri = settings.public_url + SIGNED_IN
        self._cookie = self.address.cookie + "-sign-in"

    def routes(self) -> APIRouter:
        """Returns where a sign-in begins and ends."""
        routes = APIRouter()
        routes.add_api_route(SIGN_IN, self.begin, methods=["GET"])
        routes.add_api_route(SIGNED_IN, self.finish, methods=["GET"])
        return routes

    def ask_in(self, path: str) -> Response:
        """Returns what who has no session is told: a page leads to the sign-in."""
        if path in _PAGES:
            return RedirectResponse(SIGN_IN, 303)
        return PlainTextResponse("You are not signed in, or no longer. Load the worklist again to sign in.", 401)

    def begin(self, other: bool = False) -> Response:
        """Sends the browser to the provider; as somebody `other` than whom it knows there, if that is wished."""
        browser, begun = self._pending.begin()
        try:
            answer = RedirectResponse(self.provider.address_for(begun, self._redirect_uri, other), 303)
        except RefusedSignIn as refused:
            return _told(refused)
        # Lax, and not strict: it has to come back with the browser from the provider's page.
        self._give(answer, self._cookie, browser, samesite="lax", max_age=LIFE_S)
        return answer

    def finish(self, request: Request, code: str = "", state: str = "", error: str = "", iss: str = "") -> Response:
        """Takes what the browser brings back from the provider, and lets a reader in."""
        try:
            begun = self._pending.take(request.cookies.get(self._cookie, ""), state)
            session = self._session(begun, code, error, iss)
        except RefusedSignIn as refused:
            return _told(refused)
        # A page that goes on by itself, and no redirect: browsers send a strict cookie from our own pages only.
        answer = notice("Signed in", "The worklist opens.", ("/", "Open the worklist"), goes_on=True)
        self._give(answer, self.address.cookie, session, samesite="strict")
        answer.delete_cookie(self._cookie, path="/", secure=self.address.secure, httponly=True, samesite="lax")
        return answer

    def _session(self, begun: PendingSignIn | None, code: str, error: str, iss: str) -> str:
        if begun is None:
            raise RefusedSignIn("not_begun")
        said_by_another = iss != self._settings.issuer
        if said_by_another and (iss or self.provider.description().authorization_response_iss_parameter_supported):
            raise RefusedSignIn("not_valid", "iss")
        if error or not code:
            raise RefusedSignIn("declined", "error" if error else "no_code")
        reader = self._reader(self.provider.claims(code, begun, self._redirect_uri))
        return self.access.admit(reader)

    def _reader(self, claims: dict[str, Any]) -> str:
        person = claims.get(self._settings.claim)
        if not isinstance(person, str):
            raise RefusedSignIn("bad_answer", "claim_missing")
        if self._settings.claim == "email" and claims.get("email_verified") not in (True, "true"):
            raise RefusedSignIn("not_valid", "email_verified")
        reader = self._settings.reader_of(person)
        if reader is None:
            raise RefusedSignIn("no_reader")
        return reader

    def _give(self, answer: Response, name: str, value: str, **more: Any) -> None:
        answer.set_cookie(name, value, httponly=True, path="/", secure=self.address.secure, **more)


def _told(refused: RefusedSignIn) -> Response:
    # Anybody can ask for an answer to a sign-in that was never begun: that is no warning.
    level = logging.INFO if refused.reason in ("not_begun", "busy") else logging.WARNING
    _log.log(level, "sign-in refused reason=%s detail=%s", refused.reason, refused.detail or "none")
    link = _AS_ANOTHER if refused.reason == "no_reader" else _AGAIN
    return notice("Not signed in", str(refused), link, refused.status)
