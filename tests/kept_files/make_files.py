"""Makes what a release leaves on disk, for the tests of the release after it: run under the code of that release.

With a release's source tree at the front of PYTHONPATH: python make_files.py FOLDER. Everything is invented.
"""

import hashlib
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

from cryptography.hazmat.primitives.serialization import Encoding

from fedvoxel.export.publishing import Publisher
from fedvoxel.federation.outcome import OUTCOME_FILE, write_outcome
from fedvoxel.flare.site_memory import begin_training
from fedvoxel.privacy.events import GaussianEvent
from fedvoxel.privacy.ledger import Ledger
from fedvoxel.privacy.ledger_entries import RunPlan
from fedvoxel.privacy.policy import CohortBudget, PrivacyPolicy, write_privacy_policy
from fedvoxel.privacy.server_ledger import Received, Released, ServerLedger
from fedvoxel.records.atomic import write_json
from fedvoxel.records.audit import AuditLog
from fedvoxel.records.audit_event import AuditEvent
from tests.export.made_calibration import made_calibration
from tests.export.package_sample import sample_package, sample_root, sample_signer, sample_trust
from tests.export.throwaway_root import NOW
from tests.sample_run import sample_outcome

SITE, COHORT, RUN = "hospital-a", "hippocampus", "first"
BUDGET = CohortBudget(unit="patient", epsilon=8, delta=1e-3)
EVENT = GaussianEvent(noise_multiplier=4.0, sampling_probability=0.25, count=10)
PLAN = RunPlan(unit="patient", event=EVENT, draws=4, delta=2e-4)


def update(index: int) -> bytes:
    """Returns the noised bytes of one round."""
    return b"noised update %d" % index


def make_site(kit: Path) -> list[str]:
    """Writes a site's policy, ledger of two rounds, and what it remembers of a run; returns the releases' ids."""
    write_privacy_policy(kit / "local", PrivacyPolicy(schema_version=1, cohorts={COHORT: BUDGET}))
    ledger = Ledger(kit / "state/privacy", COHORT, BUDGET)
    for index in range(2):
        reservation = ledger.reserve(RUN, "job-1", index, PLAN)
        ledger.keep(reservation, update(index))
        ledger.bytes_to_send(reservation.release_id)
    run = kit / "state/runs" / RUN
    run.mkdir(parents=True)
    begin_training(run, COHORT, "run-1", "0" * 64)
    return [str(ledger.kept(RUN, index, PLAN)) for index in range(2)]


def make_server(kit: Path, releases: list[str]) -> None:
    """Writes a server's ledger, audit log, and a run that has ended."""
    ledger = ServerLedger(kit / "state")
    for index, release_id in enumerate(releases):
        digest = hashlib.sha256(update(index)).hexdigest()
        named = {"run_key": RUN, "job_id": "job-1", "round": index, "event": EVENT}
        ledger.receive([Received(site=SITE, release_id=release_id, sha256=digest, **named)])
        ledger.release(Released(sha256=digest, **named))
    log = AuditLog(kit / "state")
    said = {"kind": "answer", "run_key": RUN, "job_id": "job-1"}
    for told in (
        {"outcome": "missing", "task": "train", "round": 0, "site": "hospital-c", "reason": "no reply within 5 s"},
        {"outcome": "refused", "task": "validation", "site": "hospital-b", "reason": "a score of 6 cases"},
    ):
        log.record([AuditEvent.model_validate(said | told)])
    run = kit / "state/runs" / RUN
    write_outcome(sample_outcome(), run / OUTCOME_FILE)


def make_releases(folder: Path) -> None:
    """Writes an index of releases with the root that its signatures go back to, and a calibration."""
    with TemporaryDirectory() as made:
        package = sample_package(Path(made))
        lead = Publisher(folder / "index", sample_signer(), sample_trust(), Path(made) / "lead.json")
        lead.publish(package.path, "candidate", "to be evaluated", NOW)
        lead.set_state("hippocampus", "1.0.0", "released", "good enough", NOW)
    (folder / "root.pem").write_bytes(sample_root().certificate.public_bytes(Encoding.PEM))
    write_json(folder / "calibration.json", made_calibration("ab" * 32).model_dump(mode="json"))


if __name__ == "__main__":
    made_in = Path(sys.argv[1])
    make_server(made_in / "server", make_site(made_in / SITE))
    make_releases(made_in / "releases")
