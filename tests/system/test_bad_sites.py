"""A hospital that lies in every round, over real processes: refused by name and reason, and the others finish."""

import json
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from fedvoxel.federation.outcome import RunOutcome
from fedvoxel.flare.consortium_processes import running_consortium
from fedvoxel.flare.provisioning import create_consortium
from fedvoxel.privacy.policy import NoBudget, grant
from fedvoxel.records.audit import AuditLog
from tests.consortium_kits import FILE, free_port

from .conftest import HIPPOCAMPUS_JOB, ROOT, SystemUnderTest, log_in
from .scripted_site import CASES, COHORT, COUNTED_LIES, ENCODED_LIES, LIAR, LIES

pytestmark = pytest.mark.slow

HONEST = ("hospital-a", "hospital-b")
SITE_CLASS = "tests.system.scripted_site.ScriptedSite"


@pytest.fixture(scope="module")
def lied_to(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SystemUnderTest]:
    """Three hospitals that run; the liar has taken its own filter on what leaves away."""
    folder = tmp_path_factory.mktemp("bad_sites")
    text = FILE.format(port=free_port())
    text = text.replace("  - {name: admin@", "  - {name: hospital-c, type: client, org: hospital_c}\n  - {name: admin@")
    text = text.replace("SitePolicyBuilder\n", f"SitePolicyBuilder\n    args: {{allow_classes: [{SITE_CLASS}]}}\n")
    (folder / "consortium.yml").write_text(text)
    made = create_consortium(folder / "consortium.yml", folder / "workspace")
    for site in HONEST:
        grant(made.kit(site) / "local", COHORT, NoBudget())
    privacy = made.kit(LIAR) / "local" / "privacy.json"
    scopes = json.loads(privacy.read_text())
    scopes["scopes"][0]["task_result_filters"] = []
    privacy.write_text(json.dumps(scopes))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")]))
        with running_consortium(made.workspace) as running:
            session = log_in(made)
            try:
                yield SystemUnderTest(running, session, folder / "downloads")
            finally:
                session.close()


def run_scripted(system: SystemUnderTest, folder: Path, run_key: str, rounds: int, **section: Any) -> RunOutcome:
    """Runs a job of the scripted sites and returns its outcome."""
    config = folder / run_key / "app" / "config"
    config.mkdir(parents=True)
    client = json.loads((HIPPOCAMPUS_JOB / "app/config/config_fed_client.json").read_text())
    client["executors"][0]["executor"] = {"path": SITE_CLASS, "args": {"run_key": run_key}}
    (config / "config_fed_client.json").write_text(json.dumps(client))
    server = json.loads((HIPPOCAMPUS_JOB / "app/config/config_fed_server.json").read_text())
    controller = server["workflows"][0]["args"]
    controller["run_key"] = run_key
    controller["rounds"] |= {"num_rounds": rounds, "min_sites": 2, **section}
    (config / "config_fed_server.json").write_text(json.dumps(server))
    meta = json.loads((HIPPOCAMPUS_JOB / "meta.json").read_text())
    (folder / run_key / "meta.json").write_text(json.dumps(meta | {"name": run_key}))
    return system.run(folder / run_key)


def _check(system: SystemUnderTest, outcome: RunOutcome, lies: Mapping[str, Any], first_lie: int) -> None:
    """Checks that each lie was refused for its reason, in outcome and audit, and that all rounds were run."""
    assert (outcome.status, outcome.rounds_committed) == ("finished", len(lies))
    for record, said in zip(outcome.rounds, lies, strict=True):
        assert dict.fromkeys(HONEST, CASES).items() <= record.contributed.items() and not record.missing
        assert list(record.refused) == ([] if record.round < first_lie else [LIAR])
        assert record.round < first_lie or said in record.refused[LIAR]
    events = [event for _, event in AuditLog(system.running.consortium.server_kit / "state").read()]
    refused = [event for event in events if event.run_key == outcome.run_key and event.outcome == "refused"]
    told = [(event.round, event.site, event.reason) for event in refused if event.kind == "answer"]
    assert told == [(record.round, LIAR, record.refused[LIAR]) for record in outcome.rounds[first_lie:]]


def test_every_lie_is_refused_by_reason_and_the_round_goes_on(lied_to: SystemUnderTest, tmp_path: Path) -> None:
    _check(lied_to, run_scripted(lied_to, tmp_path, "lies", len(LIES)), LIES, first_lie=1)


def test_more_cases_than_the_job_gives_a_site_are_refused(lied_to: SystemUnderTest, tmp_path: Path) -> None:
    counts = dict.fromkeys((*HONEST, LIAR), CASES)
    outcome = run_scripted(lied_to, tmp_path, "counted_lies", len(COUNTED_LIES), case_counts=counts)
    _check(lied_to, outcome, COUNTED_LIES, first_lie=0)


def test_a_bomb_and_an_unknown_codec_are_refused_by_reason(lied_to: SystemUnderTest, tmp_path: Path) -> None:
    compression = {"up": {"name": "fp16"}}
    outcome = run_scripted(lied_to, tmp_path, "encoded_lies", len(ENCODED_LIES), compression=compression)
    _check(lied_to, outcome, ENCODED_LIES, first_lie=0)
