"""Asks the hospital's OpenID Connect provider: where to send a browser, and who came back.

The Authorization Code flow with PKCE (S256), state and nonce. The provider's description is kept for ten minutes; its
keys are fetched for each token, so that a key that it changed or withdrew counts at once. Redirects are not followed,
answers are small and come in time, and nothing that it says is logged but the name of the check that failed.

Source: OpenID Connect Core 1.0, section 3.1; OpenID Connect Discovery 1.0, section 4; RFC 7636; RFC 9207.
"""

import base64
import hashlib
import json
import threading
import time
from collections.abc import Callable
from typing import Annotated, Any, TypeVar
from urllib.parse import quote, urlencode, urlsplit

import httpx
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from fedvoxel.review.id_token import ExpectedToken, claims_of
from fedvoxel.review.oidc_settings import OidcClient, WebAddress
from fedvoxel.review.pending_sign_ins import PendingSignIn
from fedvoxel.review.refused_sign_in import RefusedSignIn

DISCOVERY = "/.well-known/openid-configuration"
TIMEOUT_S = 10.0
MOST_BYTES = 2**19
MOST_AT_ONCE = 12
"""Requests to the provider; more sign-ins at once wait outside, so that readers still get their pictures."""

_FRESH_S = 600
_SCOPES = {"sub": "openid", "email": "openid email"}


class _Said(BaseModel):
    """Is what the provider says; it may say more than we read."""

    model_config = ConfigDict(frozen=True, extra="ignore", strict=True)


class ProviderDescription(_Said):
    """Is where the provider's doors are."""

    issuer: str
    authorization_endpoint: Annotated[str, Field(max_length=2000)]
    token_endpoint: WebAddress
    jwks_uri: WebAddress
    token_endpoint_auth_methods_supported: tuple[str, ...] | list[str] = ("client_secret_basic",)
    authorization_response_iss_parameter_supported: bool = False


class _TokenAnswer(_Said):
    id_token: Annotated[str, Field(max_length=100_000)]


SaidT = TypeVar("SaidT", bound=_Said)


class OidcProvider:
    """Is the provider, as the client sees it."""

    def __init__(self, client: OidcClient, clock: Callable[[], float] = time.time) -> None:
        """Asks nothing yet."""
        self._client, self._clock = client, clock
        self._settings = client.settings
        self._description: tuple[float, ProviderDescription] | None = None
        self._turns = threading.BoundedSemaphore(MOST_AT_ONCE)

    def address_for(self, begun: PendingSignIn, redirect_uri: str, as_another: bool = False) -> str:
        """Returns where to send the browser.

        Args:
            begun: The sign-in.
            redirect_uri: Where the browser comes back to.
            as_another: Whether the provider is to ask who it is, even if it knows somebody in this browser.

        Raises:
            RefusedSignIn: The provider cannot be used.
        """
        challenge = base64.urlsafe_b64encode(hashlib.sha256(begun.verifier.encode("ascii")).digest())
        question = {
            "response_type": "code",
            "client_id": self._settings.client_id,
            "redirect_uri": redirect_uri,
            "scope": _SCOPES.get(self._settings.claim, "openid profile"),
            "state": begun.state,
            "nonce": begun.nonce,
            "code_challenge": challenge.rstrip(b"=").decode("ascii"),
            "code_challenge_method": "S256",
        }
        if as_another:
            question["prompt"] = "login"
        door = self.description().authorization_endpoint
        return f"{door}{'&' if urlsplit(door).query else '?'}{urlencode(question)}"

    def claims(self, code: str, begun: PendingSignIn, redirect_uri: str) -> dict[str, Any]:
        """Returns what the provider says of the person to whom it gave `code`, checked.

        Raises:
            RefusedSignIn: The provider cannot be used, does not know the code, or says what cannot be believed.
        """
        description = self.description()
        form = {
            "grant_type": "authorization_code",
            "code": code,
            "redirect_uri": redirect_uri,
            "code_verifier": begun.verifier,
        }
        said = self._ask("token", description.token_endpoint, *self._as_client(form, description))
        token = _read(_TokenAnswer, said, "token").id_token
        keys = self._ask("keys", description.jwks_uri)
        expected = ExpectedToken(self._settings.issuer, self._settings.client_id, begun.nonce)
        return claims_of(token, keys, expected, self._clock)

    def description(self) -> ProviderDescription:
        """Returns where the provider's doors are.

        Raises:
            RefusedSignIn: It cannot be reached, describes another issuer, or a door without TLS.
        """
        kept = self._description
        if kept is not None and self._clock() < kept[0] + _FRESH_S:
            return kept[1]
        said = self._ask("description", self._settings.issuer.rstrip("/") + DISCOVERY)
        found = _read(ProviderDescription, said, "description")
        if found.issuer != self._settings.issuer:
            raise RefusedSignIn("bad_answer", "description:issuer")
        scheme = urlsplit(self._settings.issuer).scheme
        for door in (found.authorization_endpoint, found.token_endpoint, found.jwks_uri):
            if urlsplit(door).scheme not in ("https", scheme):
                raise RefusedSignIn("bad_answer", "description:without_tls")
        self._description = (self._clock(), found)
        return found

    def _as_client(
        self, form: dict[str, str], description: ProviderDescription
    ) -> tuple[dict[str, str], httpx.BasicAuth | None]:
        """Returns the form, and what goes with it, by which the provider knows the client."""
        name, secret = self._settings.client_id, self._client.secret
        if secret is None:
            return form | {"client_id": name}, None
        if "client_secret_basic" in description.token_endpoint_auth_methods_supported:
            return form, httpx.BasicAuth(quote(name, safe=""), quote(secret, safe=""))
        return form | {"client_id": name, "client_secret": secret}, None

    def _ask(self, what: str, url: str, form: dict[str, str] | None = None, auth: httpx.BasicAuth | None = None) -> Any:
        if not self._turns.acquire(blocking=False):
            raise RefusedSignIn("busy", what)
        try:
            with httpx.Client(verify=self._client.tls or True, timeout=TIMEOUT_S) as asking:
                request = asking.build_request("POST" if form else "GET", url, data=form)
                request.headers["accept"] = "application/json"
                return self._answer(asking, request, auth, what)
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            raise RefusedSignIn("unreachable", f"{what}:{type(error).__name__}") from None
        finally:
            self._turns.release()

    def _answer(self, asking: httpx.Client, request: httpx.Request, auth: httpx.BasicAuth | None, what: str) -> Any:
        ends = time.monotonic() + TIMEOUT_S
        answer = asking.send(request, auth=auth, stream=True)
        try:
            content = b""
            for piece in answer.iter_bytes():
                content += piece
                if len(content) > MOST_BYTES or time.monotonic() > ends:
                    raise RefusedSignIn("bad_answer", f"{what}:too_large_or_slow")
        finally:
            answer.close()
        if answer.status_code != 200:
            raise RefusedSignIn("bad_answer", f"{what}:status_{answer.status_code}")
        try:
            return json.loads(content)
        except (ValueError, RecursionError):
            raise RefusedSignIn("bad_answer", f"{what}:no_json") from None


def _read(model: type[SaidT], said: Any, what: str) -> SaidT:
    try:
        return model.model_validate(said)
    except ValidationError as error:
        keys = ",".join(str(item["loc"][0]) if item["loc"] else "all" for item in error.errors()[:3])
        raise RefusedSignIn("bad_answer", f"{what}:{keys}") from None
