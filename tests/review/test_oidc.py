"""Readers sign in at the hospital's provider; what it does not say, or what cannot be believed, lets nobody in."""

import logging
import ssl
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from joserfc.jwk import ECKey, OctKey

from fedvoxel.review import oidc_provider
from fedvoxel.review import sign_in as way
from fedvoxel.review.oidc_provider import MOST_AT_ONCE, MOST_BYTES
from fedvoxel.review.pending_sign_ins import LIFE_S, MOST, PendingSignIns
from tests.review import hospital_provider as hospital
from tests.review.hospital_provider import CLIENT, PERSON, SECRET, HospitalProvider
from tests.review.oidc_sample import at_provider, published, sign_in
from tests.review.reading_sample import Page
from tests.tls_files import Authority

NOT_VALID = "What the hospital&#x27;s sign-in said of you cannot be trusted."
BAD_ANSWER = "The hospital&#x27;s sign-in gave an answer that cannot be used."
NOT_BEGUN = "not begun in this browser"


@pytest.fixture
def provider() -> Iterator[HospitalProvider]:
    with hospital.hospital_provider() as started:
        yield started


@pytest.fixture
def page(tmp_path: Path, provider: HospitalProvider) -> Page:
    return published(tmp_path, provider.issuer)


def is_in(page: Page) -> bool:
    return page.get("/api/reading").status_code == 200


def refused(page: Page, caplog: pytest.LogCaptureFixture, status: int, text: str, detail: str) -> None:
    """Signs in, and finds one clear page, one line in the log, nobody in, and nothing told of the person."""
    caplog.set_level(logging.INFO)
    answer = sign_in(page)
    assert (answer.status_code, "set-cookie" in answer.headers) == (status, False), answer.text
    assert text in answer.text and 'href="/sign-in' in answer.text
    assert not is_in(page) and page.get("/").headers["location"] == "/sign-in"
    logged = [(record.name, record.getMessage()) for record in caplog.records]
    lines = [line for name, line in logged if name == way.__name__]
    assert len(lines) == 1 and detail in lines[0], lines
    # httpx says what the browser of this test asked for, too.
    theirs = [line for _, line in logged if page.host not in line and "/authorize" not in line]
    told = "\n".join([*theirs, answer.text])
    assert [secret for secret in (*PERSON.values(), "eyJ", "code=", SECRET, "Miller") if secret in told] == []


def test_a_reader_signs_in_reads_and_signs_out(page: Page, provider: HospitalProvider) -> None:
    front = page.get("/")
    assert (front.status_code, front.headers["location"]) == (303, "/sign-in")
    begun = page.get("/sign-in")
    question = {name: values[0] for name, values in parse_qs(urlsplit(begun.headers["location"]).query).items()}
    assert begun.headers["location"].startswith(f"{provider.issuer}/authorize?")
    assert question["scope"] == "openid" and question["redirect_uri"] == f"{page.host}/signed-in"
    assert all(len(question[name]) == 43 for name in ("state", "nonce", "code_challenge"))
    assert len({question[name] for name in ("state", "nonce", "code_challenge")}) == 3
    cookie = begun.headers["set-cookie"]
    assert "HttpOnly" in cookie and "SameSite=lax" in cookie and f"Max-Age={LIFE_S}" in cookie
    answer = sign_in(page)
    assert answer.status_code == 200 and 'content="0; url=/"' in answer.text
    given, taken = answer.headers.get_list("set-cookie")
    assert given.startswith(f"fedvoxel-review-{page.port}=") and "HttpOnly" in given and "SameSite=strict" in given
    assert taken.startswith(f"fedvoxel-review-{page.port}-sign-in=") and "Max-Age=0" in taken
    assert page.get("/api/reading").json()["reader"] == "anna" and page.get("/").status_code == 200
    session = page.client.cookies[f"fedvoxel-review-{page.port}"]
    assert page.post("/api/sign-out").status_code == 200 and not is_in(page)
    page.client.cookies.set(f"fedvoxel-review-{page.port}", session)
    assert not is_in(page)
    farewell = page.get("/signed-out").text
    assert "sign out of the hospital" in farewell and 'href="/sign-in?other=true"' in farewell
    assert page.get("/sign-in?other=true").headers["location"].endswith("&prompt=login")
    assert "prompt" not in page.get("/sign-in").headers["location"]


@pytest.mark.parametrize("methods", [None, ["client_secret_basic", "client_secret_post"], ["client_secret_post"]])
def test_a_client_proves_itself_as_the_provider_asks(
    tmp_path: Path, provider: HospitalProvider, methods: list[str] | None
) -> None:
    provider.secret = SECRET
    if methods:
        provider.description = {"token_endpoint_auth_methods_supported": methods}
    page = published(tmp_path, provider.issuer, secret=SECRET)
    assert sign_in(page).status_code == 200 and is_in(page)


def test_a_wrong_secret_lets_nobody_in(
    tmp_path: Path, provider: HospitalProvider, caplog: pytest.LogCaptureFixture
) -> None:
    provider.secret = "another"
    refused(published(tmp_path, provider.issuer, secret=SECRET), caplog, 502, BAD_ANSWER, "token:status_401")


@pytest.mark.parametrize(
    ("claims", "detail"),
    [
        ({"iss": "https://elsewhere.example"}, "invalid_claim:iss"),
        ({"iss": None}, "missing_claim:iss"),
        ({"aud": "another-client"}, "invalid_claim:aud"),
        ({"aud": ["another-client"]}, "invalid_claim:aud"),
        ({"aud": None}, "missing_claim:aud"),
        ({"aud": [CLIENT, "another-client"]}, "missing_claim:azp"),
        ({"aud": [CLIENT, "another-client"], "azp": "another-client"}, "invalid_claim:azp"),
        ({"azp": "another-client"}, "invalid_claim:azp"),
        ({"azp": [CLIENT]}, "invalid_claim:azp"),
        ({"exp": int(time.time()) - 120}, "expired_token"),
        ({"exp": float("nan")}, "invalid_claim:exp"),
        ({"exp": None}, "missing_claim:exp"),
        ({"iat": int(time.time()) + 3600}, "invalid_claim:iat"),
        ({"iat": int(time.time()) - 3600}, "invalid_claim:iat"),
        ({"iat": None}, "missing_claim:iat"),
        ({"nbf": int(time.time()) + 3600}, "invalid_claim:nbf"),
        ({"nonce": "of another sign-in"}, "invalid_claim:nonce"),
        ({"nonce": None}, "missing_claim:nonce"),
        ({"nonce": ""}, "invalid_claim:nonce"),
        ({"sub": None}, "missing_claim:sub"),
        ({"sub": 248289761001}, "invalid_claim:sub"),
    ],
)
def test_a_token_that_says_something_else_is_refused(
    page: Page, provider: HospitalProvider, caplog: pytest.LogCaptureFixture, claims: dict[str, Any], detail: str
) -> None:
    provider.claims = claims
    refused(page, caplog, 502, NOT_VALID, detail)


@pytest.mark.parametrize(
    ("sign", "detail"),
    [
        (hospital.unsigned, "unsupported_algorithm"),
        (hospital.signed_with(hospital.KEY.as_pem(private=False)), "unsupported_algorithm"),
        (hospital.signed_with(SECRET.encode()), "unsupported_algorithm"),
        (hospital.signed_by_another, "bad_signature"),
        (lambda claims: hospital.signed(claims)[:-8] + "AAAAAAAA", "bad_signature"),
        (lambda claims: "no token", "decode_error"),
        (lambda claims: hospital.signed(claims).rpartition(".")[0], "decode_error"),
    ],
)
def test_only_what_the_provider_signed_is_believed(
    tmp_path: Path,
    provider: HospitalProvider,
    caplog: pytest.LogCaptureFixture,
    sign: Callable[[dict[str, Any]], str],
    detail: str,
) -> None:
    provider.sign = sign
    # A secret among the published keys must not make a token of the secret's owner good.
    secret = OctKey.import_key(SECRET, {"kid": "one"}).as_dict(private=True)
    provider.keys = {"keys": [hospital.KEY.as_dict(private=False), secret]}
    refused(published(tmp_path, provider.issuer), caplog, 502, NOT_VALID, detail)


def test_a_key_of_another_kind_and_one_that_is_gone_are_refused(
    page: Page, provider: HospitalProvider, caplog: pytest.LogCaptureFixture
) -> None:
    assert sign_in(page).status_code == 200
    page.client.cookies.clear()
    provider.keys = {"keys": [ECKey.generate_key("P-256", {"kid": "two"}).as_dict(private=False)]}
    refused(page, caplog, 502, NOT_VALID, "invalid_key_id")


@pytest.mark.parametrize("keys", [{}, [], {"keys": []}, {"keys": [{"kty": "RSA"}]}, {"keys": "none"}, None])
def test_keys_that_are_none_let_nobody_in(
    page: Page, provider: HospitalProvider, caplog: pytest.LogCaptureFixture, keys: Any
) -> None:
    provider.keys = keys
    refused(page, caplog, 502, NOT_VALID, "reason=not_valid")


def test_a_sign_in_belongs_to_its_browser_and_is_finished_once(page: Page, provider: HospitalProvider) -> None:
    back = at_provider(page)
    cookie = page.client.cookies[f"fedvoxel-review-{page.port}-sign-in"]
    page.client.cookies.clear()
    stranger = page.get(back)
    assert stranger.status_code == 400 and NOT_BEGUN in stranger.text
    page.client.cookies.set(f"fedvoxel-review-{page.port}-sign-in", cookie)
    assert page.get(back).status_code == 200 and is_in(page)
    page.client.cookies.clear()
    page.client.cookies.set(f"fedvoxel-review-{page.port}-sign-in", cookie)
    again = page.get(back)
    assert again.status_code == 400 and NOT_BEGUN in again.text and not is_in(page)
    assert provider.asked.count("/token") == 1


@pytest.mark.parametrize("state", ["", "guessed", "\u00e9"])
def test_a_wrong_state_is_refused_before_the_provider_is_asked(
    page: Page, provider: HospitalProvider, state: str
) -> None:
    provider.redirect = {"state": state}
    answer = sign_in(page)
    assert answer.status_code == 400 and NOT_BEGUN in answer.text and not is_in(page)
    assert "/token" not in provider.asked


def test_a_code_that_was_used_or_made_for_another_sign_in_is_refused(
    page: Page, provider: HospitalProvider, caplog: pytest.LogCaptureFixture
) -> None:
    used = parse_qs(urlsplit(at_provider(page)).query)["code"][0]
    provider.redirect = {"code": used}  # a stolen code, in another sign-in: PKCE
    refused(page, caplog, 502, BAD_ANSWER, "token:status_400")
    caplog.clear()
    refused(page, caplog, 502, BAD_ANSWER, "token:status_400")  # and now it is used


def test_what_another_provider_sent_is_refused(
    page: Page, provider: HospitalProvider, caplog: pytest.LogCaptureFixture
) -> None:
    provider.redirect = {"iss": "https://elsewhere.example"}
    refused(page, caplog, 502, NOT_VALID, "detail=iss")
    provider.redirect = {"iss": provider.issuer}
    assert sign_in(page).status_code == 200


def test_a_provider_that_names_itself_must_do_so(
    page: Page, provider: HospitalProvider, caplog: pytest.LogCaptureFixture
) -> None:
    provider.description = {"authorization_response_iss_parameter_supported": True}
    refused(page, caplog, 502, NOT_VALID, "detail=iss")


def test_somebody_who_is_no_reader_is_told_so(
    page: Page, provider: HospitalProvider, caplog: pytest.LogCaptureFixture
) -> None:
    provider.person = {"sub": "4711", "name": "Mary Miller"}
    refused(page, caplog, 403, "no reader of this study", "reason=no_reader")


def test_who_says_no_at_the_provider_is_not_let_in(
    page: Page, provider: HospitalProvider, caplog: pytest.LogCaptureFixture
) -> None:
    provider.redirect = {"error": "access_denied", "error_description": "Mary Miller said no"}
    refused(page, caplog, 403, "did not let you in", "reason=declined")
    assert "/token" not in provider.asked


def test_readers_are_told_apart_by_the_claim_of_the_file(
    tmp_path: Path, provider: HospitalProvider, caplog: pytest.LogCaptureFixture
) -> None:
    readers = {"anna": "a.miller@hospital.example", "ben": "b.smith@hospital.example"}
    page = published(tmp_path, provider.issuer, claim="email", readers=readers)
    assert "scope=openid+email" in page.get("/sign-in").headers["location"]
    provider.person = {"sub": "1", "email": readers["ben"], "email_verified": True}
    assert sign_in(page).status_code == 200 and page.get("/api/reading").json()["reader"] == "ben"
    page.post("/api/sign-out")
    for unproven in ({"email_verified": False}, {"email_verified": "false"}, {}):
        provider.person = {"sub": "2", "email": readers["ben"], **unproven}
        refused(page, caplog, 502, NOT_VALID, "email_verified")
        caplog.clear()
    provider.person = {"sub": "2"}
    refused(page, caplog, 502, BAD_ANSWER, "claim_missing")


@pytest.mark.parametrize(
    ("path", "answer", "detail"),
    [
        ("/token", (200, b"<html>"), "token:no_json"),
        ("/token", (200, b"{}"), "token:id_token"),
        ("/token", (200, b'{"id_token": 7}'), "token:id_token"),
        ("/token", (500, b"{}"), "token:status_500"),
        ("/token", (302, b""), "token:status_302"),
        ("/token", (200, b'{"id_token": "' + b"x" * MOST_BYTES + b'"}'), "token:too_large"),
        ("/keys", (503, b""), "keys:status_503"),
    ],
)
def test_an_answer_that_cannot_be_used_lets_nobody_in(
    page: Page,
    provider: HospitalProvider,
    caplog: pytest.LogCaptureFixture,
    path: str,
    answer: tuple[int, bytes],
    detail: str,
) -> None:
    provider.answers[path] = answer
    refused(page, caplog, 502, BAD_ANSWER, detail)


@pytest.mark.parametrize("path", ["/token", "/keys"])
def test_no_secret_follows_a_redirect(
    page: Page, provider: HospitalProvider, caplog: pytest.LogCaptureFixture, path: str
) -> None:
    provider.answers[path] = (307, f"{provider.issuer}/elsewhere")
    refused(page, caplog, 502, BAD_ANSWER, f"{path[1:]}:status_307")
    assert "/elsewhere" not in provider.asked


def test_an_answer_that_never_ends_is_left(
    page: Page, provider: HospitalProvider, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    back = at_provider(page)
    monkeypatch.setattr(oidc_provider, "TIMEOUT_S", 0.5)
    provider.drip_s = 0.02  # each byte in time, and all of them in half a minute
    began = time.monotonic()
    answer = page.get(back)
    assert answer.status_code == 502 and time.monotonic() - began < 5
    assert "token:too_large_or_slow" in caplog.text and not is_in(page)


@pytest.mark.parametrize(
    ("description", "detail"),
    [
        ({"issuer": "https://elsewhere.example"}, "description:issuer"),
        ({"token_endpoint": "http://elsewhere.example/token"}, "description:token_endpoint"),
        ({"jwks_uri": "file:///etc/passwd"}, "description:jwks_uri"),
        ({"authorization_endpoint": "javascript:alert(1)"}, "description:without_tls"),
        ({"token_endpoint": None}, "description:token_endpoint"),
    ],
)
def test_a_description_that_leads_astray_is_refused(
    page: Page, provider: HospitalProvider, caplog: pytest.LogCaptureFixture, description: dict[str, Any], detail: str
) -> None:
    provider.description = description
    answer = page.get("/sign-in")
    assert answer.status_code == 502 and BAD_ANSWER in answer.text and "location" not in answer.headers
    assert detail in caplog.text


def test_a_provider_that_is_down_is_said_and_tried_again(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with hospital.hospital_provider() as provider:
        page = published(tmp_path, provider.issuer)
        back = at_provider(page)
    answer = page.get(back)
    assert answer.status_code == 502 and "cannot be reached" in answer.text and not is_in(page)
    assert "reason=unreachable detail=token:ConnectError" in caplog.text
    other = published(tmp_path / "other", provider.issuer)
    assert other.get("/sign-in").status_code == 502


def test_the_description_is_asked_once_and_the_keys_each_time(page: Page, provider: HospitalProvider) -> None:
    for _ in range(2):
        assert sign_in(page).status_code == 200
    assert (provider.asked.count("/.well-known/openid-configuration"), provider.asked.count("/keys")) == (1, 2)
    page.way.provider._clock = lambda: time.time() + 601
    page.get("/sign-in")
    assert provider.asked.count("/.well-known/openid-configuration") == 2


def test_many_at_once_leave_the_readers_their_pictures(page: Page) -> None:
    turns = page.way.provider._turns
    for _ in range(MOST_AT_ONCE):
        assert turns.acquire(blocking=False)
    answer = page.get("/sign-in")
    assert answer.status_code == 503 and "in a few seconds" in answer.text
    turns.release()
    for _ in range(2):  # a turn that was taken is given back
        assert sign_in(page).status_code == 200
        page.way.provider._description = None


def test_tls_is_checked_against_the_hospitals_certificates(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    authority = Authority(tmp_path / "ca")
    with hospital.hospital_provider(authority.issue("provider")) as provider:
        trusting = published(tmp_path / "one", provider.issuer, tls=ssl.create_default_context(cafile=authority.ca))
        location = trusting.get("/sign-in").headers["location"]
        assert location.startswith("https://localhost:")
        stranger = published(tmp_path / "two", provider.issuer)
        assert stranger.get("/sign-in").status_code == 502
    assert "unreachable detail=description:ConnectError" in caplog.text


def test_what_was_begun_is_forgotten_and_bounded() -> None:
    now = [0.0]
    pending = PendingSignIns(lambda: now[0])
    first, begun = pending.begin()
    now[0] = LIFE_S + 1
    assert pending.take(first, begun.state) is None
    oldest, begun = pending.begin()
    for _ in range(MOST):
        pending.begin()
    assert pending.take(oldest, begun.state) is None and len(pending._begun) == MOST
    for secret in (begun.state, begun.nonce, begun.verifier):
        assert secret not in repr(begun)


def test_a_session_ends_after_its_hours(page: Page) -> None:
    now = [1000.0]
    page.access._clock = lambda: now[0]
    assert sign_in(page).status_code == 200 and is_in(page)
    now[0] += 12 * 3600 - 1
    assert is_in(page)
    now[0] += 2
    assert not is_in(page) and page.get("/case").headers["location"] == "/sign-in"
    page.access.admit("anna")
    assert len(page.access._sessions) == 1
