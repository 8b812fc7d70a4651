"""A file that would let in the wrong person, or send a secret in the clear, is refused before anything starts."""

import json
import stat
from pathlib import Path
from typing import Any

import pytest

from fedvoxel.errors import ConfigError
from fedvoxel.review.oidc_settings import OidcSettings, open_oidc, require_same_readers
from tests.review.oidc_sample import settings_for, write_settings
from tests.tls_files import Authority

ISSUER = "https://login.hospital.example/realms/clinic"


def opened(tmp_path: Path, **changes: Any) -> OidcSettings:
    return open_oidc(write_settings(tmp_path, **{"issuer": ISSUER, "port": 8000} | changes)).settings


def test_what_is_not_said_has_a_careful_default(tmp_path: Path) -> None:
    settings = opened(tmp_path, public_url="https://review.hospital.example/")
    assert (settings.claim, settings.session_hours, settings.client_secret_file) == ("sub", 12, None)
    assert settings.public_url == "https://review.hospital.example"
    assert settings.reader_of("248289761001") == "anna" and settings.reader_of("anna") is None


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"issuer": "http://login.hospital.example"}, "issuer"),
        ({"issuer": "ftp://127.0.0.1"}, "issuer"),
        ({"issuer": "https://user:word@login.hospital.example"}, "without user"),
        ({"issuer": "https://login.hospital.example?tenant=1"}, "without user"),
        ({"issuer": "https://login.hospital.example/\n"}, "issuer"),
        ({"issuer": "https://localhost:99999"}, "issuer"),
        ({"public_url": "http://review.hospital.example"}, "public_url"),
        ({"public_url": "http://127.0.0.1.evil.example"}, "public_url"),
        ({"public_url": "https://review.hospital.example/study"}, "host and port only"),
        ({"public_url": "https://*.hospital.example;x"}, "plain ASCII"),
        ({"public_url": "//review.hospital.example"}, "public_url"),
        ({"client_id": "two words"}, "client_id"),
        ({"client_secret": "in the file itself"}, "client_secret"),
        ({"claim": "e mail"}, "claim"),
        ({"readers": {}}, "readers"),
        ({"readers": {"Mary Miller": "1"}}, "readers"),
        ({"readers": {"anna": ""}}, "readers.anna"),
        ({"readers": {"anna": 7}}, "readers.anna"),
        ({"readers": {"anna": ["1", "2"]}}, "readers.anna"),
        ({"readers": {"anna": "1", "ben": "1"}}, "one person each"),
        ({"session_hours": 0}, "session_hours"),
        ({"session_hours": 25}, "session_hours"),
        ({"schema_version": 2}, "schema_version"),
    ],
)
def test_a_file_that_is_not_safe_is_refused(tmp_path: Path, changes: dict[str, Any], text: str) -> None:
    with pytest.raises(ConfigError, match="the file of --oidc") as error:
        opened(tmp_path, **changes)
    assert text in str(error.value)


@pytest.mark.parametrize("missing", ["issuer", "client_id", "public_url", "readers"])
def test_what_has_no_default_must_be_said(tmp_path: Path, missing: str) -> None:
    values = {name: value for name, value in settings_for(ISSUER, 8000).items() if name != missing}
    (tmp_path / "oidc.json").write_text(json.dumps(values))
    with pytest.raises(ConfigError, match=missing):
        open_oidc(tmp_path / "oidc.json")


@pytest.mark.parametrize(
    ("readers", "text"),
    [
        (("anna", "ben"), "it lacks ben"),
        (("ben",), "it lacks ben; the study has no anna"),
        ((), "the study has no anna"),
    ],
)
def test_readers_of_file_and_study_are_the_same(tmp_path: Path, readers: tuple[str, ...], text: str) -> None:
    settings = opened(tmp_path)
    require_same_readers(settings, ["anna"])
    with pytest.raises(ConfigError, match=text):
        require_same_readers(settings, readers)


def test_a_secret_is_its_owners_alone_and_in_no_text(tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text("s3cret\n")
    path = write_settings(tmp_path, ISSUER, 8000, client_secret_file="secret")
    for mode in (0o644, 0o640, 0o604, 0o620):
        secret.chmod(mode)
        with pytest.raises(ConfigError, match="chmod 600 secret") as error:
            open_oidc(path)
        assert "s3cret" not in str(error.value)
    secret.chmod(stat.S_IRUSR | stat.S_IWUSR)
    client = open_oidc(path)
    assert client.secret == "s3cret" and "s3cret" not in repr(client)


@pytest.mark.parametrize("content", [None, b"", b" \n", b"two\nlines", b"\xff"])
def test_a_secret_that_is_none_is_refused(tmp_path: Path, content: bytes | None) -> None:
    if content is not None:
        (tmp_path / "secret").write_bytes(content)
        (tmp_path / "secret").chmod(0o600)
    with pytest.raises(ConfigError, match="client_secret_file"):
        opened(tmp_path, client_secret_file="secret")


def test_certificates_are_read_or_refused(tmp_path: Path) -> None:
    ca = Authority(tmp_path / "ca").ca
    path = write_settings(tmp_path, ISSUER, 8000, ca_file="ca/ca.pem")
    tls = open_oidc(path).tls
    assert ca.exists() and tls is not None and len(tls.get_ca_certs()) == 1 and tls.check_hostname
    for content in ("no certificate", None):
        ca.unlink() if content is None else ca.write_text(content)
        with pytest.raises(ConfigError, match="ca_file"):
            open_oidc(path)
