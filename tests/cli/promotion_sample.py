"""Two packages of a model, evaluated by the real command at two hospitals, and people of theirs who stand for that."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.serialization import Encoding

from fedvoxel.cli.main import main
from fedvoxel.evaluation.attacks.findings import CanaryFinding, PrivacyAudit
from fedvoxel.export.package import Package
from fedvoxel.export.publishing import Publisher
from fedvoxel.governance.evidence.vouching import vouch
from fedvoxel.privacy.guarantee import NEIGHBOURING, Guarantee
from fedvoxel.records.atomic import write_json
from fedvoxel.records.identity import Identity
from tests.cli.test_export import kit_of
from tests.evaluation.judgement.made_up import package, right_scans, root_file, write_site
from tests.export.package_sample import sample_root, sample_signer, sample_trust
from tests.export.throwaway_root import DAY

HOSPITALS = ("north", "south")
RUN, JOB = "retrained", "3c5c62d1-6b7d-4f0e-a1f7-2b1f6d1e8a11"
NAME = "hippocampus"
POLICY: dict[str, Any] = {
    "schema_version": 1,
    "model": NAME,
    "hospitals": list(HOSPITALS),
    "at_least": 2,
    "metric": "dice",
    "margin": 0.02,
    "tolerance_mm": None,
    "first_at_least": 0.8,
    "privacy": {"unit": "patient", "epsilon": 8.0, "delta": 1e-3},
    "privacy_audits": 1,
    "reader_study": None,
}
Spoil = Callable[[dict[str, Any]], object]


def now() -> datetime:
    """The present, to the second, as signatures have it."""
    return datetime.now(UTC).replace(microsecond=0)


def person(name: str, organisation: str, role: str | None = "lead") -> Identity:
    """Somebody whose certificate is valid now."""
    return sample_root().issue(name, role, now() - DAY, now() + DAY, organisation=organisation)


def guarantee(epsilon: float = 8.0) -> Guarantee:
    """What the package says of itself."""
    words = {"adversary": "sees the model", "composition": "all rounds"}
    unit: Any = "patient"
    return Guarantee(unit=unit, epsilon=epsilon, delta=1e-4, neighbouring=NEIGHBOURING["patient"], **words)


def provenance(given: Guarantee | None) -> bytes:
    """A package's provenance, as far as a promotion reads it."""
    origin = {
        **{"job_name": "retrained", "job_id": JOB, "run_key": RUN, "status": "finished", "rounds_committed": 3},
        **{"started": "2026-03-02T09:30:00Z", "finished": "2026-03-02T09:40:00Z", "round": 2, "tested": True},
        **{"model_sha256": "a1" * 32, "outcome_sha256": "b2" * 32, "audit_head": None},
    }
    privacy = {"claim": "-", "guarantee": given and given.model_dump(mode="json"), "open_channels": []}
    said = {"schema_version": 1, "origin": origin, "privacy": privacy | {"start_from": None}}
    return json.dumps(said).encode()


@dataclass(frozen=True)
class Made:
    """Is what is made once: packages 1.0.0 and 1.1.0, and each hospital's evaluation, without and with a comparison."""

    folder: Path
    old: Package
    new: Package

    def evaluation(self, hospital: str, compared: bool = True) -> dict[str, Any]:
        """Returns what the command wrote for handing on."""
        found: dict[str, Any] = json.loads(
            (self.folder / f"{hospital}-{'compared' if compared else 'alone'}" / "to_share.json").read_text()
        )
        return found


def make(folder: Path) -> Made:
    """Makes it all in an empty folder."""
    root_file(folder)
    old = package(folder)
    new = package(folder, "1.1.0", members={"provenance.json": provenance(guarantee())}, title="Retrained")
    for hospital in HOSPITALS:
        site = write_site(folder / hospital, right_scans(7))
        base = ["evaluate", str(new.path), "brains", "--site", str(site), "--root", str(folder / "rootCA.pem")]
        base += ["--no-pdf", "--worst", "0", "--threads", "1", "--out"]
        assert main([*base, str(folder / f"{hospital}-alone")]) == 0
        compare = ["--against", str(old.path), "--margin", "0.02"]
        assert main([*base, str(folder / f"{hospital}-compared"), *compare]) == 0
    return Made(folder, old, new)


class Desk:
    """Is where a lead promotes: an index with 1.0.0 released, a policy, and reports that were handed in."""

    def __init__(self, folder: Path, made: Made) -> None:
        """Makes them in an empty folder: every gate is green, but for the reports, of which there are none."""
        self.folder, self.made, self.index = folder, made, folder / "releases"
        self.lead = kit_of(folder / "kits", person("scientist@consortium.example", "consortium"))
        self.handed_in: list[Path] = []
        self.policy: dict[str, Any] = dict(POLICY)
        self.revoke()

    @property
    def publisher(self) -> Publisher:
        """Is a lead who writes to the index, with a memory of their own."""
        return Publisher(self.index, sample_signer(), sample_trust(), self.folder / "lead.json")

    def release_old(self) -> None:
        """Has 1.0.0 released, and 1.1.0 as a candidate."""
        self.publisher.publish(self.made.old.path, "released", "first", now())
        self.publisher.publish(self.made.new.path, "candidate", "retrained", now())

    def revoke(self, *serial_numbers: int, since: timedelta = DAY) -> None:
        """Writes the revocation list."""
        revoked = dict.fromkeys(serial_numbers, now() - since)
        made = sample_root().revocations(revoked, now() - 2 * DAY, now() + DAY)
        (self.folder / "crl.pem").write_bytes(made.public_bytes(Encoding.PEM))

    def hand_in(
        self,
        hospital: str,
        spoil: Spoil | None = None,
        *,
        compared: bool = True,
        by: Identity | None = None,
        ago: timedelta = timedelta(0),
    ) -> Path:
        """Has somebody of a hospital stand for its evaluation, changed before by `spoil`, and hands it in."""
        values = self.made.evaluation(hospital, compared)
        if spoil is not None:
            spoil(values)
        return self._vouched("to_share.json", values, by or person(f"doctor@{hospital}.example", hospital), ago)

    def hand_in_audit(self, hospital: str = "north", **changes: Any) -> Path:
        """Has somebody of a hospital stand for an audit of its own; keywords change its canaries, or None is none."""
        canaries = {
            **{"unit": "patient", "canaries": 100, "releases": 3, "delta": 1e-4, "epsilon_claimed": 8.0},
            **{"epsilon_proved": 1.5, "epsilon_proved_by_any_mechanism": 1.0, "auroc": 0.5},
            **{"rate_at_1_percent": None, "rate_at_10_percent": None},
        }
        of_run = {"run_key": RUN, "job_id": JOB} | {key: changes.pop(key) for key in ("run_key",) if key in changes}
        found = None if changes.get("canaries", 1) is None else CanaryFinding(**(canaries | changes))
        audit = PrivacyAudit(
            job_name="x", site=hospital, privacy="-", seed=1, membership=None, canaries=found, inversion=None, **of_run
        )
        who = person(f"officer@{hospital}.example", hospital)
        return self._vouched("audit.json", audit.model_dump(mode="json"), who, timedelta(0))

    def promote(self, *more: str, sign: Path | None = None, crl: bool = True) -> int:
        """Gives the command."""
        (self.folder / "policy.json").write_text(json.dumps(self.policy))
        command = ["release", "promote", str(self.made.new.path), str(self.index), "--reason", "all green"]
        command += ["--policy", str(self.folder / "policy.json"), "--sign", str(sign or self.lead)]
        command += ["--seen", str(self.folder / "seen.json")]
        command += ["--crl", str(self.folder / "crl.pem")] if crl else []
        folders = [part for folder in self.handed_in for part in ("--report", str(folder))]
        return main([*command, *folders, *more])

    def _vouched(self, name: str, values: dict[str, Any], who: Identity, ago: timedelta) -> Path:
        folder = self.folder / f"report{len(self.handed_in) + 1}"
        write_json(folder / name, values)
        vouch(folder / name, who, now() - ago)
        self.handed_in.append(folder)
        return folder
