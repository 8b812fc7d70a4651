"""A site's kit and kits of people, made by hand around a root that lives as long as a test; jobs that came there."""

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives import serialization
from nvflare.lighter.utils import load_private_key_file, sign_folders

from fedvoxel.governance.approval_policy import ApprovalPolicy, write_approval_policy
from fedvoxel.governance.kit import Kit, open_kit
from fedvoxel.governance.submission import Submission
from fedvoxel.records.identity import Identity
from fedvoxel.records.revocation import LIST_FILE
from tests.blob_job import CLIENT, META, job_documents, write_job
from tests.export.throwaway_root import DAY, Root, serial_of

PHYSICIAN, OFFICER = "physician@hospital-a.example", "officer@hospital-a.example"
SCIENTIST = "scientist@consortium.example"
NOW = datetime.now(UTC).replace(microsecond=0) - timedelta(minutes=1)


class Hospital:
    """Is a hospital's site with people who have kits."""

    def __init__(self, folder: Path) -> None:
        """Makes the site's kit; its rule wants nobody's approval."""
        self.folder, self.root = folder, Root(around=NOW)
        site = self.root.issue("hospital-a", None, NOW - DAY, NOW + 30 * DAY, organisation="hospital_a")
        server = {"name": "small", "service": {"target": "localhost:1", "scheme": "grpc"}, "identity": "server.example"}
        self._write("hospital-a", site, "fed_client.json", {"servers": [server]})
        (folder / "hospital-a" / "local").mkdir()
        self.rule()

    @property
    def kit(self) -> Kit:
        """Is the site's kit."""
        return open_kit(self.folder / "hospital-a")

    def rule(self, **values: Any) -> ApprovalPolicy:
        """Writes the site's rule of approval."""
        policy = ApprovalPolicy.model_validate(values)
        write_approval_policy(self.kit.local, policy)
        return policy

    def person(self, name: str = PHYSICIAN, organisation: str = "hospital_a", **issued: Any) -> Identity:
        """Gives a person a kit, and returns whom they sign as."""
        when: dict[str, Any] = {"role": "member", "begins": NOW - DAY, "ends": NOW + 30 * DAY}
        identity = self.root.issue(name, organisation=organisation, **{**when, **issued})
        self._write(name, identity, "fed_admin.json", {})
        return identity

    def revoke(self, *people: Identity) -> None:
        """Gives the site the consortium's list, with these people on it."""
        crl = self.root.revocations({serial_of(one): NOW for one in people}, NOW - DAY, NOW + 30 * DAY)
        (self.kit.startup / LIST_FILE).write_bytes(crl.public_bytes(serialization.Encoding.PEM))

    def kit_of(self, name: str) -> Path:
        """Returns a person's kit."""
        return self.folder / name

    def signed(self, folder: Path, name: str) -> Path:
        """Signs a job's folder as the console of a person does, whose key has to be RSA's; returns the folder."""
        startup = self.kit_of(name) / "startup"
        sign_folders(str(folder), load_private_key_file(startup / "client.key"), str(startup / "client.crt"))
        return folder

    def _write(self, name: str, identity: Identity, file: str, settings: dict[str, Any]) -> None:
        startup = self.folder / name / "startup"
        startup.mkdir(parents=True, exist_ok=True)
        (startup / file).write_text(json.dumps(settings))
        (startup / "client.crt").write_text(identity.certificate)
        kinds = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        (startup / "client.key").write_bytes(identity.key.private_bytes(*kinds))
        (startup / "rootCA.pem").write_bytes(identity.root.public_bytes(serialization.Encoding.PEM))


def blob_job(folder: Path, code: dict[str, str] | None = None, **training: Any) -> Path:
    """Writes a job on the blobs, with files of code by their path in the app."""
    documents = job_documents(**training)
    return write_job(folder, documents | {f"app/{path}": text for path, text in (code or {}).items()})


def blob_submission(**training: Any) -> Submission:
    """Returns what of the job on the blobs would run at a site."""
    documents = job_documents(**training)
    files = {"config/config_fed_client.json": json.dumps(documents[CLIENT]).encode()}
    return Submission(documents[META], files)
