"""A real PACS with two doors, and what it holds."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from pydantic import TypeAdapter

from fedvoxel.dicom.pacs import Pacs, open_pacs
from fedvoxel.dicom.pacs_config import PacsConfig
from tests.orthanc import CALLED, CALLING, PASSWORD, USER, Orthanc, TlsFront
from tests.tls_files import Authority, Identity

PARSED: TypeAdapter[Any] = TypeAdapter(PacsConfig)


@dataclass(frozen=True)
class Site:
    """A hospital: its certificates, its password, and its PACS over DIMSE and over DICOMweb.

    Attributes:
        base: The folder that the relative paths of `dimse` and `dicomweb` count from.
    """

    base: Path
    authority: Authority
    identity: Identity
    orthanc: Orthanc
    dimse: dict[str, Any]
    dicomweb: dict[str, Any]

    def pacs(self, door: str, **changed: Any) -> Pacs:
        """Opens the PACS through one of its doors: "get", "move" or "dicomweb"."""
        values = self.dicomweb if door == "dicomweb" else self.dimse
        if door == "move":
            values = values | {"retrieve": "move", "storage": {"port": self.orthanc.storage_port}}
        return open_pacs(PARSED.validate_python(values | changed), self.base)


@pytest.fixture(scope="session")
def hospital(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """Orthanc with mutual TLS for DIMSE, and DICOMweb behind a front with mutual TLS and a password."""
    base = tmp_path_factory.mktemp("hospital")
    authority = Authority(base / "certificates")
    identity, server = authority.issue("site"), authority.issue("pacs")
    (base / "password").write_text(PASSWORD + "\n")
    (base / "password").chmod(0o600)
    names = {name: f"certificates/{file}" for name, file in _FILES.items()}
    with (
        Orthanc(base / "orthanc", (authority, server)) as orthanc,
        TlsFront(orthanc.http_port, server, authority) as front,
    ):
        dimse = {"protocol": "dimse", "host": "127.0.0.1", "port": orthanc.dimse_port, "tls": names, "timeout_s": 10}
        titles = {"called_ae_title": CALLED, "calling_ae_title": CALLING}
        web = {"protocol": "dicomweb", "url": front.url, "timeout_s": 10, "username": USER, "password_file": "password"}
        yield Site(base, authority, identity, orthanc, dimse | titles, web | names)


_FILES = {"ca": "ca.pem", "certificate": "site.pem", "key": "site.key"}


@pytest.fixture
def site(hospital: Site) -> Site:
    """The hospital, with nothing in its PACS."""
    hospital.orthanc.clear()
    return hospital


@pytest.fixture(scope="session")
def head(data_folder: Path) -> list[Path]:
    """A real series of 32 instances."""
    return sorted((data_folder / "dicom_studies" / "hippocrop" / "Study1").glob("*.dcm"))


@pytest.fixture(scope="session")
def prostate(data_folder: Path) -> list[Path]:
    """A real series of 16 instances, of another patient."""
    folder = data_folder / "dicom_studies" / "prostatex" / "ProstateX-0000"
    return sorted(next(folder.glob("9.000000-*")).glob("*.dcm"))
