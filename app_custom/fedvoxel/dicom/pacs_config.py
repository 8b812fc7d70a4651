"""How a site reaches its PACS: addresses, certificates and limits from the site's own file, never a password itself.

This module is read with the site's file, by programs that know no DICOM: it imports nothing that does.
"""

from ipaddress import ip_address
from typing import Annotated, Literal, Self
from urllib.parse import urlsplit

from pydantic import Field, field_validator, model_validator

from fedvoxel.config import FrozenModel

AeTitle = Annotated[str, Field(pattern=r"^[!-\[\]-~]([ -\[\]-~]{0,14}[!-\[\]-~])?$")]
"""1 to 16 printable ASCII characters without a backslash, none of the outer ones a space (PS3.5 Table 6.2-1)."""

HostName = Annotated[str, Field(pattern=r"^[A-Za-z0-9:._-]{1,253}$")]
Port = Annotated[int, Field(ge=1, le=65535)]
FileName = Annotated[str, Field(min_length=1)]


class PacsLimits(FrozenModel):
    """Bounds what one PACS may take of this machine; what is beyond is refused, never cut.

    Attributes:
        series: Series that one query may find.
        instances: Instances that one series may have.
        instance_mib: Size of one instance in MiB; an instance is held in memory while it is received.
        free_gib: Space in GiB that is left free on the disk.
    """

    series: int = Field(default=20_000, ge=1)
    instances: int = Field(default=20_000, ge=1)
    instance_mib: int = Field(default=1024, ge=1, le=4095)
    free_gib: float = Field(default=2, ge=0)


class _CommonConfig(FrozenModel):
    """Is what both protocols have.

    Attributes:
        timeout_s: Seconds without any answer after which the PACS is given up.
        series_timeout_s: Seconds that one series may take, however slowly it trickles.
    """

    timeout_s: float = Field(default=30, ge=1, le=3600)
    series_timeout_s: float = Field(default=3600, ge=1, le=86_400)
    limits: PacsLimits = PacsLimits()


class TlsFiles(FrozenModel):
    """Is what TLS needs; paths count from the site's file.

    Attributes:
        ca: The certificates that the PACS's own is checked against.
        certificate: This site's certificate, if the PACS wants to know who calls.
        key: Its private key, readable by nobody else.
        server_name: The name in the PACS's certificate, where that is not its host.
    """

    ca: FileName
    certificate: FileName | None = None
    key: FileName | None = None
    server_name: HostName | None = None

    @model_validator(mode="after")
    def _is_a_pair(self) -> Self:
        if (self.certificate is None) != (self.key is None):
            raise ValueError("expected certificate and key together, or neither")
        return self


class StorageConfig(FrozenModel):
    """Says where this site listens for what the PACS sends: for C-MOVE, under `calling_ae_title`.

    Attributes:
        host: The one address to listen on; never all of them.
        port: The port that the PACS has on record for this site.
        allowed_ae_titles: Who may send; the called AE title of the PACS if empty.
    """

    host: HostName = "127.0.0.1"
    port: Port
    allowed_ae_titles: tuple[AeTitle, ...] = ()

    @field_validator("host")
    @classmethod
    def _is_one_address(cls, value: str) -> str:
        try:
            everywhere = ip_address(value).is_unspecified
        except ValueError:
            everywhere = False
        if everywhere:
            raise ValueError("expected one address of this machine, not all of them")
        return value


class DimseConfig(_CommonConfig):
    """Is a PACS that speaks DIMSE, over TLS or, where the hospital says so, in the clear.

    Attributes:
        calling_ae_title: This site's name, as the PACS administrator has registered it.
        retrieve: "get" has series come over the same connection; "move" has the PACS connect to `storage`.
        plaintext: The hospital's word that its network may see patients' data unencrypted.
    """

    protocol: Literal["dimse"]
    host: HostName
    port: Port
    called_ae_title: AeTitle
    calling_ae_title: AeTitle
    retrieve: Literal["get", "move"] = "get"
    storage: StorageConfig | None = None
    tls: TlsFiles | None = None
    plaintext: bool = False

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        if (self.tls is None) is not self.plaintext:
            raise ValueError('expected either tls or, if the network may see patients\' data, "plaintext": true')
        if (self.retrieve == "move") != (self.storage is not None):
            raise ValueError('expected storage with "retrieve": "move", and only then')
        if self.storage is not None and self.tls is not None and self.tls.certificate is None:
            raise ValueError("expected tls.certificate and tls.key: the PACS connects to storage over TLS")
        return self


class DicomwebConfig(_CommonConfig):
    """Is a PACS that speaks DICOMweb, over https or on this machine's own loopback.

    Attributes:
        url: Where studies are below: "https://pacs.example/dicom-web".
        password_file: A file with the password alone, mode 0600.
        ca: The certificates that the PACS's own is checked against; the system's if left out.
    """

    protocol: Literal["dicomweb"]
    url: str
    username: Annotated[str, Field(pattern=r"^[^:\x00-\x1f]+$")] | None = None
    password_file: FileName | None = None
    ca: FileName | None = None
    certificate: FileName | None = None
    key: FileName | None = None

    @field_validator("url")
    @classmethod
    def _is_safe(cls, value: str) -> str:
        parts = urlsplit(value)
        if parts.username or parts.password or parts.query or parts.fragment or not parts.hostname:
            raise ValueError("expected https://host/path, without a user, a password, a query or a fragment")
        if parts.scheme == "https" or (parts.scheme == "http" and _is_loopback(parts.hostname)):
            return value.rstrip("/")
        raise ValueError("expected https; http is for this machine's own loopback address only")

    @model_validator(mode="after")
    def _comes_in_pairs(self) -> Self:
        if (self.username is None) != (self.password_file is None):
            raise ValueError("expected username and password_file together, or neither")
        if (self.certificate is None) != (self.key is None):
            raise ValueError("expected certificate and key together, or neither")
        return self


PacsConfig = Annotated[DimseConfig | DicomwebConfig, Field(discriminator="protocol")]


def _is_loopback(host: str) -> bool:
    """Says whether `host` is an address of loopback; a name, even localhost, may lead elsewhere."""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False
