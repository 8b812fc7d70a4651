"""`fedvoxel audit accept-gap`: from a restored server's finding to a named gap, and a site that signs again."""

import json
import shutil
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

import pytest

from fedvoxel.cli.main import main
from fedvoxel.export.trust import read_trust
from fedvoxel.flare.provisioning import create_consortium
from fedvoxel.governance.consortium import Consortium
from fedvoxel.governance.countersigning import countersign, taken
from fedvoxel.governance.log_notes import SiteNotes
from fedvoxel.records.audit import AuditLog, FollowedLog
from fedvoxel.records.audit_event import AuditEvent
from fedvoxel.records.identity import load_identity
from tests.consortium_kits import PASSPHRASE, consortium_file
from tests.governance.audited_logs import JOB, SITES, MadeUpRun

ADMIN = "admin@consortium.example"
IT, MEMBER = "it@hospital-a.example", "clinician@hospital-a.example"
PEOPLE = f"""\
  - {{name: {IT}, type: admin, org: hospital_a, role: org_admin}}
  - {{name: {MEMBER}, type: admin, org: hospital_a, role: member}}
"""
Captured = pytest.CaptureFixture[str]


class KitRun(MadeUpRun):
    """Is a made-up run whose logs lie in real kits, and are signed now."""

    def __init__(self, made: Consortium) -> None:
        self.trust = read_trust(made.server_kit)
        self.identities = {site: load_identity(made.kit(site) / "startup") for site in SITES}
        self.server = AuditLog(made.server_kit / "state")
        self.sites = {site: AuditLog(made.kit(site) / "state") for site in SITES}

    def sign(self, index: int, present: Sequence[str] = SITES) -> dict[str, AuditEvent]:
        events = {}
        for site in present:
            question, now = self.question(site, index), datetime.now(UTC)
            log = FollowedLog(self.sites[site], SiteNotes)
            answer = countersign(log, self.identities[site], question, JOB, lambda: datetime.now(UTC))
            events[site] = taken(question, answer, site, JOB, self.trust, now)
        self.server.record(list(events.values()))
        return events


@pytest.fixture
def made(tmp_path: Path) -> Consortium:
    """Kits whose server went back to the log of one round of three."""
    described = consortium_file(tmp_path)
    described.write_text(described.read_text().replace("builders:\n", PEOPLE + "builders:\n"))
    consortium = create_consortium(described, tmp_path / "workspace", passphrase=PASSPHRASE)
    run = KitRun(consortium)
    run.begin()
    run.round(0)
    audit = consortium.server_kit / "state" / "audit"
    backup = shutil.copytree(audit, tmp_path / "backup")
    run.round(1)
    run.round(2)
    shutil.rmtree(audit)
    backup.rename(audit)
    return consortium


def _words(made: Consortium, *against: str) -> list[str]:
    named = [f"--against={made.kit(site)}" for site in against]
    return ["audit", "accept-gap", str(made.server_kit), *named, f"--sign={made.kit(ADMIN)}", "--reason=a disk"]


def test_a_restored_server_is_trusted_again_once_a_person_has_said_so(made: Consortium, capsys: Captured) -> None:
    held = [f"--against={made.kit(site)}" for site in SITES]
    verify = ["audit", "verify", str(made.server_kit), *held]
    assert main(verify) == 12
    assert main([*_words(made, *SITES), "--yes"]) == 0
    said = capsys.readouterr().out
    assert "a gap was accepted by admin@consortium.example (project_admin) on " in said and "(a disk)" in said
    assert main(verify) == 0
    assert "a gap was accepted by" in capsys.readouterr().out
    assert main([*verify, "--json"]) == 0
    (gap,) = json.loads(capsys.readouterr().out)["gaps"]
    assert gap["by"] == f"{ADMIN} (project_admin)" and gap["reason"] == "a disk" and gap["first"] <= gap["last"]
    assert main(["audit", "show", str(made.server_kit), "--kind", "gap"]) == 0
    assert "gap done" in capsys.readouterr().out
    assert main(["audit", "export", str(made.server_kit)]) == 0
    assert main([*_words(made, *SITES), "--yes"]) == 12, "there is nothing more to accept"


def test_nothing_is_accepted_without_a_site_a_person_or_a_yes(made: Consortium, capsys: Captured) -> None:
    before = AuditLog(made.server_kit / "state").read()
    assert main([*_words(made), "--yes"]) == 3
    assert "one site at least" in capsys.readouterr().err
    a_site = [f"--sign={made.kit(SITES[0])}" if word.startswith("--sign") else word for word in _words(made, SITES[0])]
    assert main([*a_site, "--yes"]) == 8
    assert "hospital-a (site) may not accept a gap" in capsys.readouterr().err
    assert main(_words(made, SITES[0])) != 0, "nobody has said yes"
    # The operator is none of the hospital's people.
    words = ["audit", "accept-gap", str(made.kit(SITES[0])), f"--sign={made.kit(ADMIN)}", "--reason=a disk", "--yes"]
    assert main(words) == 8
    assert "a person of this hospital" in capsys.readouterr().err
    a_lead = [word.replace(ADMIN, "scientist@consortium.example") for word in _words(made, SITES[0])]
    assert main(a_lead) == 8, "before anybody is asked"
    assert "the consortium's project_admin does" in capsys.readouterr().err
    log = made.kit(SITES[0]) / "state" / "audit" / "audit.jsonl"
    log.write_bytes(log.read_bytes().replace(b"done", b"gone"))
    assert main([*_words(made, SITES[0]), "--yes"]) == 12
    assert "says nothing of a gap" in capsys.readouterr().err
    assert AuditLog(made.server_kit / "state").read() == before


def test_a_hospitals_it_lets_its_site_sign_again_once_it_has_refused(made: Consortium, capsys: Captured) -> None:
    site, run = SITES[0], KitRun(made)
    words = ["audit", "accept-gap", str(made.kit(site)), f"--sign={made.kit(IT)}", "--reason=a disk", "--yes"]
    assert main(words) == 12
    assert "there is nothing to accept" in capsys.readouterr().err
    run.round(1)
    assert main([word.replace(IT, MEMBER) for word in words]) == 8
    assert "the hospital's org_admin does" in capsys.readouterr().err
    assert main(words) == 0
    assert f"a gap was accepted by {IT} (org_admin) on " in capsys.readouterr().out
    run.round(2)
    assert run.sites[site].read()[-1][1].outcome == "done"
    assert main(["audit", "verify", str(made.kit(site))]) == 0
    assert "signs another since" in capsys.readouterr().out
    # Of a copy of the log only who has the root can say it.
    assert main(["audit", "verify", str(made.kit(site) / "state" / "audit")]) == 12
    assert "WRONG unchecked" in capsys.readouterr().out
