"""The file of `fedvoxel review --oidc`: which provider signs readers in, and which person is which reader.

Secrets are in files of their own, which only their owner may read, and are never in a message.
"""

import ssl
import stat
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Literal, Self
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field, StringConstraints, model_validator

from fedvoxel.config import FrozenModel, load_json_config
from fedvoxel.errors import ConfigError
from fedvoxel.review.study import ReaderName

LOOPBACK_HOSTS = frozenset({"127.0.0.1", "::1", "localhost"})
WHAT = "the file of --oidc"


def web_address(text: str) -> str:
    """Returns an address over which secrets may travel: https, or http that stays on this machine.

    Raises:
        ValueError: It is another kind of address, or holds a user, a query or a fragment.
    """
    parts = urlsplit(text)
    local = parts.scheme == "http" and parts.hostname in LOOPBACK_HOSTS
    if not parts.hostname or not (parts.scheme == "https" or local):
        raise ValueError("expected an https:// address (http:// for 127.0.0.1 and localhost only)")
    if parts.username or parts.password or parts.query or parts.fragment or parts.port == 0:
        raise ValueError("expected an address without user, query and fragment")
    if not text.isascii() or any(character.isspace() or character in "\\;,'\"" for character in text):
        raise ValueError("expected an address in plain ASCII (an international name in its xn-- form)")
    return text


def _without_path(text: str) -> str:
    if urlsplit(text).path not in ("", "/"):
        raise ValueError("expected scheme, host and port only: the page needs a host name or a port of its own")
    return text.rstrip("/")


WebAddress = Annotated[str, AfterValidator(web_address)]
PublicAddress = Annotated[str, AfterValidator(web_address), AfterValidator(_without_path)]
Person = Annotated[str, StringConstraints(min_length=1, max_length=255)]


class OidcSettings(FrozenModel):
    """Is the content of the file.

    Attributes:
        issuer: The provider, exactly as its tokens name it.
        client_id: What this page is called at the provider.
        client_secret_file: Holds the client's secret; without one the client is public, and PKCE alone protects it.
        public_url: Where the hospital's proxy publishes the page.
        claim: What of a person tells who they are.
        readers: The value of the claim of each of the study's readers.
        ca_file: The certificates that the provider's certificate is checked against, PEM; the system's by default.
        session_hours: After how long a reader has to sign in again.
    """

    schema_version: Literal[1] = 1
    issuer: WebAddress
    client_id: Annotated[str, StringConstraints(pattern=r"^[\x21-\x7e]{1,255}$")]
    client_secret_file: Path | None = None
    public_url: PublicAddress
    claim: Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_:./-]{1,128}$")] = "sub"
    readers: Annotated[dict[ReaderName, Person], Field(min_length=1)]
    ca_file: Path | None = None
    session_hours: Annotated[float, Field(gt=0, le=24)] = 12

    @model_validator(mode="after")
    def _gives_each_person_one_reader(self) -> Self:
        if len(set(self.readers.values())) != len(self.readers):
            raise ValueError(f"two readers have the same value of the claim {self.claim!r}: expected one person each")
        return self

    def reader_of(self, person: str) -> str | None:
        """Returns which reader a value of the claim is; None for somebody who does not read here."""
        return {value: reader for reader, value in self.readers.items()}.get(person)


@dataclass(frozen=True)
class OidcClient:
    """Is what this page is to the provider.

    Attributes:
        settings: The file's content.
        secret: The client's secret, if it has one.
        tls: What the provider's certificate is checked against; None for what the system has.
    """

    settings: OidcSettings
    secret: str | None = field(default=None, repr=False)
    tls: ssl.SSLContext | None = None


def open_oidc(path: Path) -> OidcClient:
    """Reads the file, and the files that it names, which are looked for beside it.

    Raises:
        ConfigError: One is missing or wrong, or others than its owner may read the secret.
    """
    settings = load_json_config(OidcSettings, path, WHAT)
    secret = tls = None
    if settings.client_secret_file is not None:
        secret = _secret_of(path.parent / settings.client_secret_file)
    if settings.ca_file is not None:
        try:
            tls = ssl.create_default_context(cafile=path.parent / settings.ca_file)
        except OSError:  # ssl.SSLError is one
            raise ConfigError(f"ca_file in {WHAT} cannot be read: expected certificates in PEM") from None
    return OidcClient(settings, secret, tls)


def require_same_readers(settings: OidcSettings, readers: Sequence[str]) -> None:
    """Refuses a file that does not name exactly the study's readers.

    Raises:
        ConfigError: A reader could not sign in, or somebody would sign in as a reader that the study does not have.
    """
    missing, unknown = sorted(set(readers) - set(settings.readers)), sorted(set(settings.readers) - set(readers))
    if missing or unknown:
        said = [f"it lacks {', '.join(missing)}"] if missing else []
        said += [f"the study has no {', '.join(unknown)}"] if unknown else []
        raise ConfigError(f"readers in {WHAT} and the study's readers differ: {'; '.join(said)}")


def _secret_of(path: Path) -> str:
    try:
        if stat.S_IMODE(path.stat().st_mode) & 0o077:
            raise ConfigError(f"client_secret_file in {WHAT} can be used by others: run chmod 600 {path.name}")
        secret = path.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError):
        raise ConfigError(f"client_secret_file in {WHAT} cannot be read: expected a text file {path.name}") from None
    if not secret or not secret.isprintable():
        raise ConfigError(f"client_secret_file in {WHAT} is not a secret: expected one line")
    return secret
