"""The server's ledger adds up with the sites', and every way in which it does not is named."""

import hashlib
import shutil
from pathlib import Path
from typing import Any

import pytest

from fedvoxel.errors import LedgerError
from fedvoxel.privacy.events import GaussianEvent
from fedvoxel.privacy.ledger import Ledger
from fedvoxel.privacy.ledger_entries import RunPlan
from fedvoxel.privacy.policy import CohortBudget
from fedvoxel.privacy.reconcile import Reconciliation, reconcile, site_releases
from fedvoxel.privacy.server_ledger import Received, Released, ServerLedger
from fedvoxel.privacy.server_record import verify_server
from fedvoxel.records.chain import Chain

SITE, RUN = "hospital-a", "run"
EVENT = GaussianEvent(noise_multiplier=8.0, sampling_probability=1.0, count=1)
PLAN = RunPlan(unit="hospital", event=EVENT, draws=3, delta=1e-5)


class Both:
    """Is a server and one site after some rounds, each with its own ledger."""

    def __init__(self, folder: Path) -> None:
        self.server, self.site = folder / "server/state", folder / SITE / "state"
        self.at_server = ServerLedger(self.server)
        self.at_site = Ledger(self.site / "privacy", "cohort", CohortBudget(unit="hospital", epsilon=50, delta=1e-3))

    def send(self, index: int) -> str:
        reservation = self.at_site.reserve(RUN, "job", index, PLAN)
        self.at_site.keep(reservation, b"update %d" % index)
        self.at_site.bytes_to_send(reservation.release_id)
        return reservation.release_id

    def receive(self, index: int, release_id: str, job_id: str = "job", **changes: Any) -> None:
        sha256 = hashlib.sha256(b"update %d" % index).hexdigest()
        values = {"run_key": RUN, "site": SITE, "sha256": sha256, "event": EVENT} | changes
        self.at_server.receive([Received(job_id=job_id, round=index, release_id=release_id, **values)])

    def release(self, index: int, event: GaussianEvent = EVENT) -> None:
        self.at_server.release(Released(run_key=RUN, job_id="job", round=index, event=event, sha256="a" * 64))

    def rounds(self, count: int) -> list[str]:
        made = []
        for index in range(count):
            made.append(self.send(index))
            self.receive(index, made[-1])
            self.release(index)
        return made

    def reconciled(self) -> Reconciliation:
        return reconcile(verify_server(self.server), SITE, site_releases(self.site))


@pytest.fixture
def both(tmp_path: Path) -> Both:
    return Both(tmp_path)


def test_both_ledgers_add_up(both: Both) -> None:
    both.rounds(3)
    found = both.reconciled()
    assert found.problems == ()
    ((run),) = found.runs
    assert (run.run_key, run.received, run.sent) == (RUN, 3, 3)
    record = verify_server(both.server)
    assert record.problems == () and record.runs[RUN].jobs == ["job"] and record.entries == 6
    assert verify_server(both.server, record.head) == record


def test_what_was_sent_and_lost_on_the_way_is_no_problem(both: Both) -> None:
    both.rounds(1)
    both.send(1)
    found = both.reconciled()
    assert found.problems == () and (found.runs[0].received, found.runs[0].sent) == (1, 2)


def test_a_second_attempt_receives_the_same_release_again(both: Both) -> None:
    release_id = both.send(0)
    both.receive(0, release_id)
    both.receive(0, release_id, job_id="job-2")
    assert verify_server(both.server).problems == () and both.reconciled().runs[0].received == 1


def test_an_older_copy_of_the_whole_folder_of_a_site_is_named(both: Both, tmp_path: Path) -> None:
    both.rounds(1)
    shutil.copytree(both.site, tmp_path / "backup")
    later = both.send(1)
    both.receive(1, later)
    shutil.rmtree(both.site)
    (tmp_path / "backup").rename(both.site)
    assert both.at_site.verify() == (), "the site alone cannot tell"
    (problem,) = both.reconciled().problems
    assert later in problem and "older copy" in problem and "round 1" in problem


def test_a_release_that_was_kept_and_never_noted_as_sent_is_named(both: Both) -> None:
    reservation = both.at_site.reserve(RUN, "job", 0, PLAN)
    both.at_site.keep(reservation, b"update 0")
    both.receive(0, reservation.release_id)
    (problem,) = both.reconciled().problems
    assert "not sent here" in problem


def test_other_bytes_than_were_kept_are_named(both: Both) -> None:
    both.receive(0, both.send(0), sha256="b" * 64)
    assert "other bytes" in both.reconciled().problems[0]


def test_a_release_in_another_round_is_named(both: Both) -> None:
    both.receive(1, both.send(0), sha256=hashlib.sha256(b"update 0").hexdigest())
    assert "here it belongs to run run, round 0" in both.reconciled().problems[0]


def test_a_round_that_was_released_with_less_noise_than_was_charged_is_named(both: Both) -> None:
    both.receive(0, both.send(0))
    both.release(0, EVENT.model_copy(update={"noise_multiplier": 4.0}))
    assert "another noise than was charged" in both.reconciled().problems[0]


@pytest.mark.parametrize(
    "changed",
    [{"noise_multiplier": 4.0}, {"sampling_probability": 0.5}, {"count": 2}],
    ids=lambda changed: str(*changed),
)
def test_an_update_that_the_server_took_for_another_event_than_was_charged_is_named(
    both: Both, changed: dict[str, Any]
) -> None:
    both.receive(0, both.send(0), event=EVENT.model_copy(update=changed))
    assert "another noise, sampling or steps than were charged here" in both.reconciled().problems[0]


def test_a_site_without_a_ledger_is_named_for_every_release(both: Both) -> None:
    both.rounds(2)
    shutil.rmtree(both.site / "privacy")
    assert len(both.reconciled().problems) == 2


def test_a_run_of_another_site_is_not_asked_for_here(both: Both) -> None:
    both.receive(0, "c" * 32, site="hospital-b")
    assert both.reconciled() == Reconciliation(SITE, (), ())


@pytest.mark.parametrize("index", range(4))
def test_an_edited_line_of_the_server_is_refused_wherever_it_is(both: Both, index: int) -> None:
    both.rounds(2)
    lines = both.at_server.path.read_bytes().split(b"\n")
    lines[index] = lines[index].replace(b'"job_id":"job"', b'"job_id":"jab"')
    both.at_server.path.write_bytes(b"\n".join(lines))
    with pytest.raises(LedgerError, match="is not what was written"):
        verify_server(both.server)


@pytest.mark.parametrize("index", range(4))
def test_a_removed_line_of_the_server_is_refused_wherever_it_is(both: Both, index: int) -> None:
    both.rounds(2)
    lines = both.at_server.path.read_bytes().split(b"\n")
    del lines[index]
    both.at_server.path.write_bytes(b"\n".join(lines))
    with pytest.raises(LedgerError):
        verify_server(both.server)


def test_an_older_copy_of_the_servers_folder_does_not_know_what_was_noted(both: Both, tmp_path: Path) -> None:
    both.rounds(1)
    shutil.copytree(both.server, tmp_path / "backup")
    noted = both.send(1)
    both.receive(1, noted)
    assert verify_server(both.server, noted).entries == 3
    with pytest.raises(LedgerError, match="does not know"):
        verify_server(tmp_path / "backup", noted)


def test_what_a_site_sends_under_another_updates_release_is_named(both: Both) -> None:
    release_id = both.send(0)
    both.receive(0, release_id)
    both.receive(0, release_id, site="hospital-b")
    both.receive(0, "d" * 32)
    first, second = verify_server(both.server).problems
    assert "from another site" in first and "a second update of hospital-a" in second


def test_a_round_that_stands_as_released_twice_is_refused(both: Both) -> None:
    both.rounds(1)
    line = Released(run_key=RUN, job_id="job-2", round=0, event=EVENT, sha256="b" * 64)
    with pytest.raises(LedgerError, match="released before"):
        both.at_server.release(line)
    Chain(both.at_server.path).append(line.model_dump(mode="json"))
    with pytest.raises(LedgerError, match=r"line 3 .* released before"):
        verify_server(both.server)


def test_a_line_that_is_no_entry_of_a_server_is_refused(both: Both) -> None:
    Chain(both.at_server.path).append({"kind": "opened"})
    with pytest.raises(LedgerError, match="line 1 of the server's ledger is no entry"):
        verify_server(both.server)


def test_a_server_without_a_ledger_has_nothing_to_say(tmp_path: Path) -> None:
    record = verify_server(tmp_path)
    assert (record.entries, record.head, record.runs) == (0, None, {})
    assert not (tmp_path / "privacy").exists() and site_releases(tmp_path) == {}
