"""A backup that is made in the middle of a run brings a whole consortium back, and the next run goes on from it."""

import shutil
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from fedvoxel.federation.outcome import OUTCOME_FILE, load_outcome
from fedvoxel.flare.consortium_processes import running_consortium
from fedvoxel.flare.provisioning import create_consortium
from fedvoxel.governance.backup import check_backup, create_backup, restore_backup
from fedvoxel.governance.consortium import Consortium
from fedvoxel.governance.ledger_presence import RESTORED_FILE
from fedvoxel.records.audit import AuditLog
from tests.consortium_kits import free_port

from .conftest import CONSORTIUM_FILE, SystemUnderTest, job_variant, log_in, processes_of
from .test_start_from import job_from
from .tiny_cohorts import blob_rows, describe_cohort

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1800)]

TAKING_PART = ("hospital-a", "hospital-b")
PASSPHRASE = "correct horse battery staple"


@pytest.fixture
def made(tmp_path: Path) -> Iterator[Consortium]:
    """A server and two hospitals with tiny cohorts, none of which runs yet."""
    made = create_consortium(CONSORTIUM_FILE, tmp_path / "consortium", free_port())
    for seed, site in enumerate(TAKING_PART):
        describe_cohort(made.kit(site), "hippocampus", blob_rows(tmp_path, site, seed))
    yield made
    assert not processes_of(made.workspace)


def test_a_consortium_comes_back_from_a_backup_that_was_made_while_it_trained(made: Consortium, tmp_path: Path) -> None:
    file, downloads = tmp_path / "b.fvbackup", tmp_path / "downloads"
    section = {"evaluate": False}
    with running_consortium(made.workspace, TAKING_PART, 200) as running, closing(log_in(made)) as session:
        system = SystemUnderTest(running, session, downloads)
        first = system.run(job_variant(tmp_path, "first", 1, rounds_section=section), 600)
        assert first.status == "finished", first.reason
        second = system.submit(job_variant(tmp_path, "second", 3, rounds_section=section, epochs=30))
        system.wait_until_training(second, 1, TAKING_PART)
        backup = create_backup(made.workspace, file, PASSPHRASE)
        system.session.abort_job(second)
        system.wait(second)
    shutil.rmtree(made.workspace)

    assert check_backup(file, PASSPHRASE) == backup and backup.encrypted
    restore_backup(file, made.workspace, PASSPHRASE)
    for name in (made.record.server, *TAKING_PART):
        assert (made.kit(name) / RESTORED_FILE).is_file()
    state = made.server_kit / "state"
    assert load_outcome(state / "runs/first" / OUTCOME_FILE) == first
    AuditLog(state).read()

    with running_consortium(made.workspace, TAKING_PART, 200) as running, closing(log_in(made)) as session:
        system = SystemUnderTest(running, session, downloads)
        outcome = system.run(job_from(tmp_path, "third", "first"), 600)
        assert outcome.status == "finished", outcome.reason
        assert outcome.start_from and first.model and outcome.start_from.sha256 == first.model.sha256
        assert set(outcome.rounds[0].contributed) == set(TAKING_PART)
