"""A server's log that was put back from a backup: the gap is accepted once, openly, and nothing else with it."""

import shutil
from collections.abc import Callable, Iterable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from fedvoxel.errors import ConsortiumError, LedgerError, PackageError
from fedvoxel.export.signature import sign
from fedvoxel.export.trust import Trust
from fedvoxel.governance.audit_gap import PURPOSE, Line, accepted_content, gaps_in
from fedvoxel.governance.audit_report import LogReport, hold_together, verify_log
from fedvoxel.governance.gap_acceptance import Acceptance, accept_at_server, accept_at_site
from fedvoxel.records import chain
from fedvoxel.records.audit import AuditLog
from fedvoxel.records.audit_event import AuditEvent
from fedvoxel.records.identity import Identity
from tests.export.throwaway_root import NOW, Root

from .audited_logs import SITES, MadeUpRun, made_up_run, rewrite, said

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
        self.person = self.root.issue("admin@consortium.example", "project_admin", organisation="consortium")
        # Both sites are of the organisation "org".
        self.site_it = self.root.issue("it@hospital.example", "org_admin")

    def report(self, *sites: str) -> list[LogReport]:
        made = [verify_log(self.file(keeper), self.trust, None, NOW) for keeper in ("server", *sites)]
        if sites:
            hold_together(made[0], made[1:])
        return made

    def flaws(self, *sites: str) -> set[str]:
        return {flaw.code for report in self.report(*sites) for flaw in report.flaws}

    def site_flaws(self, site: str) -> set[str]:
        return {flaw.code for flaw in self.report(site)[1].flaws}

    def accept(self, *sites: str, **changes: Any) -> None:
        accepted = Acceptance(**({"person": self.person, "reason": WHY, "now": NOW, "trust": self.trust} | changes))
        accept_at_server(self.server, {site: self.sites[site].read() for site in sites}, accepted)

    def accept_at(self, site: str, person: Identity | None = None) -> None:
        accept_at_site(
            self.sites[site], self.identities[site], Acceptance(person or self.site_it, WHY, NOW, self.trust)
        )

    def signed_by(self, keeper: str, person: Identity, **changes: Any) -> None:
        """Puts an acceptance that this person has signed, and says so, in the place of a log's last."""
        entry, event = (self.server if keeper == "server" else self.sites[keeper]).read()[-1]
        actor = Acceptance(person, WHY, NOW, self.trust).actor
        changed = AuditEvent.model_validate(event.model_dump() | {"actor": actor, "signature": None} | changes)
        signature = sign(person, PURPOSE, accepted_content(changed, entry.previous), NOW).model_dump(mode="json")
        body = changed.model_copy(update={"signature": signature}).body()
        rewrite(self.file(keeper), lambda bodies: [*bodies[:-1], body])


class Meanwhile(list[Line]):
    """Is a site's log, and while it is looked at something happens."""

    def __init__(self, lines: Iterable[Line], happens: Callable[[], None]) -> None:
        super().__init__(lines)
        self.happens = happens

    def __iter__(self) -> Iterator[Line]:
        self.happens()
        return super().__iter__()


@pytest.fixture
def restored(tmp_path: Path) -> Restored:
    return Restored(tmp_path)


def test_without_an_acceptance_the_gap_is_found(restored: Restored) -> None:
    assert restored.flaws() == set() and restored.flaws(A) == {"truncated"}


def test_a_site_that_went_back_to_an_older_log_is_found_for_ever(tmp_path: Path) -> None:
    """What `RESTORED.txt` and the documentation say of it, for which people keep what explains it."""
    run = made_up_run(tmp_path, rounds=1)
    folder = run.file(A).parent.parent
    shutil.copytree(folder, tmp_path / "older")
    run.round(1)
    shutil.rmtree(folder)
    (tmp_path / "older").rename(folder)
    run.sites[A] = AuditLog(folder)
    found: list[set[str]] = []
    for index in (2, 3):
        server, site = (verify_log(run.file(keeper), run.trust, None, NOW) for keeper in ("server", A))
        assert not site.flaws, "by itself the log is whole"
        hold_together(server, [site])
        found.append({flaw.code for flaw in site.flaws})
        run.round(index)
    assert found == [{"truncated", "removed"}, {"rewritten", "removed"}]


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
    another = Root()
    stranger = another.issue("admin@consortium.example", "project_admin")
    with pytest.raises(PackageError, match="another consortium"):
        restored.accept(A, person=stranger)
    restored.accept(A, person=stranger, trust=Trust(another.certificate))
    assert restored.flaws(A) == {"unsigned", "truncated"}


@pytest.mark.parametrize("role", ["org_admin", "lead", "member"])
def test_in_the_servers_log_only_the_operator_accepts(restored: Restored, role: str) -> None:
    other = restored.root.issue("other@consortium.example", role, organisation="consortium")
    before = restored.server.read()
    with pytest.raises(ConsortiumError, match="the consortium's project_admin does"):
        restored.accept(A, person=other)
    assert restored.server.read() == before
    restored.accept(A)
    assert restored.flaws(A) == set()
    restored.signed_by("server", other)
    assert restored.flaws(A) == {"unsigned", "truncated"} and restored.report()[0].checked.gaps == ()


@pytest.mark.parametrize(
    ("role", "organisation", "match"),
    [
        ("member", "org", "the hospital's org_admin does"),
        ("lead", "org", "the hospital's org_admin does"),
        ("org_admin", "another", "a person of this hospital"),
        ("project_admin", "consortium", "a person of this hospital"),
    ],
)
def test_in_a_sites_log_only_the_hospitals_it_accepts(
    restored: Restored, role: str, organisation: str, match: str
) -> None:
    restored.round(1)
    other = restored.root.issue("other@hospital.example", role, organisation=organisation)
    before = restored.sites[A].read()
    with pytest.raises(ConsortiumError, match=match):
        restored.accept_at(A, other)
    assert restored.sites[A].read() == before
    restored.accept_at(A)
    assert restored.site_flaws(A) == set()
    restored.signed_by(A, other)
    assert restored.site_flaws(A) == {"unsigned"}


def test_a_sites_gap_counts_with_its_own_certificate_in_its_own_log_alone(restored: Restored) -> None:
    restored.round(1)
    restored.accept_at(A)
    restored.signed_by(A, restored.site_it)
    assert restored.site_flaws(A) == set()
    restored.signed_by(A, restored.site_it, heads=("1" * 64,))
    assert restored.site_flaws(A) == {"unsigned"}, "only the server's log says what it lost"
    others_it = restored.root.issue("it@another.example", "org_admin", organisation="another")
    others = restored.root.issue("another-site", None, organisation="another").certificate
    for changes in (
        {"site_certificate": others},
        {"site_certificate": others, "site": "another-site"},
        {"site_certificate": ""},
        {"site_certificate": Root().issue(A, None, organisation="another").certificate},
    ):
        restored.signed_by(A, others_it, heads=(), **changes)
        assert restored.site_flaws(A) == {"unsigned"}, changes


def test_an_acceptance_names_the_organisation_of_who_has_signed(restored: Restored) -> None:
    restored.accept(A)
    actor = {"name": "admin@consortium.example", "role": "project_admin", "organisation": "hospital"}
    restored.signed_by("server", restored.person, actor=actor)
    assert restored.flaws(A) == {"unsigned", "truncated"}


def test_without_a_root_no_gap_is_excused_and_each_is_named(restored: Restored) -> None:
    kept = len(restored.server.read())
    restored.accept(A)
    (head, *_) = restored.server.read()[kept][1].heads
    assert verify_log(restored.file("server"), restored.trust, head, NOW).flaws == []
    unchecked = verify_log(restored.file("server"), None, head, NOW)
    assert {flaw.code for flaw in unchecked.flaws} == {"unchecked", "truncated"} and unchecked.checked.gaps == ()
    hold_together(unchecked, [verify_log(restored.file(A), None, None, NOW)])
    assert [flaw.code for flaw in unchecked.flaws].count("truncated") == 3, "the noted head, and two that A signed"
    assert next(flaw.line for flaw in unchecked.flaws if flaw.code == "unchecked") == kept + 1


def test_a_forged_gap_does_not_keep_the_operator_from_accepting(restored: Restored) -> None:
    heads = [event.hashes["log_head"] for _, event in restored.sites[A].read() if event.kind == "countersignature"]
    restored.server.record([said("gap", heads=heads, kept_entries=7, log_entries=15)])
    restored.accept(A)
    assert restored.flaws(A) == {"unsigned"}, "the forged line stays one"
    assert len(restored.report()[0].checked.gaps) == 1


def test_a_running_job_writes_while_the_logs_are_looked_at(restored: Restored, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(chain, "LOCK_TIMEOUT_S", 0.1)
    lines = Meanwhile(restored.sites[A].read(), lambda: AuditLog(restored.folder / "server").record([said("job")]))
    accept_at_server(restored.server, {A: lines}, Acceptance(restored.person, WHY, NOW, restored.trust))
    assert [event.kind for _, event in restored.server.read()][-2:] == ["job", "gap"]
    assert restored.flaws(A) == set()


@pytest.mark.parametrize("meanwhile", ["cut", "changed", "accepted"])
def test_a_log_that_became_another_meanwhile_is_left_alone(restored: Restored, meanwhile: str) -> None:
    lines, file = restored.sites[A].read(), restored.file("server")
    happens: dict[str, Callable[[], None]] = {
        "cut": lambda: rewrite(file, lambda bodies: bodies[:-1]),
        "changed": lambda: rewrite(file, lambda bodies: [*bodies[:-1], bodies[-1] | {"reason": "x"}]),
        "accepted": lambda: restored.accept(A),
    }
    accepted = Acceptance(restored.person, WHY, NOW, restored.trust)
    with pytest.raises(LedgerError, match="another gap was" if meanwhile == "accepted" else "the log was replaced"):
        accept_at_server(AuditLog(restored.folder / "server"), {A: Meanwhile(lines, happens[meanwhile])}, accepted)
    gaps = [event for _, event in restored.server.read() if event.kind == "gap"]
    assert len(gaps) == (1 if meanwhile == "accepted" else 0)


def test_a_site_that_was_only_shown_no_proof_accepts_nothing_yet(restored: Restored) -> None:
    restored.server.record([said("job")] * 20)
    restored.sign(1)
    assert "no proof" in restored.sites[A].read()[-1][1].reason
    with pytest.raises(LedgerError, match="there is nothing to accept"):
        restored.accept_at(A)
    restored.sign(1)
    assert "does not extend" in restored.sites[A].read()[-1][1].reason
    restored.accept_at(A)
    restored.sign(1)
    assert restored.sites[A].read()[-1][1].outcome == "done"


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
