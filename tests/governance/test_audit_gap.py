"""A server's log that was put back from a backup: the gap is accepted once, openly, and nothing else with it."""

import shutil
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from fedvoxel.errors import LedgerError
from fedvoxel.governance.audit_gap import gaps_in
from fedvoxel.governance.audit_report import LogReport, hold_together, verify_log
from fedvoxel.governance.gap_acceptance import Acceptance, accept_at_server, accept_at_site
from fedvoxel.records.audit import AuditLog
from tests.export.throwaway_root import NOW, Root

from .audited_logs import SITES, MadeUpRun, made_up_run, rewrite

A, B = SITES
WHY = "disk failed, restored from Monday"


class Restored(MadeUpRun):
    """Is a run of three rounds, whose server went back to the log of one round and then went on."""

    def __init__(self, folder: Path) -> None:
        """Puts the older copy back."""
        before = made_up_run(folder, rounds=1)
        self.__dict__ |= before.__dict__
        backup = shutil.copytree(folder / "server", folder / "backup")
        self.kept = len(self.server.read())
        for index in (1, 2):
            self.round(index)
        shutil.rmtree(folder / "server")
        backup.rename(folder / "server")
        self.server = AuditLog(folder / "server")
        self.person = self.root.issue("admin@consortium.example", "project_admin")

    def report(self, *sites: str) -> list[LogReport]:
        made = [verify_log(self.file(keeper), self.trust, None, NOW) for keeper in ("server", *sites)]
        if sites:
            hold_together(made[0], made[1:])
        return made

    def flaws(self, *sites: str) -> set[str]:
        return {flaw.code for report in self.report(*sites) for flaw in report.flaws}

    def accept(self, *sites: str, **changes: Any) -> None:
        accepted = Acceptance(**({"person": self.person, "reason": WHY, "now": NOW} | changes))
        accept_at_server(self.server, {site: self.sites[site].read() for site in sites}, accepted)

    def accept_at(self, site: str) -> None:
        accept_at_site(self.sites[site], site, Acceptance(self.person, WHY, NOW))


@pytest.fixture
def restored(tmp_path: Path) -> Restored:
    return Restored(tmp_path)


def test_without_an_acceptance_the_gap_is_found(restored: Restored) -> None:
    assert restored.flaws() == set() and restored.flaws(A) == {"truncated"}


def test_an_accepted_gap_is_named_and_found_no_more(restored: Restored) -> None:
    signed = [event.log_entries for _, event in restored.sites[A].read() if event.kind == "countersignature"]
    restored.accept(A, B)
    assert restored.flaws(A, B) == set()
    (gap,) = restored.report(A)[0].checked.gaps
    # What the one head says that both the old and the new log have, and the last that the old one had.
    assert (gap.first, gap.last) == (signed[0] + 1, signed[-1])
    said = str(gap)
    assert f"entries {gap.first} to {gap.last}" in said and WHY in said
    assert f"accepted by admin@consortium.example (project_admin) on {datetime.now(UTC):%Y-%m-%d}" in said


def test_a_site_whose_log_was_not_held_against_it_still_finds_the_gap(tmp_path: Path) -> None:
    restored = Restored(tmp_path)
    restored.round(1, [B])  # the other site's heads are others
    restored.accept(B)
    assert restored.flaws(B) == set()
    late = [event for _, event in restored.sites[A].read() if event.kind == "countersignature"]
    assert late and restored.flaws(A) == set(), "the same heads were shown to both"
    restored.sites[A].record([late[-1].model_copy(update={"hashes": {"log_head": "1" * 64, "log_tree": "2" * 64}})])
    assert restored.flaws(A) == {"truncated"}


def test_after_it_any_other_truncation_is_found(restored: Restored) -> None:
    restored.round(1)
    refused = [event.outcome for _, event in restored.sites[A].read() if event.kind == "countersignature"]
    assert refused[-1] == "refused", "a site signs nothing that does not extend what it has signed"
    restored.accept(A, B)
    for site in SITES:
        restored.accept_at(site)
    restored.round(2)
    signed = [event.outcome for _, event in restored.server.read() if event.kind == "countersignature"]
    assert signed[-2:] == ["done", "done"]
    assert restored.flaws(A, B) == set()
    reports = restored.report(A, B)
    assert all(len(report.checked.gaps) == 1 for report in reports) and reports[1].checked.keeper == A
    assert "signs another since" in str(reports[1].checked.gaps[0])

    rewrite(restored.file("server"), lambda bodies: bodies[:-6])
    assert "truncated" in restored.flaws(A)


def test_a_log_that_is_cut_before_the_acceptance_is_found(restored: Restored) -> None:
    restored.accept(A)
    rewrite(restored.file("server"), lambda bodies: bodies[:-1])
    assert restored.flaws(A) == {"truncated"}


def test_a_second_gap_is_another(restored: Restored, tmp_path: Path) -> None:
    restored.accept(A, B)
    with pytest.raises(LedgerError, match="there is no gap to accept"):
        restored.accept(A, B)
    restored.round(1)
    for site in SITES:
        restored.accept_at(site)
    restored.sign(1)
    backup = shutil.copytree(tmp_path / "server", tmp_path / "again")
    restored.round(2)
    shutil.rmtree(tmp_path / "server")
    backup.rename(tmp_path / "server")
    restored.server = AuditLog(tmp_path / "server")
    assert restored.flaws(A) == {"truncated"}
    restored.accept(A, B)
    assert restored.flaws(A, B) == set() and len(restored.report()[0].checked.gaps) == 2


def test_a_rewritten_log_is_no_gap(restored: Restored) -> None:
    events = restored.sites[A].read()
    first = next(event for _, event in events if event.kind == "countersignature")
    restored.sites[A].record([first])
    with pytest.raises(LedgerError, match="it is no older copy but another log"):
        restored.accept(A)


def test_an_acceptance_counts_where_its_person_has_signed_it(restored: Restored) -> None:
    restored.accept(A)

    def moved(bodies: list[dict[str, Any]]) -> list[dict[str, Any]]:
        return [*bodies[:-1], bodies[1] | {"reason": "one more"}, bodies[-1]]

    rewrite(restored.file("server"), moved)
    assert "unsigned" in restored.flaws(A)


@pytest.mark.parametrize(
    "change",
    [{"reason": "another"}, {"actor": {"name": "x", "role": "lead"}}, {"signature": None}, {"heads": ["0" * 64]}],
)
def test_a_changed_acceptance_does_not_count(restored: Restored, change: dict[str, Any]) -> None:
    restored.accept(A)
    rewrite(restored.file("server"), lambda bodies: [*bodies[:-1], bodies[-1] | change])
    assert "unsigned" in restored.flaws(A)


def test_only_a_person_of_the_consortium_accepts(restored: Restored) -> None:
    with pytest.raises(LedgerError, match="a person accepts a gap"):
        restored.accept(A, person=restored.identities[A])
    restored.accept(A, person=Root().issue("admin@consortium.example", "project_admin"))
    assert "unsigned" in restored.flaws(A), "of another root"


def test_a_site_accepts_only_what_it_has_refused(restored: Restored) -> None:
    with pytest.raises(LedgerError, match="there is nothing to accept"):
        restored.accept_at(A)
    restored.round(1)
    restored.accept_at(A)
    with pytest.raises(LedgerError, match="there is nothing to accept"):
        restored.accept_at(A)
    assert gaps_in(restored.sites[A].read())[0].first is None


def test_a_log_that_was_lost_for_good_begins_anew(restored: Restored, tmp_path: Path) -> None:
    shutil.rmtree(tmp_path / "server")
    restored.server = AuditLog(tmp_path / "server")
    restored.accept(A, B)
    assert restored.flaws(A, B) == set()
    assert restored.report()[0].checked.gaps[0].first == 1 and restored.report()[0].checked.keeper == "server"
