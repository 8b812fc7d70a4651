"""A consortium of four hospitals with real kits, and a server's state as runs leave it: one under way, three over."""

import time
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from fedvoxel.federation.attempts import Attempt
from fedvoxel.federation.outcome import OUTCOME_FILE, RunOutcome, write_outcome
from fedvoxel.flare.kept_view import VIEW_FILE, KeptView
from fedvoxel.flare.provisioning import create_consortium
from fedvoxel.flare.run_view import RunView
from fedvoxel.governance.authority_store import open_authority
from fedvoxel.governance.consortium import Consortium, authority_folder
from fedvoxel.governance.incidents.incident_log import IncidentLog
from fedvoxel.governance.incidents.statement import IncidentStatement
from fedvoxel.governance.kit import Kit, open_kit
from fedvoxel.governance.list_places import put_shared
from fedvoxel.governance.sites_heard import HEARD_FILE, HeardSite, SitesHeard
from fedvoxel.ops.status.agreement import AGREEMENT_FILE
from fedvoxel.privacy.events import GaussianEvent
from fedvoxel.privacy.server_ledger import Received, ServerLedger
from fedvoxel.records.atomic import write_json
from fedvoxel.records.identity import load_identity
from tests.consortium_kits import FILE, PASSPHRASE, free_port
from tests.sample_run import failed_outcome, private_outcome, sample_outcome

SERVER = "server.consortium.example"
SITES = ("hospital-a", "hospital-b", "hospital-c", "hospital-d")
OPERATOR, SCIENTIST = "admin@consortium.example", "scientist@consortium.example"
IT, PHYSICIAN, IT_B = "it@hospital-a.example", "physician@hospital-a.example", "it@hospital-b.example"
RUN, DONE_BEFORE = "hippocampus-2026-03", 7
WHY = "trainer ended with signal 9"
TEXT = "hospital-c sent updates that look like noise"
PEOPLE = f"""\
  - {{name: hospital-c, type: client, org: hospital_c}}
  - {{name: hospital-d, type: client, org: hospital_d}}
  - {{name: {IT}, type: admin, org: hospital_a, role: org_admin}}
  - {{name: {PHYSICIAN}, type: admin, org: hospital_a, role: member}}
  - {{name: {IT_B}, type: admin, org: hospital_b, role: org_admin}}
"""


@dataclass(frozen=True)
class Sample:
    """Is the consortium, and its server's kit."""

    consortium: Consortium

    @property
    def server(self) -> Kit:
        return open_kit(self.consortium.server_kit)

    def startup(self, name: str) -> Path:
        """Returns where somebody's certificate and key are."""
        return self.consortium.kit(name) / "startup"

    def agree(self, others: str) -> None:
        """Has the consortium agree on what hospitals see of one another."""
        write_json(self.server.local / AGREEMENT_FILE, {"schema_version": 1, "others": others})

    def revoke(self, name: str) -> None:
        """Revokes somebody's certificate, as the operator does; the list is in the server's kit then."""
        folder = authority_folder(self.consortium.workspace)
        authority = open_authority(folder, folder, PASSPHRASE)
        authority.revoke(authority.register.find(name, datetime.now(UTC)), "left", 90)
        put_shared(self.consortium.workspace)


def status_consortium(folder: Path) -> Sample:
    """Makes the kits in an empty folder."""
    text = FILE.format(port=free_port()).replace("  - {name: admin@", PEOPLE + "  - {name: admin@")
    (folder / "consortium.yml").write_text(text, encoding="utf-8")
    return Sample(create_consortium(folder / "consortium.yml", folder / "workspace", passphrase=PASSPHRASE))


def fill(sample: Sample) -> None:
    """Writes what a server has of four runs, its sites and an incident."""
    state, now = sample.server.state, datetime.now(UTC)
    heard = {site: HeardSite(organisation=site.replace("-", "_"), at=now) for site in SITES}
    heard["hospital-d"] = HeardSite(organisation="hospital_d", at=now - timedelta(hours=3))
    write_json(state / HEARD_FILE, SitesHeard(sites=heard).model_dump(mode="json"))
    write_json(state / "certificates/seen.json", {"serials": dict.fromkeys(SITES, "1")})
    failed = {"run_key": "first-try", "started": now - timedelta(days=9), "finished": now - timedelta(days=9)}
    write_run(state, RunOutcome.model_validate(dict(failed_outcome()) | failed))
    before = {"run_key": "hippocampus-2026-02", "started": now - timedelta(days=2, minutes=8)}
    write_run(state, RunOutcome.model_validate(dict(sample_outcome()) | before | {"finished": now - timedelta(days=2)}))
    private(state, now)
    under_way(state, now)
    declare(sample)


def write_run(state: Path, outcome: RunOutcome) -> None:
    write_outcome(outcome, state / "runs" / outcome.run_key / OUTCOME_FILE)


def private(state: Path, now: datetime) -> None:
    """A run under a guarantee for each patient, with the server's receipts of it."""
    named = {"run_key": "hippocampus-private", "job_name": "hippocampus_private", "job_id": "private-job"}
    named |= {"started": now - timedelta(hours=20), "finished": now - timedelta(hours=19)}
    outcome = RunOutcome.model_validate(dict(private_outcome()) | named)
    write_run(state, outcome)
    event = GaussianEvent(noise_multiplier=5.0, sampling_probability=1.0, count=1)
    places = [
        (index, site)
        for index in range(outcome.rounds_committed)
        for site in SITES
        if index < 5 or site != "hospital-b"
    ]
    ServerLedger(state).receive(
        [
            Received(
                run_key=outcome.run_key,
                job_id=outcome.job_id,
                site=site,
                round=index,
                event=event,
                release_id=f"{index:016x}{number:016x}",
                sha256=f"{index:032x}{number:032x}",
            )
            for number, (index, site) in enumerate(places)
        ]
    )


def under_way(state: Path, now: datetime, seen: datetime | None = None) -> None:
    """A run in its eighth round; its job's process has shown it at `seen`."""
    whole, begun = sample_outcome(), now - timedelta(minutes=4)
    changes: dict[str, Any] = {
        "job_id": "4d7c62d1-6b7d-4f0e-a1f7-2b1f6d1e8a11",
        "status": "unfinished",
        "reason": f"the run has not ended: at least {DONE_BEFORE} of 12 rounds are committed",
        "rounds": whole.rounds[:DONE_BEFORE],
        "rounds_committed": DONE_BEFORE,
        "best_round": 6,
        "test": {},
        "unvalidated": None,
        "untested": None,
        "started": begun,
        "finished": now,
        "attempts": (Attempt(job_id="4d7c62d1-6b7d-4f0e-a1f7-2b1f6d1e8a11", started=begun, first_round=0),),
    }
    outcome = RunOutcome.model_validate(dict(whole) | changes)
    write_run(state, outcome)
    kept = KeptView(job_id=outcome.job_id, at=seen or now, view=view_of(outcome))
    write_json(state / "runs" / RUN / VIEW_FILE, kept.model_dump(mode="json"))


def view_of(outcome: RunOutcome) -> dict[str, Any]:
    """What the job's process shows: one site trains, two have replied, one is missing."""
    view = RunView()
    view.show(rounds_planned=12, started=time.time() - 240, phase="training", round=DONE_BEFORE)
    view.show(round_started=time.time() - 10, round_seconds=[record.seconds for record in outcome.rounds])
    view.sites(("hospital-a", "hospital-b", "hospital-c", "hospital-d"), "replied")
    view.site("hospital-a", "training")
    view.absent("missing", {"hospital-c": WHY})
    until = time.time() + 110
    return view.shown([{"site": "hospital-a", "since": time.time() - 10, "until": until, "reason": "works on it"}])


def declare(sample: Sample) -> None:
    """Has the operator declare an incident, and keep hospital-c out for it."""
    log, now, server = IncidentLog(sample.server), datetime.now(UTC), sample.server.name
    who = load_identity(sample.startup(OPERATOR))
    said: dict[str, Any] = {"incident": "20261130-3fa9c1", "keeper": server, "text": TEXT}
    declared = {**said, "word": "declared", "kind": "bad_update", "severity": "medium"}
    log.say(who, IncidentStatement.model_validate(declared), now)
    log.say(who, IncidentStatement.model_validate({**said, "word": "quarantined", "site": "hospital-c"}), now)
