"""What the command's tests need on the disk: a root certificate, and a site's file with its PACS."""

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.serialization import Encoding

from tests.evaluation.inference.bright_studies import RANGES as SIZES
from tests.export.package_sample import sample_root, sample_signer
from tests.export.throwaway_root import DAY, serial_of
from tests.orthanc import CALLED, CALLING, PASSWORD, USER, Orthanc
from tests.volumes.scans import site_values

RANGES: dict[str, Any] = {"modalities": ["MR"], "body_parts": ["HEAD", "BRAIN"], **SIZES}


def root_file(folder: Path) -> Path:
    """The throw-away consortium's root, as a kit has it."""
    path = folder / "rootCA.pem"
    path.write_bytes(sample_root().certificate.public_bytes(Encoding.PEM))
    return path


def crl_file(folder: Path, revoked_from: datetime | None = None) -> Path:
    """The root's revocation list of today, on which the sample's signer is, or nobody."""
    now = datetime.now(UTC)
    revoked = {} if revoked_from is None else {serial_of(sample_signer()): revoked_from}
    path = folder / "crl.pem"
    path.write_bytes(sample_root().revocations(revoked, now - DAY, now + DAY).public_bytes(Encoding.PEM))
    return path


def site_file(folder: Path, orthanc: Orthanc, **changed: Any) -> Path:
    """A site's file with one PACS behind two doors: `dimse` and `web`."""
    (folder / "password").write_text(PASSWORD)
    (folder / "password").chmod(0o600)
    titles = {"called_ae_title": CALLED, "calling_ae_title": CALLING, "plaintext": True, "timeout_s": 10}
    dimse = {"protocol": "dimse", "host": "127.0.0.1", "port": orthanc.dimse_port, **titles} | changed
    web = {"protocol": "dicomweb", "url": orthanc.url, "username": USER, "password_file": "password"}
    path = folder / "fedvoxel_site.json"
    path.write_text(json.dumps({**site_values(), "pacs": {"dimse": dimse, "web": web}}))
    return path
